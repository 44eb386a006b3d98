/*
 * What a pickle of PyTorch says: plain values, and tensors as they lie in
 * storages. Nothing else exists, so nothing else can come of reading one.
 *
 * A value is an index; values are made, lists of them grow, and all of them
 * go at once.
 */
#ifndef GQA_FORMATS_TORCH_VALUES_H
#define GQA_FORMATS_TORCH_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/tensor.h"

/*
 * Beyond what checkpoints hold, and within some 100 MiB: a tensor takes a
 * dozen values and 150 bytes of a pickle, and a model has a few thousand.
 */
#define GQA_PICKLE_MAX_BYTES   ((uint64_t)32 << 20)
#define GQA_PICKLE_MAX_VALUES  ((size_t)2 << 20)
#define GQA_PICKLE_MAX_TENSORS ((size_t)200000)

enum gqa_pickle_kind {
    GQA_PICKLE_NONE,
    GQA_PICKLE_BOOL,
    GQA_PICKLE_INT,
    GQA_PICKLE_LONG, /* beyond 64 bits: its bytes, as text */
    GQA_PICKLE_REAL, /* of which nothing is asked */
    GQA_PICKLE_TEXT,
    GQA_PICKLE_BYTES,
    GQA_PICKLE_LIST,
    GQA_PICKLE_TUPLE,
    GQA_PICKLE_SET,
    GQA_PICKLE_DICT,   /* key, value, key, value... */
    GQA_PICKLE_GLOBAL, /* globals.h */
    GQA_PICKLE_STORAGE,
    GQA_PICKLE_TENSOR,
    GQA_PICKLE_OBJECT, /* of no concern */
};

/* A value in a list of values. */
struct gqa_pickle_item {
    uint32_t value;
    uint32_t next; /* 0: the last */
};

struct gqa_pickle_value {
    enum gqa_pickle_kind kind;
    uint32_t n; /* bytes of text; items of a list */
    union {
        int64_t integer; /* and of a bool */
        size_t at;       /* of a text; a global's, storage's, tensor's number */
        struct {
            uint32_t first, last;
        } items;
    } is;
};

/* An array that a tensor's elements lie in, or that several share. */
struct gqa_pickle_storage {
    uint32_t key;   /* value: a text, which names the bytes */
    bool has_dtype; /* or it is of bytes, and the tensor tells; or unread */
    bool is_bytes;
    enum gqa_dtype dtype;
    uint64_t element_bytes;
    uint64_t n_elements;
    /* Of the array that it is a part of: elements, and which is its first. */
    uint64_t n_root, first;
    /* Found out from the file: where its first element lies. */
    bool is_found;
    uint64_t offset;
};

struct gqa_pickle_tensor {
    uint32_t storage;
    enum gqa_dtype dtype;
    uint64_t first; /* element of the storage */
    unsigned rank;
    uint64_t shape[GQA_MAX_RANK];
    uint64_t stride[GQA_MAX_RANK]; /* in elements */
};

/* Zero-initialise; gqa_pickle_values_clear() frees what was made. */
struct gqa_pickle_values {
    struct gqa_pickle_value *values; /* [n_values] */
    struct gqa_pickle_item *items;   /* [n_items] from 1 on */
    char *texts;                     /* [n_texts] each ends in '\0' */
    struct gqa_pickle_storage *storages;
    struct gqa_pickle_tensor *tensors;
    size_t n_values, n_items, n_texts, n_storages, n_tensors;
    size_t room_values, room_items, room_texts, room_storages, room_tensors;
};

void gqa_pickle_values_clear(struct gqa_pickle_values *values);

/* Each makes a value. Errors GQA_ERR_NOMEM, GQA_ERR_UNSUPPORTED: too many. */
GQA_MUST_USE
enum gqa_status gqa_pickle_make(uint32_t *out, struct gqa_pickle_values *values,
                                enum gqa_pickle_kind kind);
GQA_MUST_USE
enum gqa_status gqa_pickle_make_int(uint32_t *out,
                                    struct gqa_pickle_values *values,
                                    enum gqa_pickle_kind kind, int64_t integer);
/* n bytes of text that the caller fills in, until the next is made. */
GQA_MUST_USE
enum gqa_status gqa_pickle_make_text(uint32_t *out, char **text,
                                     struct gqa_pickle_values *values,
                                     enum gqa_pickle_kind kind, size_t n);
GQA_MUST_USE
enum gqa_status gqa_pickle_make_storage(
    uint32_t *out, struct gqa_pickle_values *values,
    const struct gqa_pickle_storage *storage);
GQA_MUST_USE
enum gqa_status gqa_pickle_make_tensor(uint32_t *out,
                                       struct gqa_pickle_values *values,
                                       const struct gqa_pickle_tensor *tensor);

/* Put a value behind the items of a list, tuple, set or dict. */
GQA_MUST_USE
enum gqa_status gqa_pickle_append(struct gqa_pickle_values *values,
                                  uint32_t list, uint32_t value);

static inline enum gqa_pickle_kind gqa_pickle_kind_of(
    const struct gqa_pickle_values *values, uint32_t value)
{
    return values->values[value].kind;
}

/* What a text, or bytes, is; lent until the next is made. */
static inline const char *gqa_pickle_text(
    const struct gqa_pickle_values *values, uint32_t value)
{
    return values->texts + values->values[value].is.at;
}

/* The first n items of a list or tuple; false where it has fewer. */
bool gqa_pickle_items(const struct gqa_pickle_values *values, uint32_t list,
                      uint32_t *items, size_t n);

/* A number that is not negative. */
bool gqa_pickle_u64(const struct gqa_pickle_values *values, uint32_t value,
                    uint64_t *out);

/* Whether it is a text that says this. */
bool gqa_pickle_says(const struct gqa_pickle_values *values, uint32_t value,
                     const char *text);

#endif
