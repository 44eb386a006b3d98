/* What statistics of heads are learnt from: tokens that go through the
 * original on a device. */
#ifndef GQA_ALIGN_LEARNING_H
#define GQA_ALIGN_LEARNING_H

#include "common/progress.h"
#include "runtime/data/tokens.h"
#include "runtime/runtime.h"

enum gqa_learning_device {
    GQA_LEARN_AUTO, /* a GPU where there is one */
    GQA_LEARN_CPU,
    GQA_LEARN_CUDA,
};

struct gqa_learning_options {
    int device; /* enum gqa_learning_device */
    /* "none": no tokens; "self" or NULL: drawn from the model, or of
     * text_path; else a file of tokens. */
    const char *from;
    const char *text_path;
    uint64_t n, length; /* sequences, tokens of each; 0: the default */
    uint64_t seed;
};

bool gqa_learning_has_tokens(const struct gqa_learning_options *options);

/* All but the device, which gqa_learning_open() opens, and what it is opened
 * with, lent. */
struct gqa_learning {
    const struct gqa_learning_options *asked;
    unsigned n_threads;
    const struct gqa_network *network;
    struct gqa_weight_source weights;
    struct gqa_progress *bar;
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real; /* of its activations */
};

/*
 * On a GPU models that have more than a thousand million parameters in BF16
 * or F16 run in BF16: statistics of many tokens do not need more, and products
 * take a tenth of the time. All else runs in F32.
 *
 * Errors those of the backends.
 */
GQA_MUST_USE
enum gqa_status gqa_learning_open(struct gqa_learning *learning);
void gqa_learning_close(struct gqa_learning *learning);

/* At most n sequences of at most so many tokens. Errors those of tokens and,
 * where they are drawn, of runs. */
GQA_MUST_USE
enum gqa_status gqa_learning_tokens(struct gqa_tokens *out,
                                    const struct gqa_learning *learning,
                                    uint64_t n, uint64_t length);

/* As many as was asked for; 0: a file of tokens, which is taken as it is. */
uint64_t gqa_learning_n_sequences(const struct gqa_learning *learning);

/* Those, and at most `more` behind them, which change none of the others where
 * tokens are drawn. Text that would be gone over again gives none more. */
GQA_MUST_USE
enum gqa_status gqa_learning_all_tokens(struct gqa_tokens *out,
                                        const struct gqa_learning *learning,
                                        uint64_t more);

#endif
