/*
 * Models are run one at a time: what the first gives is kept in a file, and
 * what the next gives is held against it block by block, so that two models
 * are never in memory together.
 */
#ifndef GQA_RUNTIME_MEASURE_TRACE_H
#define GQA_RUNTIME_MEASURE_TRACE_H

#include "runtime/measure/errors.h"
#include "runtime/measure/fidelity.h"
#include "runtime/measure/running.h"

/* What a model gave, on disk. */
struct gqa_trace;

struct gqa_trace_options {
    enum gqa_dtype dtype; /* F32 or F64: how values are kept */
    bool residual;        /* also the residual streams of all layers */
    bool attended;        /* and what their attentions give, before o */
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

/* Whether the model makes logits of tokens, and how wide these are, or the rows
 * in their place. */
bool gqa_trace_has_logits(const struct gqa_trace *trace);
uint64_t gqa_trace_n_outputs(const struct gqa_trace *trace);

/* Layers of both stacks, encoder first: elements of a comparison's drift. */
size_t gqa_trace_n_layers(const struct gqa_trace *trace);

/* Where errors are looked at, in running order; of an attention that a model
 * does not have there are none. */
struct gqa_trace_point {
    enum {
        GQA_POINT_SELF,  /* what an attention gives, before o */
        GQA_POINT_CROSS, /* the same of a cross-attention */
        GQA_POINT_AFTER, /* the residual stream after a layer */
        GQA_POINT_LOGITS /* or the rows in their place */
    } kind;
    enum gqa_stack stack; /* and layer: not of LOGITS */
    size_t layer;
};

size_t gqa_trace_n_points(const struct gqa_trace *trace);
struct gqa_trace_point gqa_trace_point(const struct gqa_trace *trace,
                                       size_t index);

/* Logits, or what stands in their place, of n_rows positions of a sequence,
 * [n_rows, n_outputs]. */
GQA_MUST_USE
enum gqa_status gqa_trace_logits(struct gqa_trace *trace, uint64_t s,
                                 uint64_t position, uint64_t n_rows,
                                 double *logits);

/* What a comparison adds to; each may be NULL. */
struct gqa_comparison {
    struct gqa_fidelity *fidelity; /* of a model that makes logits */
    struct gqa_drift *logits; /* the distance of all logits, or of the rows */
    struct gqa_drift *layers; /* [gqa_trace_n_layers()], of a trace with
                                 residuals */
    /* [gqa_trace_n_points()], of a trace with residuals and attentions */
    struct gqa_errors *errors;
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
