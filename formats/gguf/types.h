/*
 * Types of a GGUF file's tensors: elements by themselves, or blocks of them
 * that share a scale.
 */
#ifndef GQA_FORMATS_GGUF_TYPES_H
#define GQA_FORMATS_GGUF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"

struct gqa_gguf_type {
    uint32_t number; /* ggml's */
    const char *name;
    uint64_t block_elements, block_bytes;
    /* Of elements; of blocks what they stand for, F32. */
    enum gqa_dtype dtype;
    bool is_quantised;
    /* What a block stands for: block_elements numbers, exactly as ggml has
     * them. NULL: it cannot be said here, or there is nothing to do. */
    void (*decode)(float *out, const unsigned char *block);
};

/* NULL: none that is known. */
const struct gqa_gguf_type *gqa_gguf_type_find(uint32_t number);

#endif
