/*
 * The header of a GGUF file: keys with values, and where the tensors lie.
 * Versions 2 and 3, little-endian.
 */
#ifndef GQA_FORMATS_GGUF_HEADER_H
#define GQA_FORMATS_GGUF_HEADER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/gguf/types.h"

enum { GQA_GGUF_MAX_RANK = 4, GQA_GGUF_MAX_TENSORS = 100000 };

struct gqa_gguf_tensor {
    char *name; /* owned */
    unsigned rank;
    uint64_t shape[GQA_GGUF_MAX_RANK]; /* as ours: rows before columns */
    const struct gqa_gguf_type *type;
    uint64_t n_elements;
    uint64_t offset; /* in the file */
    uint64_t n_bytes;
    unsigned part; /* which file, of a model in several; from 0 on */
};

/* Its elements, by rank and shape. Errors GQA_ERR_FORMAT: none, or more than
 * can be counted. */
GQA_MUST_USE
enum gqa_status gqa_gguf_tensor_count(struct gqa_gguf_tensor *tensor);

/* A key that others of its kind have, too, with its value, as they lie. */
struct gqa_gguf_pair {
    char *key;       /* owned */
    uint64_t offset; /* in the file */
    uint64_t n_bytes;
};

/* Zero-initialise; gqa_gguf_header_clear() frees what reading put in. */
struct gqa_gguf_header {
    /* Numbers, truths, texts and lists of numbers by their keys. Long texts
     * that we do not write, long lists and lists of texts (a tokenizer's) are
     * passed over. */
    json_t *keys;
    struct gqa_gguf_tensor *tensors; /* [n] as they lie */
    size_t n;
    /* What a file that is made of this one takes as it is: the vocabulary, and
     * what the model is called and by whom (gqa_gguf_key_travels()). */
    struct gqa_gguf_pair *pairs; /* [n_pairs] */
    size_t n_pairs;
};

/*
 * Read the header of a file of `size` bytes. Memory is taken by what the file
 * holds.
 *
 * Errors GQA_ERR_FORMAT: damaged, cut off, a name or key twice, tensors that
 * do not follow each other; GQA_ERR_UNSUPPORTED: another version, byte order,
 * more of something than the limits; GQA_ERR_IO, GQA_ERR_NOMEM. On an error the
 * caller clears it, too.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_header_read(struct gqa_gguf_header *header, int fd,
                                     uint64_t size);
void gqa_gguf_header_clear(struct gqa_gguf_header *header);

/* That no two tensors have one name; reading has checked it. Errors
 * GQA_ERR_FORMAT, GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_gguf_header_check_unique(
    const struct gqa_gguf_header *header);

/* Whether a key is one that travels: "tokenizer.*", and "general.*" but what
 * this file's form has to say. */
bool gqa_gguf_key_travels(const char *key);

/* Whether there is a tensor of this name. */
bool gqa_gguf_header_has(const struct gqa_gguf_header *header,
                         const char *name);

#endif
