#include "formats/hdf5/wire.h"

#include <stdlib.h>
#include <string.h>

void gqa_wire_put(struct gqa_wire *wire, const void *data, size_t n)
{
    if (wire->failed)
        return;
    if (wire->max > 0 && n > wire->max - wire->length) {
        wire->failed = true;
        return;
    }
    if (n > wire->room - wire->length) {
        const size_t room = 2 * (wire->room + n);
        unsigned char *larger = realloc(wire->data, room);

        if (!larger) {
            wire->failed = wire->no_memory = true;
            return;
        }
        wire->data = larger;
        wire->room = room;
    }
    if (n > 0)
        memcpy(wire->data + wire->length, data, n);
    wire->length += n;
}

void gqa_wire_put_u32(struct gqa_wire *wire, uint32_t value)
{
    gqa_wire_put(wire, &value, sizeof value);
}

void gqa_wire_put_u64(struct gqa_wire *wire, uint64_t value)
{
    gqa_wire_put(wire, &value, sizeof value);
}

void gqa_wire_put_block(struct gqa_wire *wire, const void *data, size_t n)
{
    gqa_wire_put_u64(wire, n);
    gqa_wire_put(wire, data, n);
}

void gqa_wire_put_text(struct gqa_wire *wire, const char *text)
{
    gqa_wire_put_block(wire, text, strlen(text));
}

static const void *take(struct gqa_wire_reader *reader, size_t n)
{
    const unsigned char *at = reader->at;

    if (reader->failed || n > reader->left) {
        reader->failed = true;
        return NULL;
    }
    reader->at += n;
    reader->left -= n;
    return at;
}

uint32_t gqa_wire_u32(struct gqa_wire_reader *reader)
{
    const void *at = take(reader, sizeof(uint32_t));
    uint32_t value = 0;

    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

uint64_t gqa_wire_u64(struct gqa_wire_reader *reader)
{
    const void *at = take(reader, sizeof(uint64_t));
    uint64_t value = 0;

    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

const void *gqa_wire_block(struct gqa_wire_reader *reader, size_t max,
                           size_t *n)
{
    const uint64_t length = gqa_wire_u64(reader);
    const void *at;

    *n = 0;
    if (length > max) {
        reader->failed = true;
        return NULL;
    }
    at = take(reader, (size_t)length);
    if (at)
        *n = (size_t)length;
    return at;
}

char *gqa_wire_text(struct gqa_wire_reader *reader, size_t max)
{
    size_t n;
    const void *at = gqa_wire_block(reader, max, &n);
    char *text;

    if (!at)
        return NULL;
    if (memchr(at, '\0', n)) {
        reader->failed = true;
        return NULL;
    }
    text = malloc(n + 1);
    if (!text) {
        reader->failed = reader->no_memory = true;
        return NULL;
    }
    memcpy(text, at, n);
    text[n] = '\0';
    return text;
}
