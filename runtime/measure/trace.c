#include "runtime/measure/trace.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/file.h"
#include "common/temporary.h"

/*
 * For each sequence: logits [n_decoder, n_outputs], then, where residuals are
 * kept, each encoder layer's [n_encoder, d_model] and each decoder layer's
 * [n_decoder, d_model]; then, where they are kept, what attentions give, in
 * rows as wide as the widest: those of the encoder, of the decoder, and its
 * cross-attentions. An encoder alone reads what else a decoder would, so that
 * its rows are n_decoder.
 */
struct gqa_trace {
    int fd;
    const struct gqa_tokens *tokens;
    struct gqa_trace_options options;
    uint64_t n_outputs, d_model;
    uint64_t n_layers[2]; /* of encoder and decoder */
    bool has_logits;
    bool is_encoder; /* it is alone */
    bool looks_back; /* some of its attentions are cross-attentions */
    uint64_t attended_width;
    uint64_t *starts; /* [tokens->n]: first element of each */
    /* Values of a few rows, as kept and as double. */
    void *stored;
    double *values;
    size_t room;
};

void gqa_trace_free(struct gqa_trace *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    free(t->starts);
    free(t->stored);
    free(t->values);
    free(t);
}

static void count_layers(uint64_t n_layers[2],
                         const struct gqa_network *network)
{
    n_layers[0] = n_layers[1] = 0;
    for (size_t i = 0; i < network->n_stacks; i++)
        n_layers[network->stacks[i].stack == GQA_STACK_DECODER] +=
            network->stacks[i].n_blocks;
}

bool gqa_trace_has_logits(const struct gqa_trace *t)
{
    return t->has_logits;
}

uint64_t gqa_trace_n_outputs(const struct gqa_trace *t)
{
    return t->n_outputs;
}

size_t gqa_trace_n_layers(const struct gqa_trace *t)
{
    return t->n_layers[0] + t->n_layers[1];
}

/* A layer's points are its attention, its cross-attention and the stream. */
enum { POINTS = GQA_POINT_AFTER + 1 };

size_t gqa_trace_n_points(const struct gqa_trace *t)
{
    return POINTS * gqa_trace_n_layers(t) + 1;
}

struct gqa_trace_point gqa_trace_point(const struct gqa_trace *t, size_t index)
{
    const size_t layer = index / POINTS;
    struct gqa_trace_point point = {.kind = GQA_POINT_LOGITS};

    if (layer >= gqa_trace_n_layers(t))
        return point;
    point.kind = index % POINTS;
    point.stack =
        layer < t->n_layers[0] ? GQA_STACK_ENCODER : GQA_STACK_DECODER;
    point.layer = layer < t->n_layers[0] ? layer : layer - t->n_layers[0];
    return point;
}

/* At an encoder, or at rows that are given to it without one. */
static bool looks_back(const struct gqa_network *network)
{
    const struct gqa_network_stack *last =
        &network->stacks[network->n_stacks - 1];
    bool any = false;

    for (size_t j = 0; j < last->n_blocks; j++)
        any = any || last->blocks[j].has_cross;
    return any;
}

static uint64_t widest_attention(const struct gqa_network *network)
{
    uint64_t most = 0;

    for (size_t i = 0; i < network->n_stacks; i++)
        for (size_t j = 0; j < network->stacks[i].n_blocks; j++) {
            const struct gqa_block *b = &network->stacks[i].blocks[j];
            const struct gqa_attention *self = b->self.heads;
            const struct gqa_attention *cross =
                b->has_cross ? b->cross.heads : self;

            most = gqa_max_u64(most, self->n_heads * self->head_dim);
            most = gqa_max_u64(most, cross->n_heads * cross->head_dim);
        }
    return most;
}

/* Tokens that the encoder reads. */
static uint64_t encoder_rows(const struct gqa_trace *t,
                             const struct gqa_sequence *s)
{
    return t->is_encoder ? s->n_decoder : s->n_encoder;
}

static uint64_t residual_rows(const struct gqa_trace *t,
                              const struct gqa_sequence *s)
{
    return t->n_layers[0] * encoder_rows(t, s) + t->n_layers[1] * s->n_decoder;
}

/* Elements of a sequence: rows x width of each part. */
static bool sequence_elements(const struct gqa_trace *t,
                              const struct gqa_sequence *s, uint64_t *n)
{
    uint64_t encoder, decoder, attended, cross, residual;

    if (!gqa_mul_u64(s->n_decoder, t->n_outputs, n))
        return false;
    if (!t->options.residual)
        return true;
    if (!gqa_mul_u64(t->n_layers[0], encoder_rows(t, s), &encoder) ||
        !gqa_mul_u64(t->n_layers[1], s->n_decoder, &decoder) ||
        !gqa_add_u64(encoder, decoder, &attended) ||
        !gqa_mul_u64(attended, t->d_model, &residual) ||
        !gqa_add_u64(*n, residual, n))
        return false;
    if (!t->options.attended)
        return true;
    cross = t->looks_back ? decoder : 0;
    return gqa_add_u64(attended, cross, &attended) &&
           gqa_mul_u64(attended, t->attended_width, &attended) &&
           gqa_add_u64(*n, attended, n);
}

static unsigned width_of(const struct gqa_trace *t)
{
    return gqa_dtype_bits(t->options.dtype) / 8;
}

/* n_bytes: of all sequences. */
static enum gqa_status lay_out(struct gqa_trace *t, uint64_t *n_bytes)
{
    uint64_t at = 0, n;

    t->starts = calloc(t->tokens->n ? t->tokens->n : 1, sizeof *t->starts);
    if (!t->starts)
        return gqa_fail_nomem();
    for (size_t i = 0; i < t->tokens->n; i++) {
        t->starts[i] = at;
        if (!sequence_elements(t, &t->tokens->sequences[i], &n) ||
            !gqa_add_u64(at, n, &at))
            return gqa_fail(GQA_ERR_USAGE, "too many tokens to keep");
    }
    if (!gqa_mul_u64(at, width_of(t), n_bytes) || *n_bytes > INT64_MAX)
        return gqa_fail(GQA_ERR_USAGE, "too many tokens to keep");
    return GQA_OK;
}

/* Room for n values in the buffers. */
static enum gqa_status reserve(struct gqa_trace *t, size_t n)
{
    if (n <= t->room)
        return GQA_OK;
    free(t->stored);
    free(t->values);
    t->room = 0;
    t->stored = calloc(n, sizeof(double));
    t->values = calloc(n, sizeof *t->values);
    if (!t->stored || !t->values)
        return gqa_fail_nomem();
    t->room = n;
    return GQA_OK;
}

static enum gqa_status keep(struct gqa_trace *t, uint64_t at,
                            const double *values, size_t n)
{
    enum gqa_status st = reserve(t, n);

    if (st != GQA_OK)
        return st;
    gqa_store_f64(t->stored, t->options.dtype, values, n);
    return gqa_temporary_write(t->fd, t->stored, n * width_of(t),
                               at * width_of(t));
}

/* n values from element `at` on into t->values. */
static enum gqa_status recall(struct gqa_trace *t, uint64_t at, size_t n)
{
    enum gqa_status st = reserve(t, n);

    if (st == GQA_OK)
        st = gqa_file_read(t->fd, t->stored, n * width_of(t), at * width_of(t));
    if (st == GQA_OK)
        gqa_load_f64(t->values, t->stored, t->options.dtype, n);
    return st;
}

static uint64_t logits_at(const struct gqa_trace *t, uint64_t s,
                          uint64_t position)
{
    return t->starts[s] + position * t->n_outputs;
}

static uint64_t residual_at(const struct gqa_trace *t, enum gqa_stack stack,
                            uint64_t layer, uint64_t s, uint64_t position)
{
    const struct gqa_sequence *sequence = &t->tokens->sequences[s];
    uint64_t row = layer * encoder_rows(t, sequence) + position;

    if (stack == GQA_STACK_DECODER)
        row = t->n_layers[0] * encoder_rows(t, sequence) +
              layer * sequence->n_decoder + position;
    return logits_at(t, s, sequence->n_decoder) + row * t->d_model;
}

/* Of row r of what is tapped; false: it is padding. */
static bool attended_at(uint64_t *at, const struct gqa_trace *t,
                        const struct gqa_tapped *tapped, uint64_t r,
                        uint64_t *s)
{
    const struct gqa_sequence *sequence;
    uint64_t position, row;

    if (!gqa_tapped_row(tapped, r, s, &position))
        return false;
    sequence = &t->tokens->sequences[*s];
    row = tapped->layer * encoder_rows(t, sequence) + position;
    if (tapped->stack == GQA_STACK_DECODER)
        row = t->n_layers[0] * encoder_rows(t, sequence) +
              tapped->layer * sequence->n_decoder + position;
    if (tapped->kind == GQA_ATTENTION_CROSS)
        row += t->n_layers[1] * sequence->n_decoder;
    *at = logits_at(t, *s, sequence->n_decoder) +
          residual_rows(t, sequence) * t->d_model + row * t->attended_width;
    return true;
}

static enum gqa_status keep_attended(void *ctx, const struct gqa_tapped *tapped)
{
    struct gqa_trace *t = ctx;
    double *values = calloc(tapped->n_rows * tapped->width + 1, sizeof *values);
    enum gqa_status st =
        values ? gqa_tapped_fetch(tapped, values) : gqa_fail_nomem();
    uint64_t at, s;

    for (uint64_t r = 0; r < tapped->n_rows && st == GQA_OK; r++)
        if (attended_at(&at, t, tapped, r, &s))
            st = keep(t, at, values + r * tapped->width, tapped->width);
    free(values);
    return st;
}

static enum gqa_status keep_logits(void *ctx, uint64_t s, uint64_t position,
                                   uint64_t n_rows, const double *logits)
{
    struct gqa_trace *t = ctx;

    return keep(t, logits_at(t, s, position), logits, n_rows * t->n_outputs);
}

static enum gqa_status keep_residual(void *ctx, enum gqa_stack stack,
                                     uint64_t layer, uint64_t s,
                                     uint64_t position, uint64_t n_rows,
                                     const double *x)
{
    struct gqa_trace *t = ctx;

    return keep(t, residual_at(t, stack, layer, s, position), x,
                n_rows * t->d_model);
}

enum gqa_status gqa_trace_record(struct gqa_trace **out,
                                 struct gqa_running *running,
                                 const struct gqa_tokens *tokens,
                                 const struct gqa_trace_options *options,
                                 const struct gqa_run_progress *progress)
{
    const struct gqa_network *network = gqa_running_network(running);
    struct gqa_trace *t = calloc(1, sizeof *t);
    struct gqa_step_output output = {.ctx = t, .logits = keep_logits};
    const struct gqa_taps taps = {GQA_TAP(GQA_TAP_ATTENDED), keep_attended, t};
    uint64_t n_bytes = 0;
    enum gqa_status st;

    if (!t)
        return gqa_fail_nomem();
    t->fd = -1;
    t->tokens = tokens;
    t->options = *options;
    t->n_outputs = network->n_outputs;
    t->has_logits = network->has_logits;
    t->is_encoder = gqa_network_is_encoder(network);
    t->looks_back = looks_back(network);
    t->d_model = network->d_model;
    t->attended_width = widest_attention(network);
    count_layers(t->n_layers, network);
    if (options->residual)
        output.residual = keep_residual;
    if (options->residual && options->attended)
        output.taps = &taps;
    st = lay_out(t, &n_bytes);
    if (st == GQA_OK)
        st = gqa_temporary_open(&t->fd, n_bytes, "what a model gives");
    if (st == GQA_OK)
        st = gqa_running_run(running, tokens, false, &output, progress);
    if (st == GQA_OK)
        *out = t;
    else
        gqa_trace_free(t);
    return st;
}

enum gqa_status gqa_trace_logits(struct gqa_trace *t, uint64_t s,
                                 uint64_t position, uint64_t n_rows,
                                 double *logits)
{
    const size_t n = n_rows * t->n_outputs;
    enum gqa_status st = recall(t, logits_at(t, s, position), n);

    for (size_t i = 0; i < n && st == GQA_OK; i++)
        logits[i] = t->values[i];
    return st;
}

struct comparing {
    struct gqa_trace *trace;
    const struct gqa_comparison *to;
    /* For each sequence, of logits and of each layer: put together at the
     * end in the sequences' order, whatever order they came in. */
    struct gqa_drift *drifts;
    size_t per_sequence;
    struct gqa_errors *errors; /* likewise, of each point */
    size_t points;
};

static enum gqa_status compare_logits(void *ctx, uint64_t s, uint64_t position,
                                      uint64_t n_rows, const double *logits)
{
    const struct comparing *c = ctx;
    struct gqa_trace *t = c->trace;
    const uint64_t v = t->n_outputs;
    const int32_t *next = t->tokens->sequences[s].next + position;
    enum gqa_status st;

    st = recall(t, logits_at(t, s, position), n_rows * v);
    if (st != GQA_OK)
        return st;
    if (c->to->logits)
        gqa_drift_add(&c->drifts[s * c->per_sequence], t->values, logits,
                      n_rows * v);
    if (c->to->errors)
        gqa_errors_add(&c->errors[(s + 1) * c->points - 1], t->values, logits,
                       n_rows, v);
    for (uint64_t r = 0; c->to->fidelity && r < n_rows; r++) {
        if (next[r] == GQA_NOT_COUNTED)
            continue;
        gqa_fidelity_add(c->to->fidelity, t->values + r * v, logits + r * v,
                         next[r], (struct gqa_place){s, position + r});
    }
    return GQA_OK;
}

static enum gqa_status compare_residual(void *ctx, enum gqa_stack stack,
                                        uint64_t layer, uint64_t s,
                                        uint64_t position, uint64_t n_rows,
                                        const double *x)
{
    const struct comparing *c = ctx;
    struct gqa_trace *t = c->trace;
    const size_t n = n_rows * t->d_model;
    const uint64_t index =
        layer + (stack == GQA_STACK_DECODER ? t->n_layers[0] : 0);
    enum gqa_status st;

    st = recall(t, residual_at(t, stack, layer, s, position), n);
    if (st != GQA_OK)
        return st;
    if (c->to->layers)
        gqa_drift_add(&c->drifts[s * c->per_sequence + 1 + index], t->values, x,
                      n);
    if (c->to->errors)
        gqa_errors_add(
            &c->errors[s * c->points + POINTS * index + GQA_POINT_AFTER],
            t->values, x, n_rows, t->d_model);
    return GQA_OK;
}

static enum gqa_status compare_attended(void *ctx,
                                        const struct gqa_tapped *tapped)
{
    const struct comparing *c = ctx;
    struct gqa_trace *t = c->trace;
    const size_t point =
        POINTS * (tapped->layer +
                  (tapped->stack == GQA_STACK_DECODER ? t->n_layers[0] : 0)) +
        (tapped->kind == GQA_ATTENTION_CROSS ? GQA_POINT_CROSS
                                             : GQA_POINT_SELF);
    const size_t width = tapped->width;
    double *values = calloc(tapped->n_rows * width + 1, sizeof *values);
    enum gqa_status st =
        values ? gqa_tapped_fetch(tapped, values) : gqa_fail_nomem();
    uint64_t at, s;

    for (uint64_t r = 0; r < tapped->n_rows && st == GQA_OK; r++) {
        if (!attended_at(&at, t, tapped, r, &s))
            continue;
        st = recall(t, at, width);
        if (st == GQA_OK)
            gqa_errors_add(&c->errors[s * c->points + point], t->values,
                           values + r * width, 1, width);
    }
    free(values);
    return st;
}

static enum gqa_status check_shape(const struct gqa_trace *t,
                                   const struct gqa_network *network)
{
    uint64_t n_layers[2];

    count_layers(n_layers, network);
    if (t->has_logits != network->has_logits)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model that makes logits of tokens and one that "
                        "makes none cannot be compared");
    if (t->n_outputs != network->n_outputs)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s of %llu and %llu cannot be compared",
                        network->has_logits ? "vocabularies" : "rows",
                        (unsigned long long)t->n_outputs,
                        (unsigned long long)network->n_outputs);
    if (t->d_model != network->d_model || t->n_layers[0] != n_layers[0] ||
        t->n_layers[1] != n_layers[1])
        return gqa_fail(
            GQA_ERR_UNSUPPORTED,
            "models of %llu + %llu layers of width %llu and of "
            "%llu + %llu of %llu cannot be compared layer by layer",
            (unsigned long long)t->n_layers[0],
            (unsigned long long)t->n_layers[1], (unsigned long long)t->d_model,
            (unsigned long long)n_layers[0], (unsigned long long)n_layers[1],
            (unsigned long long)network->d_model);
    return GQA_OK;
}

static void merge(const struct comparing *c, size_t n_sequences)
{
    for (size_t s = 0; s < n_sequences; s++) {
        const struct gqa_drift *of = c->drifts + s * c->per_sequence;

        if (c->to->logits)
            gqa_drift_merge(c->to->logits, &of[0]);
        for (size_t i = 1; c->to->layers && i < c->per_sequence; i++)
            gqa_drift_merge(&c->to->layers[i - 1], &of[i]);
        for (size_t i = 0; c->to->errors && i < c->points; i++)
            gqa_errors_merge(&c->to->errors[i], &c->errors[s * c->points + i]);
    }
}

enum gqa_status gqa_trace_compare(struct gqa_trace *t,
                                  struct gqa_running *running,
                                  uint64_t max_sequences, bool token_by_token,
                                  const struct gqa_comparison *comparison,
                                  const struct gqa_run_progress *progress)
{
    struct comparing comparing = {.trace = t,
                                  .to = comparison,
                                  .per_sequence = 1 + gqa_trace_n_layers(t),
                                  .points = gqa_trace_n_points(t)};
    const struct gqa_taps taps = {GQA_TAP(GQA_TAP_ATTENDED), compare_attended,
                                  &comparing};
    struct gqa_step_output output = {.ctx = &comparing,
                                     .logits = compare_logits};
    struct gqa_tokens tokens = *t->tokens;
    size_t n;
    enum gqa_status st = check_shape(t, gqa_running_network(running));

    if (st != GQA_OK)
        return st;
    if (max_sequences > 0 && max_sequences < tokens.n)
        tokens.n = max_sequences;
    if ((comparison->layers || comparison->errors) && t->options.residual)
        output.residual = compare_residual;
    if (comparison->errors && t->options.residual && t->options.attended)
        output.taps = &taps;
    n = tokens.n ? tokens.n : 1;
    comparing.drifts =
        calloc(n * comparing.per_sequence, sizeof *comparing.drifts);
    comparing.errors = calloc(n * comparing.points, sizeof *comparing.errors);
    st = comparing.drifts && comparing.errors ? GQA_OK : gqa_fail_nomem();
    if (st == GQA_OK)
        st = gqa_running_run(running, &tokens, token_by_token, &output,
                             progress);
    if (st == GQA_OK)
        merge(&comparing, tokens.n);
    free(comparing.drifts);
    free(comparing.errors);
    return st;
}
