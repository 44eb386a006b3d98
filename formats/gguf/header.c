#include "formats/gguf/header.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/json.h"
#include "formats/gguf/values.h"
#include "formats/input.h"
#include "formats/tensor.h"

static const unsigned char value_bytes[GQA_GGUF_N_VALUE_TYPES] = {
    1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8,
};

/* Far above what files have: a few dozen keys, some thousand tensors; lists of
 * a number for each layer. */
enum {
    MAX_KEYS = 1024,
    MAX_TEXT = 4096,
    MAX_LIST = 1024,
};

#define ALIGNMENT_KEY "general.alignment"

/* A text of at most so many bytes, with its end mark. *text is NULL for a
 * longer one, which is passed over. */
static enum gqa_status take_text(struct gqa_input *in, uint64_t most,
                                 char **text, size_t *n)
{
    uint64_t length;
    enum gqa_status st = gqa_input_number(in, &length, 8);

    *text = NULL;
    if (st != GQA_OK)
        return st;
    if (length > gqa_input_left(in))
        return gqa_fail(GQA_ERR_FORMAT,
                        "a text of %" PRIu64 " bytes, where %" PRIu64
                        " are left",
                        length, gqa_input_left(in));
    if (length > most)
        return gqa_input_skip(in, length);
    *n = (size_t)length;
    *text = malloc(*n + 1);
    if (!*text)
        return gqa_fail_nomem();
    (*text)[*n] = '\0';
    st = gqa_input_take(in, *text, *n);
    if (st != GQA_OK) {
        free(*text);
        *text = NULL;
    }
    return st;
}

/* A key, or a tensor's name: not empty, UTF-8, without NUL. */
static enum gqa_status take_name(struct gqa_input *in, char **name)
{
    enum gqa_status st;
    json_t *text = NULL;
    size_t n = 0;

    if ((st = take_text(in, MAX_TEXT, name, &n)) != GQA_OK)
        return st;
    if (*name && n > 0 && strlen(*name) == n)
        text = json_string(*name);
    if (!text) {
        free(*name);
        *name = NULL;
        return gqa_fail(GQA_ERR_FORMAT, "a name that is no text");
    }
    json_decref(text);
    return GQA_OK;
}

/* A number or a truth. */
static json_t *make_number(enum gqa_gguf_value_type type, uint64_t bits)
{
    double real;
    float small;
    uint32_t low = (uint32_t)bits;

    switch (type) {
    case GQA_GGUF_BOOL:
        return json_boolean(bits);
    case GQA_GGUF_I8:
        return json_integer((int8_t)bits);
    case GQA_GGUF_I16:
        return json_integer((int16_t)bits);
    case GQA_GGUF_I32:
        return json_integer((int32_t)bits);
    case GQA_GGUF_F32:
        memcpy(&small, &low, sizeof small);
        /* In as few digits as tell it: 1e-05, as configurations have it */
        for (int digits = 6; digits <= 9; digits++) {
            char text[32];

            snprintf(text, sizeof text, "%.*g", digits, (double)small);
            real = strtod(text, NULL);
            if ((float)real == small)
                break;
        }
        return isfinite(small) ? json_real(real) : json_null();
    case GQA_GGUF_F64:
        memcpy(&real, &bits, sizeof real);
        return isfinite(real) ? json_real(real) : json_null();
    default:
        return bits > INT64_MAX ? json_null() : json_integer((json_int_t)bits);
    }
}

static enum gqa_status take_number(struct gqa_input *in, json_t **out,
                                   enum gqa_gguf_value_type type)
{
    uint64_t bits;
    const enum gqa_status st = gqa_input_number(in, &bits, value_bytes[type]);

    if (st != GQA_OK)
        return st;
    *out = make_number(type, bits);
    return *out ? GQA_OK : gqa_fail_nomem();
}

/* What files of ours have, once each, with as many bytes as another's header
 * may have. */
static bool is_recorded(const char *key)
{
    return strcmp(key, "gqa.config") == 0 || strcmp(key, "gqa.recipe") == 0;
}

/* *out stays NULL for what is passed over. */
static enum gqa_status take_string(struct gqa_input *in, json_t **out,
                                   uint64_t most)
{
    char *text;
    size_t n = 0;
    const enum gqa_status st = take_text(in, most, &text, &n);

    if (st == GQA_OK && text)
        *out = json_stringn(text, n);
    free(text);
    return st;
}

static enum gqa_status skip_texts(struct gqa_input *in, uint64_t n)
{
    enum gqa_status st = GQA_OK;
    uint64_t length;

    for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
        st = gqa_input_number(in, &length, 8);
        if (st == GQA_OK)
            st = gqa_input_skip(in, length);
    }
    return st;
}

static enum gqa_status take_list(struct gqa_input *in, json_t **out)
{
    uint64_t type, n;
    enum gqa_status st = gqa_input_number(in, &type, 4);

    if (st == GQA_OK)
        st = gqa_input_number(in, &n, 8);
    if (st != GQA_OK)
        return st;
    if (type >= GQA_GGUF_N_VALUE_TYPES || type == GQA_GGUF_LIST)
        return gqa_fail(GQA_ERR_FORMAT, "a list of values of type %" PRIu64,
                        type);
    /* Each takes a byte at least. */
    if (n > gqa_input_left(in))
        return gqa_fail(GQA_ERR_FORMAT,
                        "a list of %" PRIu64 " values, where %" PRIu64
                        " bytes are left",
                        n, gqa_input_left(in));
    if (type == GQA_GGUF_TEXT)
        return skip_texts(in, n);
    if (n > MAX_LIST)
        return n > gqa_input_left(in) / value_bytes[type]
                   ? gqa_fail(GQA_ERR_FORMAT, "a list ends early")
                   : gqa_input_skip(in, n * value_bytes[type]);
    *out = json_array();
    for (uint64_t i = 0; i < n && st == GQA_OK; i++) {
        json_t *item = NULL;

        st = take_number(in, &item, (enum gqa_gguf_value_type)type);
        if (st == GQA_OK && json_array_append_new(*out, item) != 0)
            st = gqa_fail_nomem();
    }
    return st;
}

static enum gqa_status take_value(struct gqa_input *in, json_t **out,
                                  const char *key)
{
    uint64_t type;
    const enum gqa_status st = gqa_input_number(in, &type, 4);

    if (st != GQA_OK)
        return st;
    if (type >= GQA_GGUF_N_VALUE_TYPES)
        return gqa_fail(GQA_ERR_FORMAT, "a value of type %" PRIu64, type);
    return type == GQA_GGUF_TEXT
               ? take_string(in, out,
                             is_recorded(key) ? GQA_JSON_MAX_BYTES : MAX_TEXT)
           : type == GQA_GGUF_LIST
               ? take_list(in, out)
               : take_number(in, out, (enum gqa_gguf_value_type)type);
}

bool gqa_gguf_key_travels(const char *key)
{
    static const char *const form[] = {"general.architecture",
                                       "general.file_type", ALIGNMENT_KEY,
                                       "general.quantization_version"};

    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        if (strcmp(key, form[i]) == 0)
            return false;
    return strncmp(key, "tokenizer.", 10) == 0 ||
           strncmp(key, "general.", 8) == 0;
}

/* From where it begins to where the input is. */
static enum gqa_status keep_pair(struct gqa_gguf_header *h, const char *key,
                                 uint64_t begin, const struct gqa_input *in)
{
    struct gqa_gguf_pair *pair = &h->pairs[h->n_pairs];

    if (!gqa_gguf_key_travels(key))
        return GQA_OK;
    *pair = (struct gqa_gguf_pair){.key = strdup(key),
                                   .offset = begin,
                                   .n_bytes = gqa_input_at(in) - begin};
    if (!pair->key)
        return gqa_fail_nomem();
    h->n_pairs++;
    return GQA_OK;
}

static enum gqa_status take_pair(struct gqa_gguf_header *h,
                                 struct gqa_input *in)
{
    const uint64_t begin = gqa_input_at(in);
    json_t *value = NULL;
    enum gqa_status st;
    char *key;

    if ((st = take_name(in, &key)) != GQA_OK)
        return st;
    if (json_object_get(h->keys, key))
        st = gqa_fail(GQA_ERR_FORMAT, "the key %.200s is there twice", key);
    else
        st = take_value(in, &value, key);
    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%.200s", key);
    else if (json_object_set_new(h->keys, key, value ? value : json_null()) !=
             0)
        st = gqa_fail_nomem();
    else
        value = NULL;
    if (st == GQA_OK)
        st = keep_pair(h, key, begin, in);
    json_decref(value);
    free(key);
    return st;
}

/* --- Tensors -------------------------------------------------------------- */

enum gqa_status gqa_gguf_tensor_count(struct gqa_gguf_tensor *t)
{
    t->n_elements = 1;
    for (unsigned i = 0; i < t->rank; i++)
        if (t->shape[i] == 0 ||
            !gqa_mul_u64(t->n_elements, t->shape[i], &t->n_elements))
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s has no shape that can be", t->name);
    return GQA_OK;
}

static enum gqa_status measure(struct gqa_gguf_tensor *t, uint32_t number)
{
    const struct gqa_gguf_type *type = gqa_gguf_type_find(number);
    const uint64_t row = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    enum gqa_status st;

    if (!type)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "tensor %s is of type %" PRIu32
                        " of ggml, which is not known",
                        t->name, number);
    t->type = type;
    if ((st = gqa_gguf_tensor_count(t)) != GQA_OK)
        return st;
    if (row % type->block_elements != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: rows of %" PRIu64 " are no blocks of %s",
                        t->name, row, type->name);
    if (!gqa_mul_u64(t->n_elements / type->block_elements, type->block_bytes,
                     &t->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "tensor %s has no size that can be",
                        t->name);
    return GQA_OK;
}

static enum gqa_status take_tensor(struct gqa_gguf_tensor *t,
                                   struct gqa_input *in)
{
    uint64_t rank, type;
    enum gqa_status st;

    if ((st = take_name(in, &t->name)) != GQA_OK)
        return st;
    if ((st = gqa_tensor_name_check(t->name)) != GQA_OK)
        return st;
    if ((st = gqa_input_number(in, &rank, 4)) != GQA_OK)
        return st;
    if (rank > GQA_GGUF_MAX_RANK)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s has %" PRIu64 " dimensions; there are at "
                        "most %d",
                        t->name, rank, GQA_GGUF_MAX_RANK);
    t->rank = (unsigned)rank;
    /* The first is the length of a row. */
    for (unsigned i = t->rank; i-- > 0;)
        if ((st = gqa_input_number(in, &t->shape[i], 8)) != GQA_OK)
            return st;
    if ((st = gqa_input_number(in, &type, 4)) != GQA_OK)
        return st;
    if ((st = gqa_input_number(in, &t->offset, 8)) != GQA_OK)
        return st;
    return measure(t, (uint32_t)type);
}

static enum gqa_status read_alignment(uint64_t *out, const json_t *keys)
{
    const json_t *value = json_object_get(keys, ALIGNMENT_KEY);

    *out = 32;
    if (!value)
        return GQA_OK;
    if (!gqa_json_u64(value, out) || *out == 0 || *out > UINT32_MAX ||
        (*out & (*out - 1)) != 0)
        return gqa_fail(GQA_ERR_FORMAT, ALIGNMENT_KEY " is no power of two");
    return GQA_OK;
}

/* Each begins where the one before ends, but for padding: as ggml demands, and
 * so no byte is of two. */
static enum gqa_status place_tensors(struct gqa_gguf_header *h, uint64_t at,
                                     uint64_t size)
{
    uint64_t alignment, start, next = 0;
    enum gqa_status st;

    if ((st = read_alignment(&alignment, h->keys)) != GQA_OK)
        return st;
    start = (at + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < h->n; i++) {
        struct gqa_gguf_tensor *t = &h->tensors[i];
        uint64_t end;

        if (t->offset != next)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s begins at byte %" PRIu64
                            " of the data, not behind the one before it, at "
                            "%" PRIu64,
                            t->name, t->offset, next);
        if (!gqa_add_u64(start, t->offset, &t->offset) ||
            !gqa_add_u64(t->offset, t->n_bytes, &end) || end > size)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s ends behind the file's %" PRIu64
                            " bytes; the file is cut off",
                            t->name, size);
        /* No overflow: below the file's size, and a little */
        next = (end - start + alignment - 1) / alignment * alignment;
    }
    if (size > start + next)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes after the last tensor belong to no "
                        "tensor",
                        size - (start + next));
    return GQA_OK;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x, *y);
}

enum gqa_status gqa_gguf_header_check_unique(const struct gqa_gguf_header *h)
{
    const char **names = calloc(h->n + 1, sizeof(char *));
    enum gqa_status st = GQA_OK;

    if (!names)
        return gqa_fail_nomem();
    for (size_t i = 0; i < h->n; i++)
        names[i] = h->tensors[i].name;
    qsort(names, h->n, sizeof(char *), compare_names);
    for (size_t i = 1; i < h->n && st == GQA_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            st =
                gqa_fail(GQA_ERR_FORMAT, "two tensors are called %s", names[i]);
    free(names);
    return st;
}

/* --- The whole ------------------------------------------------------------ */

static enum gqa_status check_version(uint64_t version)
{
    if (version == 2 || version == 3)
        return GQA_OK;
    if ((version & 0xffff) == 0 && version != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a GGUF file of big-endian numbers; turn them round: "
                        "gguf-convert-endian FILE little");
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "version %" PRIu64 " of GGUF; 2 and 3 are read", version);
}

static enum gqa_status read_counts(struct gqa_input *in, uint64_t *n_tensors,
                                   uint64_t *n_keys)
{
    uint64_t mark, version;
    enum gqa_status st;

    if ((st = gqa_input_number(in, &mark, 4)) != GQA_OK)
        return st;
    if ((st = gqa_input_number(in, &version, 4)) != GQA_OK)
        return st;
    if ((st = check_version(version)) != GQA_OK)
        return st;
    if ((st = gqa_input_number(in, n_tensors, 8)) != GQA_OK)
        return st;
    if ((st = gqa_input_number(in, n_keys, 8)) != GQA_OK)
        return st;
    if (*n_keys > MAX_KEYS || *n_tensors > GQA_GGUF_MAX_TENSORS)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%" PRIu64 " keys and %" PRIu64
                        " tensors; at most %d and %d are read",
                        *n_keys, *n_tensors, MAX_KEYS, GQA_GGUF_MAX_TENSORS);
    return GQA_OK;
}

static enum gqa_status read_all(struct gqa_gguf_header *h, struct gqa_input *in,
                                uint64_t size)
{
    uint64_t n_tensors, n_keys;
    enum gqa_status st = read_counts(in, &n_tensors, &n_keys);

    if (st != GQA_OK)
        return st;
    h->keys = json_object();
    h->pairs = calloc((size_t)n_keys + 1, sizeof *h->pairs);
    if (!h->keys || !h->pairs)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n_keys; i++)
        if ((st = take_pair(h, in)) != GQA_OK)
            return st;
    h->tensors = calloc((size_t)n_tensors + 1, sizeof *h->tensors);
    if (!h->tensors)
        return gqa_fail_nomem();
    while (h->n < n_tensors)
        if ((st = take_tensor(&h->tensors[h->n++], in)) != GQA_OK)
            return st;
    st = gqa_gguf_header_check_unique(h);
    return st == GQA_OK ? place_tensors(h, gqa_input_at(in), size) : st;
}

enum gqa_status gqa_gguf_header_read(struct gqa_gguf_header *header, int fd,
                                     uint64_t size)
{
    struct gqa_input *in = malloc(sizeof *in);
    enum gqa_status st;

    if (!in)
        return gqa_fail_nomem();
    gqa_input_begin(in, "the header", fd, 0, size);
    st = read_all(header, in, size);
    free(in);
    return st;
}

void gqa_gguf_header_clear(struct gqa_gguf_header *header)
{
    json_decref(header->keys);
    for (size_t i = 0; i < header->n; i++)
        free(header->tensors[i].name);
    free(header->tensors);
    for (size_t i = 0; i < header->n_pairs; i++)
        free(header->pairs[i].key);
    free(header->pairs);
    memset(header, 0, sizeof *header);
}

bool gqa_gguf_header_has(const struct gqa_gguf_header *header, const char *name)
{
    for (size_t i = 0; i < header->n; i++)
        if (strcmp(header->tensors[i].name, name) == 0)
            return true;
    return false;
}
