#include "formats/gguf/header_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory_stream.h"
#include "formats/gguf/values.h"

enum { N_SPLIT_KEYS = 3 };

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

static uint32_t float_bits(double value)
{
    const float small = (float)value;
    uint32_t bits;

    memcpy(&bits, &small, sizeof bits);
    return bits;
}

static void put_real(FILE *out, double value)
{
    gqa_gguf_put(out, GQA_GGUF_F32, 4);
    gqa_gguf_put(out, float_bits(value), 4);
}

/* Keys are held against what this can say when they are made. */
static void put_whole(FILE *out, json_int_t value)
{
    gqa_gguf_put(out, GQA_GGUF_U32, 4);
    gqa_gguf_put(out, (uint64_t)value, 4);
}

/* Of whole numbers, of others, or of what is true. */
static void put_list(FILE *out, const json_t *list)
{
    const json_t *first = json_array_get(list, 0);
    const bool are_flags = json_is_boolean(first);

    gqa_gguf_put(out, GQA_GGUF_LIST, 4);
    gqa_gguf_put(out,
                 are_flags             ? GQA_GGUF_BOOL
                 : json_is_real(first) ? GQA_GGUF_F32
                                       : GQA_GGUF_I32,
                 4);
    gqa_gguf_put(out, json_array_size(list), 8);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (are_flags)
            gqa_gguf_put(out, json_is_true(item), 1);
        else if (json_is_real(first))
            gqa_gguf_put(out, float_bits(json_number_value(item)), 4);
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

/* Which of several files it is: of the types that llama.cpp reads them in. */
static void put_split(FILE *out, const struct gqa_gguf_part *part, size_t all)
{
    const struct {
        const char *key;
        enum gqa_gguf_value_type type;
        uint64_t value;
        unsigned n_bytes;
    } keys[N_SPLIT_KEYS] = {
        {"split.no", GQA_GGUF_U16, part->number, 2},
        {"split.count", GQA_GGUF_U16, part->count, 2},
        {"split.tensors.count", GQA_GGUF_I32, all, 4},
    };

    for (size_t i = 0; i < N_SPLIT_KEYS; i++) {
        gqa_gguf_put_text(out, keys[i].key, strlen(keys[i].key));
        gqa_gguf_put(out, keys[i].type, 4);
        gqa_gguf_put(out, keys[i].value, keys[i].n_bytes);
    }
}

/* base: where the data of its file begin. */
static void put_tensor(FILE *out, const struct gqa_gguf_tensor *t,
                       uint64_t base)
{
    gqa_gguf_put_text(out, t->name, strlen(t->name));
    gqa_gguf_put(out, t->rank, 4);
    for (unsigned i = t->rank; i-- > 0;)
        gqa_gguf_put(out, t->shape[i], 8);
    gqa_gguf_put(out, t->type->number, 4);
    gqa_gguf_put(out, t->offset - base, 8);
}

static void put_keys(FILE *out, const struct gqa_gguf_draft *draft)
{
    const char *key;
    json_t *value;

    json_object_foreach(draft->header.keys, key, value)
    {
        gqa_gguf_put_text(out, key, strlen(key));
        put_value(out, value);
    }
    if (draft->pairs_bytes > 0)
        fwrite(draft->pairs, 1, draft->pairs_bytes, out);
}

enum gqa_status gqa_gguf_text_create(struct gqa_gguf_text *text,
                                     const struct gqa_gguf_draft *draft,
                                     const struct gqa_gguf_part *part)
{
    const struct gqa_gguf_header *header = &draft->header;
    const struct gqa_gguf_tensor *tensors = header->tensors + part->first;
    const size_t n_keys =
        part->number == 0 ? json_object_size(header->keys) + draft->n_pairs : 0;
    struct gqa_memory_stream stream;
    enum gqa_status st = gqa_memory_stream_open(&stream);

    if (st != GQA_OK)
        return st;
    fputs("GGUF", stream.out);
    gqa_gguf_put(stream.out, 3, 4);
    gqa_gguf_put(stream.out, part->n, 8);
    gqa_gguf_put(stream.out, n_keys + (part->count > 1 ? N_SPLIT_KEYS : 0), 8);
    if (part->number == 0)
        put_keys(stream.out, draft);
    if (part->count > 1)
        put_split(stream.out, part, header->n);
    for (size_t i = 0; i < part->n; i++)
        put_tensor(stream.out, &tensors[i], tensors->offset);
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
