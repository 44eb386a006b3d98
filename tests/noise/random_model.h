/* A Llama of random weights of any depth and width, in a file. */
#ifndef GQA_TESTS_NOISE_RANDOM_MODEL_H
#define GQA_TESTS_NOISE_RANDOM_MODEL_H

#include "runtime/weights.h"

struct random_model_shape {
    unsigned n_layers, d_model, head_dim, d_ff, vocab_size;
    unsigned n_heads; /* of the original; each KV head is a mean of
                         n_heads / n_kv_heads random ones */
    unsigned n_kv_heads;
    /* As trained models have it: channels and a first token of huge values,
     * uneven norms, and scores that attention is decided by. */
    bool is_uneven;
};

struct random_model {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_checkpoint_weights weights;
    struct gqa_weight_source source; /* of the weights; lent */
    char folder[256];
};

/* Writes model.safetensors in BF16 and config.json to a folder of its own in
 * $TMPDIR or /tmp. Errors those of writing and opening. */
GQA_MUST_USE
enum gqa_status random_model_open(struct random_model *out,
                                  const struct random_model_shape *shape);

/* Deletes the files. */
void random_model_close(struct random_model *model);

#endif
