#include "formats/gguf/header_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory_stream.h"
#include "formats/gguf/values.h"

void gqa_gguf_put(FILE *out, uint64_t value, unsigned n)
{
    unsigned char bytes[8] = {0};

    for (unsigned i = 0; i < n; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    fwrite(bytes, 1, n, out);
}

void gqa_gguf_put_text(FILE *out, const char *text, size_t n)
{
    gqa_gguf_put(out, n, 8);
    fwrite(text, 1, n, out);
}

static void put_real(FILE *out, double value)
{
    const float small = (float)value;
    uint32_t bits;

    memcpy(&bits, &small, sizeof bits);
    gqa_gguf_put(out, GQA_GGUF_F32, 4);
    gqa_gguf_put(out, bits, 4);
}

/* Keys are held against what this can say when they are made. */
static void put_whole(FILE *out, json_int_t value)
{
    gqa_gguf_put(out, GQA_GGUF_U32, 4);
    gqa_gguf_put(out, (uint64_t)value, 4);
}

/* Of whole numbers, or of what is true. */
static void put_list(FILE *out, const json_t *list)
{
    const bool are_flags = json_is_boolean(json_array_get(list, 0));

    gqa_gguf_put(out, GQA_GGUF_LIST, 4);
    gqa_gguf_put(out, are_flags ? GQA_GGUF_BOOL : GQA_GGUF_I32, 4);
    gqa_gguf_put(out, json_array_size(list), 8);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (are_flags)
            gqa_gguf_put(out, json_is_true(item), 1);
        else
            gqa_gguf_put(out, (uint64_t)json_integer_value(item), 4);
    }
}

static void put_value(FILE *out, const json_t *value)
{
    if (json_is_boolean(value)) {
        gqa_gguf_put(out, GQA_GGUF_BOOL, 4);
        gqa_gguf_put(out, json_is_true(value), 1);
    } else if (json_is_string(value)) {
        gqa_gguf_put(out, GQA_GGUF_TEXT, 4);
        gqa_gguf_put_text(out, json_string_value(value),
                          json_string_length(value));
    } else if (json_is_array(value)) {
        put_list(out, value);
    } else if (json_is_integer(value)) {
        put_whole(out, json_integer_value(value));
    } else {
        put_real(out, json_number_value(value));
    }
}

static void put_tensor(FILE *out, const struct gqa_gguf_tensor *t)
{
    gqa_gguf_put_text(out, t->name, strlen(t->name));
    gqa_gguf_put(out, t->rank, 4);
    for (unsigned i = t->rank; i-- > 0;)
        gqa_gguf_put(out, t->shape[i], 8);
    gqa_gguf_put(out, t->type->number, 4);
    gqa_gguf_put(out, t->offset, 8);
}

enum gqa_status gqa_gguf_text_create(struct gqa_gguf_text *text,
                                     const struct gqa_gguf_draft *draft)
{
    const struct gqa_gguf_header *header = &draft->header;
    struct gqa_memory_stream stream;
    const char *key;
    json_t *value;
    enum gqa_status st = gqa_memory_stream_open(&stream);

    if (st != GQA_OK)
        return st;
    fputs("GGUF", stream.out);
    gqa_gguf_put(stream.out, 3, 4);
    gqa_gguf_put(stream.out, header->n, 8);
    gqa_gguf_put(stream.out, json_object_size(header->keys) + draft->n_pairs,
                 8);
    json_object_foreach(header->keys, key, value)
    {
        gqa_gguf_put_text(stream.out, key, strlen(key));
        put_value(stream.out, value);
    }
    if (draft->pairs_bytes > 0)
        fwrite(draft->pairs, 1, draft->pairs_bytes, stream.out);
    for (size_t i = 0; i < header->n; i++)
        put_tensor(stream.out, &header->tensors[i]);
    st = gqa_memory_stream_flush(&stream);
    if (st == GQA_OK) {
        text->n_bytes = (size_t)gqa_gguf_padded(stream.n);
        text->bytes = calloc(text->n_bytes, 1);
        if (text->bytes)
            memcpy(text->bytes, stream.text, stream.n);
        else
            st = gqa_fail_nomem();
    }
    gqa_memory_stream_free(&stream);
    return st;
}

void gqa_gguf_text_free(struct gqa_gguf_text *text)
{
    free(text->bytes);
}
