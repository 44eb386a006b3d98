/*
 * Models of llama.cpp as the checkpoints that they were made from: names and
 * orientation of Hugging Face, heads' rows where they lie there, and the
 * configuration.
 */
#ifndef GQA_FORMATS_GGUF_ARCHITECTURE_H
#define GQA_FORMATS_GGUF_ARCHITECTURE_H

#include <stdbool.h>

#include "formats/gguf/header.h"

/* How a tensor's rows come to be those of the original. */
enum gqa_gguf_order {
    GQA_GGUF_AS_IT_IS,
    /* Its matrix is transposed. */
    GQA_GGUF_TURNED,
    /* In each head rows lie in pairs (2i, 2i + 1) that the original has half a
     * head apart (i, i + dim / 2): what RoPE turns. */
    GQA_GGUF_PAIRED,
    GQA_GGUF_PAIRED_KEYS, /* likewise, of as many heads as keys have */
    /* [all q, all k, all v], and by groups of heads, [q... k v], there. */
    GQA_GGUF_BY_GROUPS,
    /* Rows as they are; each number is one more than in the original. */
    GQA_GGUF_ONE_MORE,
    /* Of [rows, columns], or of [experts, rows, columns] each expert's, the
     * first or the second half of the rows in the original. */
    GQA_GGUF_FIRST_HALVES,
    GQA_GGUF_SECOND_HALVES,
    /* Of what the original has as [all q, all k, all v], one of these; q and k
     * in pairs, as above. */
    GQA_GGUF_QUERIES,
    GQA_GGUF_KEYS,
    GQA_GGUF_VALUES,
    /* The same of [q... k v] by groups of heads */
    GQA_GGUF_GROUPED_QUERIES,
    GQA_GGUF_GROUPED_KEYS,
    GQA_GGUF_GROUPED_VALUES,
    /* A row of numbers, which the original has as a matrix of one; so have some
     * files, in which it is as it is. */
    GQA_GGUF_ROW,
};

struct gqa_gguf_place {
    enum gqa_gguf_order order;
    uint64_t n_heads, n_kv_heads; /* of the heads that are put in order */
    uint64_t head_dim;
};

struct gqa_gguf_architecture;

/* What general.architecture says, tensors that only some models of it have, and
 * the configuration that a file of ours records (NULL: it does not). NULL: none
 * that is known, whose tensors keep their names and have no configuration. */
const struct gqa_gguf_architecture *gqa_gguf_architecture_find(
    const struct gqa_gguf_header *header, const json_t *recorded);

/*
 * A tensor's name in the original, which the caller owns, and how its rows
 * lie; its own name where it is none of the model's parameters. *name stays
 * NULL for what is no parameter there. Errors GQA_ERR_FORMAT: heads that do
 * not fit its rows, or numbers of a type that such a tensor cannot have;
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_tensor_place(
    char **name, struct gqa_gguf_place *place,
    const struct gqa_gguf_architecture *architecture,
    const struct gqa_gguf_header *header, const struct gqa_gguf_tensor *tensor);

/* Whether it is of a layer that predicts more tokens than the next one, behind
 * those of the model: no parameter, either. */
bool gqa_gguf_predicts_more(const struct gqa_gguf_architecture *architecture,
                            const struct gqa_gguf_header *header,
                            const char *name);

/* Whether it has one of both halves. */
bool gqa_gguf_is_half(enum gqa_gguf_order order);

/* In how many tensors the file has what is one in the original, and which of
 * them, from 0 on, such a one is. */
unsigned gqa_gguf_n_slices(enum gqa_gguf_order order);
unsigned gqa_gguf_slice(enum gqa_gguf_order order);

/* Where in the file a row of the original lies, of queries, keys and values by
 * themselves counted through all three; and which row of the original lies
 * there, counted in each. */
uint64_t gqa_gguf_row(const struct gqa_gguf_place *place, uint64_t row);
uint64_t gqa_gguf_original_row(const struct gqa_gguf_place *place,
                               uint64_t row);

/*
 * The configuration. The caller owns *config. Errors GQA_ERR_FORMAT: a key
 * that is missing or has no such value; GQA_ERR_UNSUPPORTED: what a
 * configuration of the model type cannot say; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_config_create(
    json_t **config, const struct gqa_gguf_architecture *architecture,
    const struct gqa_gguf_header *header);

/* The same of the keys alone: what none of them says is left out. */
GQA_MUST_USE
enum gqa_status gqa_gguf_config_said(
    json_t **config, const struct gqa_gguf_architecture *architecture,
    const struct gqa_gguf_header *header);

/* What no key says of a model, where its number of layers tells. */
bool gqa_gguf_known_value(json_int_t *out,
                          const struct gqa_gguf_architecture *architecture,
                          uint64_t n_layers);

enum { GQA_GGUF_MAX_KEY = 128 };

/* "llama.block_count" of "%.block_count". */
void gqa_gguf_key_name(char out[GQA_GGUF_MAX_KEY],
                       const struct gqa_gguf_architecture *architecture,
                       const char *key);

/* What it says; NULL: nothing. Lent by keys. */
const json_t *gqa_gguf_key_value(
    const struct gqa_gguf_architecture *architecture, const json_t *keys,
    const char *key);

/* What is said of a key's value that ought to be a number, NaN among them. */
#define GQA_GGUF_NO_NUMBER \
    "is no number; give --config the original's config.json"

/* GQA_ERR_FORMAT: "the key llama.block_count " and what is said of it. */
GQA_MUST_USE
enum gqa_status gqa_gguf_refuse_key(
    const struct gqa_gguf_architecture *architecture, const char *key,
    const char *what);

/* Of a number that was computed with on its way into a float32, what it was:
 * the shortest that it may have been. Owned. */
json_t *gqa_gguf_rounded(double value);

#endif
