/*
 * What a file of llama2.c says of itself, seven numbers, and the order of its
 * arrays: each kind for all layers, one after another.
 */
#ifndef GQA_FORMATS_LLAMA2C_LAYOUT_H
#define GQA_FORMATS_LLAMA2C_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum { GQA_LLAMA2C_NUMBERS = 28 }; /* bytes of the seven numbers */

struct gqa_llama2c_shape {
    uint64_t d_model, d_ff, n_layers, n_heads, n_kv_heads, vocab_size,
        n_positions;
    bool is_tied; /* the unembedding is the embedding */
};

/* An array of the file: of one tensor, or of one for each layer. */
struct gqa_llama2c_array {
    /* Its tensor; '%' stands for a layer. NULL: tables of angles, which are
     * worked out anew. */
    const char *name;
    uint64_t rows, columns; /* rows 0: a vector */
    bool is_by_layer;
    uint64_t n_paired_heads; /* whose rows RoPE turns in pairs; 0: none */
};

enum { GQA_LLAMA2C_MAX_ARRAYS = 14 };

/* The numbers; false: no model has such. */
bool gqa_llama2c_shape_read(struct gqa_llama2c_shape *shape,
                            const unsigned char *numbers);

/* The arrays of a version in their order. Returns how many. */
size_t gqa_llama2c_arrays(struct gqa_llama2c_array *arrays,
                          const struct gqa_llama2c_shape *shape,
                          unsigned version);

#endif
