/*
 * Whole networks, made by hand, against plain double code written from what
 * network.h says: no cache, no batch, no padding, one sequence at a time.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_device.h"
#include "runtime/layers.h"
#include "suite.h"

enum {
    D_MODEL = 12,
    D_FF = 20,
    VOCAB = 17,
    N_HEADS = 4,
    N_KV_HEADS = 2,
    HEAD_DIM = 6, /* so that Q is wider than the stream */
    Q_WIDTH = N_HEADS * HEAD_DIM,
    KV_WIDTH = N_KV_HEADS * HEAD_DIM,
    N_LAYERS = 2,
    MAX_PARAMS = 200,
    N_SEQUENCES = 3,
    N_TOKENS = 7, /* the most of a sequence */
};

/* What a network is made of. */
struct design {
    const char *name;
    enum gqa_norm_kind norm; /* of all norms */
    bool before, output, after;
    bool no_weight, norm_bias, one_plus;
    bool parallel, shared, no_final_norm;
    bool alibi, qk_norm, interleaved, fused;
    unsigned n_pairs; /* of RoPE */
    uint64_t position_offset;
    bool positions, embedding_norm;
    double embedding_scale;
    double soft_cap, logit_soft_cap, logit_scale;
    bool unembedding_bias, gated, encoder;
    enum gqa_activation activation;
};

static const struct design designs[] = {
    {.name = "pre", .norm = GQA_NORM_LAYER, .before = true, .norm_bias = true},
    {.name = "post", .norm = GQA_NORM_LAYER, .after = true, .norm_bias = true},
    {.name = "output", /* OLMo 2 */
     .norm = GQA_NORM_RMS,
     .output = true,
     .n_pairs = 3,
     .gated = true,
     .activation = GQA_ACTIVATION_SILU},
    {.name = "before and output, caps", /* Gemma 2 */
     .norm = GQA_NORM_RMS,
     .before = true,
     .output = true,
     .one_plus = true,
     .n_pairs = 3,
     .gated = true,
     .embedding_scale = 3.4641016151377544,
     .soft_cap = 0.5,
     .logit_soft_cap = 3,
     .activation = GQA_ACTIVATION_GELU_TANH},
    {.name = "all three",
     .norm = GQA_NORM_LAYER,
     .before = true,
     .output = true,
     .after = true},
    {.name = "parallel", /* GPT-NeoX: part of a head turns */
     .norm = GQA_NORM_LAYER,
     .before = true,
     .norm_bias = true,
     .parallel = true,
     .n_pairs = 1,
     .activation = GQA_ACTIVATION_GELU},
    {.name = "parallel, shared norm", /* GPT-J */
     .norm = GQA_NORM_LAYER,
     .before = true,
     .norm_bias = true,
     .parallel = true,
     .shared = true,
     .n_pairs = 2,
     .interleaved = true,
     .unembedding_bias = true,
     .activation = GQA_ACTIVATION_GELU_TANH},
    {.name = "parallel, all", /* output norms and one after the sum */
     .norm = GQA_NORM_RMS,
     .before = true,
     .output = true,
     .after = true,
     .parallel = true,
     .activation = GQA_ACTIVATION_RELU2},
    {.name = "alibi, embedding norm", /* BLOOM */
     .norm = GQA_NORM_LAYER,
     .before = true,
     .norm_bias = true,
     .alibi = true,
     .fused = true,
     .embedding_norm = true,
     .activation = GQA_ACTIVATION_GELU_BLOOM},
    {.name = "offset positions, no final norm", /* OPT-350m */
     .norm = GQA_NORM_LAYER,
     .after = true,
     .norm_bias = true,
     .positions = true,
     .position_offset = 2,
     .no_final_norm = true},
    {.name = "norms without weight", /* OLMo */
     .norm = GQA_NORM_LAYER,
     .before = true,
     .no_weight = true,
     .n_pairs = 3,
     .gated = true,
     .activation = GQA_ACTIVATION_SILU},
    {.name = "norms of heads", /* Qwen 3 */
     .norm = GQA_NORM_RMS,
     .before = true,
     .qk_norm = true,
     .n_pairs = 3,
     .gated = true,
     .activation = GQA_ACTIVATION_SILU},
    {.name = "norms of fused heads, alibi", /* without anything to turn */
     .norm = GQA_NORM_LAYER,
     .before = true,
     .norm_bias = true,
     .qk_norm = true,
     .fused = true,
     .alibi = true,
     .logit_scale = 0.25,
     .activation = GQA_ACTIVATION_QUICK_GELU},
    {.name = "encoder-decoder, post", /* BART */
     .norm = GQA_NORM_LAYER,
     .after = true,
     .norm_bias = true,
     .encoder = true,
     .positions = true,
     .position_offset = 2,
     .embedding_norm = true,
     .embedding_scale = 2.5,
     .no_final_norm = true,
     .unembedding_bias = true,
     .activation = GQA_ACTIVATION_GELU},
    {.name = "encoder-decoder, all",
     .norm = GQA_NORM_RMS,
     .before = true,
     .output = true,
     .after = true,
     .encoder = true,
     .qk_norm = true,
     .alibi = true},
};

/* --- A network ------------------------------------------------------------ */

/* A network and all it is made of. */
struct made {
    struct gqa_param params[MAX_PARAMS];
    double *values[MAX_PARAMS];
    void *stored[MAX_PARAMS]; /* the same as float32 */
    struct gqa_model model;
    struct gqa_attention heads[3 * N_LAYERS];
    size_t n_heads;
    struct gqa_block blocks[2][N_LAYERS];
    double slopes[N_HEADS];
    double frequency[3];
    struct gqa_network network;
};

/* A parameter of values about `center`, some spread around it. */
static size_t param(struct made *m, uint64_t rows, uint64_t cols, double center,
                    double spread)
{
    const size_t i = m->model.n_params++;
    const size_t n = (size_t)(rows * cols);

    ck_assert_uint_lt(i, MAX_PARAMS);
    m->values[i] = make(n, sizeof *m->values[i]);
    for (size_t j = 0; j < n; j++)
        m->values[i][j] = center + spread * draw();
    m->stored[i] = rounded(m->values[i], n, GQA_F32);
    m->params[i] = (struct gqa_param){.name = (char *)(uintptr_t) "a parameter",
                                      .dtype = GQA_F32,
                                      .rank = cols == 1 ? 1 : 2,
                                      .n_elements = n,
                                      .n_bytes = 4 * n,
                                      .rows = rows,
                                      .cols = cols};
    return i;
}

static struct gqa_linear linear(struct made *m, uint64_t in, uint64_t out,
                                bool bias)
{
    return (struct gqa_linear){
        .weight = param(m, out, in, 0, 1.5 / sqrt((double)in)),
        .bias = bias ? param(m, out, 1, 0, 0.3) : GQA_NO_PARAM};
}

static const struct gqa_linear no_linear = {.weight = GQA_NO_PARAM,
                                            .bias = GQA_NO_PARAM};

static struct gqa_norm norm(struct made *m, const struct design *d,
                            uint64_t width, bool there)
{
    if (!there)
        return (struct gqa_norm){.kind = GQA_NORM_NONE,
                                 .weight = GQA_NO_PARAM,
                                 .bias = GQA_NO_PARAM};
    return (struct gqa_norm){
        .kind = d->norm,
        .weight = d->no_weight ? GQA_NO_PARAM
                               : param(m, width, 1, d->one_plus ? 0 : 1, 0.4),
        .bias = d->norm_bias ? param(m, width, 1, 0, 0.4) : GQA_NO_PARAM,
        .eps = 1e-5,
        .one_plus = d->one_plus};
}

static struct gqa_slice slice(size_t weight, uint64_t n_heads, uint64_t base)
{
    return (struct gqa_slice){.weight = weight,
                              .bias = GQA_NO_PARAM,
                              .n_heads = n_heads,
                              .base = base,
                              .per_block = n_heads};
}

static struct gqa_attention_block attention(struct made *m,
                                            const struct design *d,
                                            enum gqa_stack stack,
                                            enum gqa_attention_kind kind,
                                            uint64_t layer)
{
    const bool self = kind == GQA_ATTENTION_SELF;
    const bool fused = d->fused && self;
    struct gqa_attention *heads = &m->heads[m->n_heads++];
    struct gqa_attention_block a = {
        .heads = heads,
        .scale = 0.7,
        .soft_cap = d->soft_cap,
        .causal = self && stack == GQA_STACK_DECODER,
        .rope = d->n_pairs && self ? &m->network.rope : NULL,
        .bias = {.table = GQA_NO_PARAM},
        .sinks = GQA_NO_PARAM,
        .slopes = d->alibi && self ? m->slopes : NULL,
    };

    a.norm = norm(m, d, D_MODEL, d->before);
    a.output_norm = norm(m, d, D_MODEL, d->output);
    a.after_norm = norm(m, d, D_MODEL, d->after && !(d->parallel && self));
    a.q_norm = norm(m, d, HEAD_DIM, d->qk_norm);
    a.k_norm = norm(m, d, HEAD_DIM, d->qk_norm);
    a.q = linear(m, D_MODEL, fused ? Q_WIDTH + 2 * KV_WIDTH : Q_WIDTH, true);
    a.k = fused ? a.q : linear(m, D_MODEL, KV_WIDTH, false);
    a.v = fused ? a.q : linear(m, D_MODEL, KV_WIDTH, true);
    a.o = linear(m, Q_WIDTH, D_MODEL, true);
    *heads = (struct gqa_attention){
        .stack = stack,
        .kind = kind,
        .layer = layer,
        .n_heads = N_HEADS,
        .n_kv_heads = N_KV_HEADS,
        .head_dim = HEAD_DIM,
        .q = slice(a.q.weight, N_HEADS, 0),
        .k = slice(a.k.weight, N_KV_HEADS, fused ? Q_WIDTH : 0),
        .v = slice(a.v.weight, N_KV_HEADS, fused ? Q_WIDTH + KV_WIDTH : 0),
        .o = slice(a.o.weight, N_HEADS, 0),
    };
    return a;
}

static void fill_stack(struct made *m, const struct design *d,
                       enum gqa_stack which, size_t embedding)
{
    struct gqa_network_stack *s = &m->network.stacks[m->network.n_stacks++];

    *s = (struct gqa_network_stack){
        .stack = which,
        .embedding = embedding,
        .positions = d->positions ? param(m, N_TOKENS + d->position_offset,
                                          D_MODEL, 0, 1)
                                  : GQA_NO_PARAM,
        .position_offset = d->position_offset,
        .n_positions = d->positions ? N_TOKENS : 0,
        .embedding_scale = d->embedding_scale != 0 ? d->embedding_scale : 1,
        .blocks = m->blocks[which],
        .n_blocks = N_LAYERS,
    };
    s->embedding_norm = norm(m, d, D_MODEL, d->embedding_norm);
    for (uint64_t i = 0; i < N_LAYERS; i++) {
        struct gqa_block *b = &s->blocks[i];

        b->self = attention(m, d, which, GQA_ATTENTION_SELF, i);
        b->has_cross = d->encoder && which == GQA_STACK_DECODER;
        if (b->has_cross)
            b->cross = attention(m, d, which, GQA_ATTENTION_CROSS, i);
        b->parallel = d->parallel;
        b->shared_norm = d->shared;
        b->ff.norm = norm(m, d, D_MODEL, d->before && !d->shared);
        b->ff.output_norm = norm(m, d, D_MODEL, d->output);
        b->ff.after_norm = norm(m, d, D_MODEL, d->after);
        b->ff.gate = d->gated ? linear(m, D_MODEL, D_FF, false) : no_linear;
        b->ff.up = linear(m, D_MODEL, D_FF, true);
        b->ff.down = linear(m, D_FF, D_MODEL, true);
        b->ff.activation = d->activation;
    }
    s->final_norm = norm(m, d, D_MODEL, !d->no_final_norm);
}

static struct made *make_network(const struct design *d)
{
    struct made *m = make(1, sizeof *m);
    struct gqa_network *n = &m->network;
    size_t embedding;

    m->model.params = m->params;
    m->model.d_model = D_MODEL;
    n->model = &m->model;
    n->d_model = D_MODEL;
    n->vocab_size = n->table_size = n->n_outputs = VOCAB;
    n->has_logits = true;
    n->logit_scale = d->logit_scale != 0 ? d->logit_scale : 1;
    n->logit_soft_cap = d->logit_soft_cap;
    n->max_positions = d->positions ? N_TOKENS : 0;
    for (size_t h = 0; h < N_HEADS; h++)
        m->slopes[h] = 0.9 / (double)(h + 1);
    for (size_t j = 0; j < 3; j++)
        m->frequency[j] = 1 / (1 + 2.5 * (double)j);
    n->rope = (struct gqa_rope){.n_pairs = d->n_pairs,
                                .interleaved = d->interleaved,
                                .magnitude = 1,
                                .frequency = m->frequency};
    embedding = param(m, VOCAB, D_MODEL, 0, 1);
    if (d->encoder)
        fill_stack(m, d, GQA_STACK_ENCODER, embedding);
    fill_stack(m, d, GQA_STACK_DECODER, embedding);
    n->unembedding = (struct gqa_linear){
        .weight = embedding,
        .bias = d->unembedding_bias ? param(m, VOCAB, 1, 0, 1) : GQA_NO_PARAM};
    return m;
}

static void free_network(struct made *m)
{
    for (size_t i = 0; i < m->model.n_params; i++) {
        free(m->values[i]);
        free(m->stored[i]);
    }
    free(m);
}

static enum gqa_status read_rows(void *ctx, size_t index, uint64_t row,
                                 uint64_t n_rows, void *buf)
{
    const struct made *m = ctx;
    const size_t row_bytes = (size_t)m->params[index].cols * sizeof(float);

    memcpy(buf, (const char *)m->stored[index] + row * row_bytes,
           (size_t)n_rows * row_bytes);
    return GQA_OK;
}

/* --- The same, plainly ---------------------------------------------------- */

/* Rows of a sequence, as wide as anything is. */
struct rows {
    size_t n;
    double x[N_TOKENS][Q_WIDTH + 2 * KV_WIDTH + D_FF];
};

static void plain_norm_row(double *x, size_t n, const struct made *m,
                           const struct gqa_norm *norm)
{
    double mean = 0, square = 0;

    if (norm->kind == GQA_NORM_NONE)
        return;
    for (size_t i = 0; i < n && norm->kind == GQA_NORM_LAYER; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++) {
        x[i] = (x[i] - mean) / sqrt(square + norm->eps);
        if (norm->weight != GQA_NO_PARAM)
            x[i] *= m->values[norm->weight][i] + (norm->one_plus ? 1 : 0);
        if (norm->bias != GQA_NO_PARAM)
            x[i] += m->values[norm->bias][i];
    }
}

static struct rows plain_norm(struct rows x, const struct made *m,
                              const struct gqa_norm *norm)
{
    for (size_t r = 0; r < x.n; r++)
        plain_norm_row(x.x[r], D_MODEL, m, norm);
    return x;
}

static struct rows plain_linear(const struct rows *in, const struct made *m,
                                const struct gqa_linear *l)
{
    const struct gqa_param *p = &m->params[l->weight];
    struct rows out = {.n = in->n};

    for (size_t r = 0; r < in->n; r++)
        for (size_t o = 0; o < p->rows; o++) {
            for (size_t i = 0; i < p->cols; i++)
                out.x[r][o] +=
                    in->x[r][i] * m->values[l->weight][o * p->cols + i];
            if (l->bias != GQA_NO_PARAM)
                out.x[r][o] += m->values[l->bias][o];
        }
    return out;
}

/* Head h of a slice, normed and turned for position p. */
static void plain_head(double *out, const double *row, size_t p, size_t h,
                       const struct made *m, const struct gqa_slice *slice,
                       const struct gqa_norm *norm, const struct gqa_rope *rope)
{
    memcpy(out, row + slice->base + h * HEAD_DIM, HEAD_DIM * sizeof *out);
    plain_norm_row(out, HEAD_DIM, m, norm);
    for (size_t j = 0; rope && j < rope->n_pairs; j++) {
        const double angle = (double)p * rope->frequency[j];
        double *a = out + (rope->interleaved ? 2 * j : j);
        double *b = out + (rope->interleaved ? 2 * j + 1 : j + rope->n_pairs);
        const double x = *a, y = *b;

        *a = x * cos(angle) - y * sin(angle);
        *b = x * sin(angle) + y * cos(angle);
    }
}

static double plain_score(const struct gqa_attention_block *a, const double *q,
                          const double *k, size_t h, size_t i, size_t j)
{
    double score = 0;

    for (size_t d = 0; d < HEAD_DIM; d++)
        score += q[d] * k[d];
    score *= a->scale;
    if (a->soft_cap > 0)
        score = a->soft_cap * tanh(score / a->soft_cap);
    if (a->slopes)
        score -= a->slopes[h] * fabs((double)i - (double)j);
    return score;
}

static struct rows plain_attention(const struct rows *in,
                                   const struct rows *memory,
                                   const struct made *m,
                                   const struct gqa_attention_block *a)
{
    static const struct gqa_norm none = {.kind = GQA_NORM_NONE};
    const struct gqa_attention *heads = a->heads;
    const struct rows q = plain_linear(in, m, &a->q);
    const struct rows k = plain_linear(memory, m, &a->k);
    const struct rows v = plain_linear(memory, m, &a->v);
    struct rows out = {.n = in->n};

    for (size_t i = 0; i < q.n; i++)
        for (size_t h = 0; h < N_HEADS; h++) {
            const size_t end = a->causal ? i + 1 : k.n;
            const size_t kv = h / (N_HEADS / N_KV_HEADS);
            double query[HEAD_DIM], key[HEAD_DIM], value[HEAD_DIM];
            double weights[N_TOKENS], total = 0;

            plain_head(query, q.x[i], i, h, m, &heads->q, &a->q_norm, a->rope);
            for (size_t j = 0; j < end; j++) {
                plain_head(key, k.x[j], j, kv, m, &heads->k, &a->k_norm,
                           a->rope);
                total += weights[j] = exp(plain_score(a, query, key, h, i, j));
            }
            for (size_t j = 0; j < end; j++) {
                plain_head(value, v.x[j], j, kv, m, &heads->v, &none, NULL);
                for (size_t d = 0; d < HEAD_DIM; d++)
                    out.x[i][h * HEAD_DIM + d] += weights[j] / total * value[d];
            }
        }
    return plain_linear(&out, m, &a->o);
}

static double plain_activation(double x, enum gqa_activation which)
{
    switch (which) {
    case GQA_ACTIVATION_RELU:
        return fmax(x, 0);
    case GQA_ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case GQA_ACTIVATION_GELU_TANH:
        return 0.5 * x *
               (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
    case GQA_ACTIVATION_GELU_BLOOM:
        return x * 0.5 * (1 + tanh(0.79788456 * x * (1 + 0.044715 * x * x)));
    case GQA_ACTIVATION_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case GQA_ACTIVATION_RELU2:
        return pow(fmax(x, 0), 2);
    default:
        return x / (1 + exp(-x));
    }
}

static struct rows plain_feed_forward(const struct rows *in,
                                      const struct made *m,
                                      const struct gqa_feed_forward *ff)
{
    const bool gated = ff->gate.weight != GQA_NO_PARAM;
    struct rows up = plain_linear(in, m, &ff->up);
    const struct rows gate = gated ? plain_linear(in, m, &ff->gate) : up;

    for (size_t r = 0; r < up.n; r++)
        for (size_t i = 0; i < D_FF; i++)
            up.x[r][i] = plain_activation(gate.x[r][i], ff->activation) *
                         (gated ? up.x[r][i] : 1);
    return plain_linear(&up, m, &ff->down);
}

static void plain_add(struct rows *x, struct rows y, const struct made *m,
                      const struct gqa_norm *output_norm,
                      const struct gqa_norm *after_norm)
{
    y = plain_norm(y, m, output_norm);
    for (size_t r = 0; r < x->n; r++)
        for (size_t i = 0; i < D_MODEL; i++)
            x->x[r][i] += y.x[r][i];
    *x = plain_norm(*x, m, after_norm);
}

static void plain_block(struct rows *x, const struct rows *memory,
                        const struct made *m, const struct gqa_block *b)
{
    const struct rows before = *x;
    struct rows in = plain_norm(*x, m, &b->self.norm);

    plain_add(x, plain_attention(&in, &in, m, &b->self), m,
              &b->self.output_norm, &b->self.after_norm);
    if (b->has_cross) {
        in = plain_norm(*x, m, &b->cross.norm);
        plain_add(x, plain_attention(&in, memory, m, &b->cross), m,
                  &b->cross.output_norm, &b->cross.after_norm);
    }
    in = plain_norm(b->parallel ? before : *x, m,
                    b->shared_norm ? &b->self.norm : &b->ff.norm);
    plain_add(x, plain_feed_forward(&in, m, &b->ff), m, &b->ff.output_norm,
              &b->ff.after_norm);
}

/* The residual stream of all blocks, normed in the end. */
static struct rows plain_stack(const int32_t *tokens, size_t n,
                               const struct rows *memory, const struct made *m,
                               const struct gqa_network_stack *s)
{
    struct rows x = {.n = n};

    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < D_MODEL; i++) {
            x.x[r][i] =
                m->values[s->embedding][(size_t)tokens[r] * D_MODEL + i] *
                (real == GQA_F32 ? (double)(float)s->embedding_scale
                                 : s->embedding_scale);
            if (s->positions != GQA_NO_PARAM)
                x.x[r][i] +=
                    m->values[s->positions]
                             [(r + (size_t)s->position_offset) * D_MODEL + i];
        }
    x = plain_norm(x, m, &s->embedding_norm);
    for (size_t i = 0; i < s->n_blocks; i++)
        plain_block(&x, memory, m, &s->blocks[i]);
    return plain_norm(x, m, &s->final_norm);
}

/* --- Both ----------------------------------------------------------------- */

static const uint64_t lengths[N_SEQUENCES] = {N_TOKENS, 3, 5};
static const uint64_t input_lengths[N_SEQUENCES] = {2, N_TOKENS, 4};

/* Logits as they come: [N_SEQUENCES, N_TOKENS, VOCAB]. */
static enum gqa_status take_logits(void *ctx, uint64_t s, uint64_t position,
                                   uint64_t n_rows, const double *logits)
{
    double *all = ctx;

    memcpy(all + (s * N_TOKENS + position) * VOCAB, logits,
           (size_t)(n_rows * VOCAB) * sizeof *all);
    return GQA_OK;
}

static void expect_logits(double *out, const struct made *m,
                          const int32_t *tokens, const int32_t *inputs)
{
    const struct gqa_network *n = &m->network;

    for (size_t s = 0; s < N_SEQUENCES; s++) {
        struct rows memory = {.n = 0}, x;

        if (n->n_stacks > 1)
            memory =
                plain_stack(inputs + s * N_TOKENS, (size_t)input_lengths[s],
                            NULL, m, &n->stacks[0]);
        x = plain_stack(tokens + s * N_TOKENS, (size_t)lengths[s], &memory, m,
                        &n->stacks[n->n_stacks - 1]);
        for (size_t r = 0; r < x.n; r++)
            for (size_t i = 0; i < D_MODEL; i++)
                x.x[r][i] *= n->logit_scale;
        x = plain_linear(&x, m, &n->unembedding);
        for (size_t r = 0; r < x.n; r++)
            for (size_t i = 0; i < VOCAB; i++)
                out[(s * N_TOKENS + r) * VOCAB + i] =
                    n->logit_soft_cap > 0
                        ? n->logit_soft_cap *
                              tanh(x.x[r][i] / n->logit_soft_cap)
                        : x.x[r][i];
    }
}

/* Decode some new tokens at a time of each sequence, the rest padding. */
static void run(struct gqa_session *session, double *got, const int32_t *tokens,
                uint64_t n_new)
{
    const struct gqa_step_output output = {.ctx = got, .logits = take_logits};

    for (uint64_t first = 0; first < N_TOKENS; first += n_new) {
        int32_t some[N_SEQUENCES * N_TOKENS] = {0};
        uint64_t counts[N_SEQUENCES];

        for (uint64_t s = 0; s < N_SEQUENCES; s++) {
            const uint64_t left = lengths[s] > first ? lengths[s] - first : 0;

            counts[s] = left < n_new ? left : n_new;
            memcpy(some + s * n_new, tokens + s * N_TOKENS + first,
                   (size_t)counts[s] * sizeof *some);
        }
        ck_assert_int_eq(
            gqa_session_decode(session, some, n_new, counts, &output), GQA_OK);
    }
}

/* All of it layer by layer, in two batches. */
static void run_layers(struct made *m, double *got, int32_t *tokens,
                       int32_t *inputs)
{
    const struct gqa_weight_source source = {read_rows, m};
    const struct gqa_layers_options options = {.rows = 2 * N_TOKENS,
                                               .host_bytes = UINT64_MAX};
    const struct gqa_layers_output output = {
        .step = {.ctx = got, .logits = take_logits}};
    struct gqa_sequence sequences[N_SEQUENCES] = {{.encoder = NULL}};
    const struct gqa_tokens all = {sequences, N_SEQUENCES};
    struct gqa_layers *layers = NULL;

    for (size_t s = 0; s < N_SEQUENCES; s++) {
        if (m->network.n_stacks > 1) {
            sequences[s].encoder = inputs + s * N_TOKENS;
            sequences[s].n_encoder = input_lengths[s];
        }
        sequences[s].decoder = tokens + s * N_TOKENS;
        sequences[s].n_decoder = lengths[s];
    }
    ck_assert_int_eq(gqa_layers_create(&layers, &m->network, backend, device,
                                       &source, &all, &options),
                     GQA_OK);
    ck_assert_int_eq(gqa_layers_run(layers, &output), GQA_OK);
    gqa_layers_free(layers);
}

/* n_new: tokens at a time; 0: layers. */
static void check_logits(const struct design *d, const double *got,
                         const double *want, uint64_t n_new)
{
    double error = 0, all = 0;

    for (size_t i = 0; i < N_SEQUENCES * N_TOKENS * VOCAB; i++) {
        error += (got[i] - want[i]) * (got[i] - want[i]);
        all += want[i] * want[i];
    }
    ck_assert_msg(sqrt(error) <= (real == GQA_F32 ? 1e-6 : 1e-12) * sqrt(all),
                  "%s, in %s, %d tokens at a time: %g of %g", d->name,
                  gqa_dtype_name(real), (int)n_new, sqrt(error), sqrt(all));
}

static void check_design(const struct design *d)
{
    static const uint64_t steps[] = {N_TOKENS, 1, 3};
    struct made *m = make_network(d);
    const struct gqa_weight_source source = {read_rows, m};
    struct gqa_runtime *runtime = NULL;
    struct gqa_session *session = NULL;
    int32_t tokens[N_SEQUENCES * N_TOKENS], inputs[N_SEQUENCES * N_TOKENS];
    double want[N_SEQUENCES * N_TOKENS * VOCAB] = {0};
    double got[N_SEQUENCES * N_TOKENS * VOCAB];

    for (int i = 0; i < N_SEQUENCES * N_TOKENS; i++) {
        tokens[i] = (i * 5 + 2) % VOCAB;
        inputs[i] = (i * 11 + 7) % VOCAB;
    }
    expect_logits(want, m, tokens, inputs);
    ck_assert_int_eq(
        gqa_runtime_create(&runtime, &m->network, backend, device, &source),
        GQA_OK);
    ck_assert_int_eq(gqa_session_create(&session, runtime, N_SEQUENCES,
                                        N_TOKENS, d->encoder ? N_TOKENS : 0),
                     GQA_OK);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        memset(got, 0, sizeof got);
        gqa_session_reset(session);
        if (d->encoder)
            ck_assert_int_eq(gqa_session_encode(session, inputs, N_TOKENS,
                                                input_lengths, NULL),
                             GQA_OK);
        run(session, got, tokens, steps[i]);
        check_logits(d, got, want, steps[i]);
    }
    memset(got, 0, sizeof got);
    run_layers(m, got, tokens, inputs);
    check_logits(d, got, want, 0);
    gqa_session_free(session);
    gqa_runtime_free(runtime);
    free_network(m);
}

START_TEST(runs_each_design)
{
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        open_device(reals[i], 2);
        check_design(&designs[_i]);
        close_device();
    }
}
END_TEST

/* --- What cannot be run --------------------------------------------------- */

static const struct design *find_design(const char *name)
{
    for (size_t i = 0; i < sizeof designs / sizeof *designs; i++)
        if (strcmp(designs[i].name, name) == 0)
            return &designs[i];
    ck_abort_msg("no design '%s'", name);
    return NULL;
}

static enum gqa_status create(struct made *m)
{
    const struct gqa_weight_source source = {read_rows, m};
    struct gqa_runtime *runtime = NULL;
    const enum gqa_status st =
        gqa_runtime_create(&runtime, &m->network, backend, device, &source);

    ck_assert(st == GQA_OK || !runtime);
    gqa_runtime_free(runtime);
    return st;
}

/* Both sublayers would read the stream after one of them. */
START_TEST(refuses_parallel_blocks_without_a_norm)
{
    struct made *m = make_network(find_design("parallel, shared norm"));
    struct gqa_block *b = &m->network.stacks[0].blocks[1];

    open_device(GQA_F64, 1);
    b->self.norm.kind = GQA_NORM_NONE;
    ck_assert_int_eq(create(m), GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "layer 1"));
    b->self.norm.kind = GQA_NORM_LAYER;
    b->parallel = false;
    ck_assert_int_eq(create(m), GQA_ERR_UNSUPPORTED);
    b->parallel = true;
    b->self.after_norm = b->self.norm;
    ck_assert_int_eq(create(m), GQA_ERR_UNSUPPORTED);
    close_device();
    free_network(m);
}
END_TEST

START_TEST(refuses_positions_behind_the_table)
{
    struct made *m =
        make_network(find_design("offset positions, no final norm"));

    open_device(GQA_F64, 1);
    m->network.stacks[0].position_offset = N_TOKENS + 2;
    ck_assert_int_eq(create(m), GQA_ERR_FORMAT);
    close_device();
    free_network(m);
}
END_TEST

/* There are N_TOKENS positions behind the offset, of input and of output. */
START_TEST(refuses_tokens_without_a_position)
{
    const struct design *d = find_design("encoder-decoder, post");
    struct made *m = make_network(d);
    const struct gqa_weight_source source = {read_rows, m};
    const int32_t tokens[N_TOKENS + 1] = {0};
    const uint64_t most = N_TOKENS, more = N_TOKENS + 1;
    struct gqa_runtime *runtime = NULL;
    struct gqa_session *s = NULL;

    open_device(GQA_F64, 1);
    ck_assert_int_eq(
        gqa_runtime_create(&runtime, &m->network, backend, device, &source),
        GQA_OK);
    ck_assert_int_eq(gqa_session_create(&s, runtime, 1, more, more), GQA_OK);
    ck_assert_int_eq(gqa_session_encode(s, tokens, more, &more, NULL),
                     GQA_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "positions for 7"));
    ck_assert_int_eq(gqa_session_encode(s, tokens, more, &most, NULL), GQA_OK);
    ck_assert_int_eq(gqa_session_decode(s, tokens, more, &more, NULL),
                     GQA_ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "positions for 7"));
    ck_assert_int_eq(gqa_session_decode(s, tokens, more, &most, NULL), GQA_OK);
    gqa_session_free(s);
    gqa_runtime_free(runtime);
    close_device();
    free_network(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocks");
    TCase *tc = tcase_create("all");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, runs_each_design, 0,
                        (int)(sizeof designs / sizeof *designs));
    tcase_add_test(tc, refuses_parallel_blocks_without_a_norm);
    tcase_add_test(tc, refuses_positions_behind_the_table);
    tcase_add_test(tc, refuses_tokens_without_a_position);
    return suite_run(suite);
}
