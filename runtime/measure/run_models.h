/*
 * Models run over token sequences, one at a time: what the first gives is
 * kept in a file, and what the next gives is held against it block by
 * block, so that two models are never in memory together.
 */
#ifndef GQA_RUNTIME_MEASURE_RUN_MODELS_H
#define GQA_RUNTIME_MEASURE_RUN_MODELS_H

#include "runtime/data/tokens.h"
#include "runtime/measure/fidelity.h"
#include "runtime/runtime.h"

struct gqa_run_options {
    const struct gqa_backend *backend; /* lent */
    struct gqa_device_options device;
};

/* A model on a device. */
struct gqa_running;

/*
 * model, weights  lent until gqa_running_close().
 * Errors those of gqa_network_create(), of opening the device and of
 *        gqa_runtime_create().
 */
GQA_MUST_USE
enum gqa_status gqa_running_open(struct gqa_running **out,
                                 const struct gqa_model *model,
                                 const struct gqa_weight_source *weights,
                                 const struct gqa_run_options *options);
void gqa_running_close(struct gqa_running *running);

/* All lent. */
const struct gqa_network *gqa_running_network(
    const struct gqa_running *running);
struct gqa_runtime *gqa_running_runtime(struct gqa_running *running);
GQA_MUST_USE
enum gqa_status gqa_running_describe(struct gqa_running *running,
                                     struct gqa_device_info *out);

/* Called as sequences end; positions of the decoder. */
struct gqa_run_progress {
    void (*update)(void *ctx, uint64_t done, uint64_t all); /* or NULL */
    void *ctx;
    uint64_t base, all; /* added to done; what is given as all */
};

/*
 * Run each sequence, alone. output: its callbacks get the sequence's index
 * in tokens. token_by_token: the decoder takes one token a step, from its
 * KV cache, instead of all at once.
 *
 * Errors those of the session and the callbacks; GQA_ERR_USAGE where a
 * sequence has no decoder tokens; GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_running_run(struct gqa_running *running,
                                const struct gqa_tokens *tokens,
                                bool token_by_token,
                                const struct gqa_step_output *output,
                                const struct gqa_run_progress *progress);

/* What a model gave, on disk. */
struct gqa_trace;

struct gqa_trace_options {
    enum gqa_dtype dtype; /* F32 or F64: how values are kept */
    bool residual;        /* also the residual streams of all layers */
};

/*
 * Run the model and keep its logits (and residual streams) in a file
 * without a name in $TMPDIR or /tmp.
 *
 * tokens  lent until gqa_trace_free().
 * Errors  those of gqa_running_run(); GQA_ERR_IO with the bytes needed.
 */
GQA_MUST_USE
enum gqa_status gqa_trace_record(struct gqa_trace **out,
                                 struct gqa_running *running,
                                 const struct gqa_tokens *tokens,
                                 const struct gqa_trace_options *options,
                                 const struct gqa_run_progress *progress);
void gqa_trace_free(struct gqa_trace *trace);

/* Layers of both stacks, encoder first: elements of a comparison's drift. */
size_t gqa_trace_n_layers(const struct gqa_trace *trace);

/* Logits of n_rows positions of a sequence, [n_rows, vocab_size]. */
GQA_MUST_USE
enum gqa_status gqa_trace_logits(struct gqa_trace *trace, uint64_t s,
                                 uint64_t position, uint64_t n_rows,
                                 double *logits);

/* What a comparison adds to; each may be NULL. */
struct gqa_comparison {
    struct gqa_fidelity *fidelity;
    struct gqa_drift *logits; /* the distance of all logits */
    struct gqa_drift *layers; /* [gqa_trace_n_layers()], of a trace with
                                 residuals */
};

/*
 * Run a model over the trace's tokens (the first max_sequences; 0: all) and
 * compare.
 *
 * Errors those of gqa_running_run(); GQA_ERR_UNSUPPORTED: the models differ
 *        in vocabulary, width or number of layers.
 */
GQA_MUST_USE
enum gqa_status gqa_trace_compare(struct gqa_trace *trace,
                                  struct gqa_running *running,
                                  uint64_t max_sequences, bool token_by_token,
                                  const struct gqa_comparison *comparison,
                                  const struct gqa_run_progress *progress);

#endif
