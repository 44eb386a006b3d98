/*
 * A model as llama.cpp is to have it, before anything is written: its keys, its
 * tensors, and what each of these is made of. By the tables that reading goes
 * by, and held against what reading makes of it.
 */
#ifndef GQA_FORMATS_GGUF_DRAFT_H
#define GQA_FORMATS_GGUF_DRAFT_H

#include "formats/gguf/architecture_table.h"
#include "formats/write/output.h"

/* What a tensor of the file is made of. */
struct gqa_gguf_piece {
    /* Tensors of the output, of one shape, whose contents follow each other:
     * the experts, or one. */
    size_t *parts; /* [n_parts], owned */
    size_t n_parts;
    enum gqa_dtype dtype; /* of these */
    struct gqa_gguf_place place;
    /* In place of all that: numbers of its own, [n_elements], owned. */
    float *values;
};

struct gqa_gguf_draft {
    const struct gqa_gguf_architecture *architecture;
    struct gqa_gguf_header header; /* offsets: from the data's beginning */
    struct gqa_gguf_piece *pieces; /* [header.n] */
    uint64_t data_bytes;           /* of all tensors, padded */
    /* Keys with values besides, as they lie in a file: [n_pairs] of them. */
    unsigned char *pairs; /* owned */
    size_t pairs_bytes, n_pairs;
    bool has_vocabulary;
    /* Why llama.cpp may make other tokens of some texts; NULL: it does not. */
    const char *texts_differ;
    /* The context is that of its layers' windows, which llama.cpp has not of
     * such models; else 0. */
    uint64_t window;
    /* RoPE is scaled in texts that are longer than the context alone, which
     * llama.cpp does not know. */
    bool grows;
};

/* Tensors begin at multiples of it. */
enum { GQA_GGUF_ALIGNMENT = 32 };

uint64_t gqa_gguf_padded(uint64_t n_bytes);

/*
 * output  with model, config and tensors; nothing of it is read but that.
 * Errors  GQA_ERR_UNSUPPORTED: llama.cpp does not know such a model, or cannot
 *         be told of something in it; GQA_ERR_USAGE: its layers differ in KV
 *         heads, and options do not allow it; GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 *         The caller clears it on an error, too.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_draft_create(struct gqa_gguf_draft *draft,
                                      const struct gqa_output *output);
void gqa_gguf_draft_clear(struct gqa_gguf_draft *draft);

/* The first architecture for models of this type; NULL: there is none. */
const struct gqa_gguf_architecture *gqa_gguf_architecture_of(
    const char *model_type);

#endif
