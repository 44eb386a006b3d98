#include "verify/replay.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"
#include "common/json.h"
#include "verify/kept_transforms.h"

/* Elements of all heads that are worked on at a time. */
enum { ROOM = 1 << 18 };

enum part { KEYS, VALUES, QUERIES, OUTPUTS };

static const char letters[] = "kvqo";
static const char *const names[] = {"keys", "values", "queries",
                                    "inputs of the output projection"};

/* A parameter of one part, in both checkpoints. */
struct subject {
    const struct gqa_replay *replay;
    enum part part;
    const struct gqa_param *from, *to;
    struct gqa_slice from_slice, to_slice;
    unsigned axis;
    uint64_t head_dim;
    double **transforms; /* of each step that has one */
    uint64_t width;      /* of a stripe */
    /* A stripe of all heads, [n_heads head_dim, width]. */
    double *heads, *next;
    void *raw, *scratch, *expected;
};

static const struct gqa_attention *attention_of(const struct gqa_replay *r)
{
    return &r->converted->model->attentions[r->attention];
}

static const struct gqa_pool_step *steps_of(const struct gqa_replay *r)
{
    return r->recipe->steps + r->attention * r->recipe->n_steps;
}

static bool is_kv(const struct subject *s)
{
    return s->part == KEYS || s->part == VALUES;
}

/* --- One step ------------------------------------------------------------- */

/* The head that comes to stand at `place`, of KV or of query heads. */
static uint64_t head_at(const struct subject *s,
                        const struct gqa_pool_step *step, uint64_t place)
{
    const uint64_t per =
        is_kv(s) ? 1 : attention_of(s->replay)->n_heads / step->source;
    uint64_t head = place / per;

    if (step->heads)
        (void)gqa_json_u64(json_array_get(step->heads, (size_t)head), &head);
    return head * per + place % per;
}

static double *rows_of(const struct subject *s, double *heads, uint64_t head)
{
    return heads + head * s->head_dim * s->width;
}

/* out = matrix x the heads from `first` on, as they come to stand; each sum in
 * their order. */
static void mix(const struct subject *s, double *out, const double *matrix,
                const struct gqa_pool_step *step, uint64_t first, uint64_t m)
{
    const uint64_t d = s->head_dim, n = s->width;

    for (uint64_t r = 0; r < d; r++) {
        double *sum = out + r * n;

        memset(sum, 0, n * sizeof *sum);
        for (uint64_t j = 0; j < m; j++) {
            const double *in =
                rows_of(s, s->heads, head_at(s, step, first + j));

            for (uint64_t k = 0; k < d; k++)
                for (uint64_t i = 0; i < n; i++)
                    sum[i] += matrix[(r * m + j) * d + k] * in[k * n + i];
        }
    }
}

static void take_mean(const struct subject *s, double *out,
                      const struct gqa_pool_step *step, uint64_t first,
                      uint64_t m)
{
    const uint64_t n = s->head_dim * s->width;

    memcpy(out, rows_of(s, s->heads, head_at(s, step, first)), n * sizeof *out);
    if (step->pooling == GQA_POOL_FIRST || m == 1)
        return;
    for (uint64_t j = 1; j < m; j++) {
        const double *in = rows_of(s, s->heads, head_at(s, step, first + j));

        for (uint64_t i = 0; i < n; i++)
            out[i] += in[i];
    }
    for (uint64_t i = 0; i < n; i++)
        out[i] /= (double)m;
}

/* Heads after a step, before they are rounded and written several times. */
static uint64_t make_step(const struct subject *s,
                          const struct gqa_pool_step *step,
                          const double *transform)
{
    const uint64_t n_out =
        is_kv(s) ? step->pooled : attention_of(s->replay)->n_heads;
    const uint64_t m = is_kv(s) ? step->source / step->pooled : 1;

    for (uint64_t h = 0; h < n_out; h++) {
        double *out = rows_of(s, s->next, h);

        if (transform)
            mix(s, out, transform + h * m * s->head_dim * s->head_dim, step,
                h * m, m);
        else
            take_mean(s, out, step, h * m, m);
    }
    return n_out;
}

static void expand(const struct subject *s, uint64_t n, uint64_t written)
{
    const uint64_t size = s->head_dim * s->width;

    for (uint64_t h = written; h-- > 0;)
        memmove(s->next + h * size, s->next + h / (written / n) * size,
                size * sizeof *s->next);
}

static void round_all(const struct subject *s, enum gqa_dtype dtype, uint64_t n)
{
    const size_t size = (size_t)(n * s->head_dim * s->width);

    gqa_store_f64(s->raw, dtype, s->next, size);
    gqa_load_f64(s->next, s->raw, dtype, size);
}

static void make_steps(struct subject *s)
{
    const struct gqa_pool_step *steps = steps_of(s->replay);
    enum gqa_dtype dtype = s->from->dtype;

    for (size_t k = 0; k < s->replay->recipe->n_steps; k++) {
        const uint64_t n = make_step(s, &steps[k], s->transforms[k]);
        double *kept = s->heads;

        dtype = steps[k].keeps_dtype ? dtype : steps[k].dtype;
        round_all(s, dtype, n);
        if (is_kv(s))
            expand(s, n, steps[k].written);
        s->heads = s->next;
        s->next = kept;
    }
}

/* --- Reading and comparing ------------------------------------------------ */

/* A stripe of a head: [head_dim, n] along axis 0, [n, head_dim] along 1. */
static enum gqa_status read_head(const struct subject *s,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_param *param,
                                 const struct gqa_slice *slice, uint64_t head,
                                 uint64_t at, uint64_t n)
{
    const uint64_t first = gqa_slice_head(slice, s->head_dim, head);

    if (s->axis == 0)
        return gqa_param_read(checkpoint, param, first, s->head_dim, at, n,
                              s->raw, n, s->scratch);
    return gqa_param_read(checkpoint, param, at, n, first, s->head_dim, s->raw,
                          s->head_dim, s->scratch);
}

static enum gqa_status read_heads(const struct subject *s, uint64_t at,
                                  uint64_t n)
{
    const uint64_t d = s->head_dim;
    enum gqa_status st = GQA_OK;

    for (uint64_t h = 0; h < s->from_slice.n_heads; h++) {
        double *out = rows_of(s, s->heads, h), *values = rows_of(s, s->next, h);

        st = read_head(s, s->replay->original->checkpoint, s->from,
                       &s->from_slice, h, at, n);
        if (st != GQA_OK)
            return st;
        gqa_load_f64(values, s->raw, s->from->dtype, (size_t)(d * n));
        for (uint64_t r = 0; r < d; r++)
            for (uint64_t i = 0; i < n; i++)
                out[r * n + i] = values[s->axis == 0 ? r * n + i : i * d + r];
    }
    return st;
}

static double value_at(const void *buf, enum gqa_dtype dtype, uint64_t i)
{
    double value;

    gqa_load_f64(&value, (const char *)buf + i * (gqa_dtype_bits(dtype) / 8),
                 dtype, 1);
    return value;
}

/* What was read of a head of the converted one, against what it must be. */
static void compare(struct gqa_replayed *out, const struct subject *s,
                    uint64_t head, uint64_t at, uint64_t n)
{
    const uint64_t d = s->head_dim;
    const uint64_t first = gqa_slice_head(&s->to_slice, d, head);
    const size_t width = gqa_dtype_bits(s->to->dtype) / 8;
    const double *made = rows_of(s, s->heads, head);
    double *values = s->next;

    for (uint64_t r = 0; r < d; r++)
        for (uint64_t i = 0; i < n; i++)
            values[s->axis == 0 ? r * n + i : i * d + r] = made[r * n + i];
    gqa_store_f64(s->expected, s->to->dtype, values, (size_t)(d * n));
    if (memcmp(s->expected, s->raw, (size_t)(d * n) * width) == 0)
        return;
    for (uint64_t i = 0; i < d * n; i++) {
        const double is = value_at(s->raw, s->to->dtype, i);
        const double must = value_at(s->expected, s->to->dtype, i);
        const uint64_t along = first + (s->axis == 0 ? i / n : i % d);
        const uint64_t across = at + (s->axis == 0 ? i % n : i / d);

        if (is == must || (isnan(is) && isnan(must)))
            continue;
        gqa_note(&out->finding,
                 "'%.300s', %s of head %" PRIu64 ", row %" PRIu64
                 ", column %" PRIu64 ": %.9g, by its transform %.9g",
                 s->to->name, names[s->part], head,
                 s->axis == 0 ? along : across, s->axis == 0 ? across : along,
                 is, must);
        return;
    }
}

static enum gqa_status replay_stripe(struct gqa_replayed *out,
                                     struct subject *s, uint64_t at, uint64_t n)
{
    enum gqa_status st;

    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    s->width = n;
    if ((st = read_heads(s, at, n)) != GQA_OK)
        return st;
    make_steps(s);
    for (uint64_t h = 0;
         h < s->to_slice.n_heads && st == GQA_OK && !out->finding.text[0];
         h++) {
        st = read_head(s, s->replay->converted->checkpoint, s->to, &s->to_slice,
                       h, at, n);
        if (st == GQA_OK)
            compare(out, s, h, at, n);
    }
    return st;
}

/* Length across the heads. */
static uint64_t across_of(const struct subject *s, const struct gqa_param *p)
{
    return s->axis == 0 ? p->cols : p->rows;
}

static enum gqa_status replay_param(struct gqa_replayed *out, struct subject *s)
{
    const uint64_t across = across_of(s, s->from);
    const uint64_t column = attention_of(s->replay)->n_heads * s->head_dim;
    const uint64_t take = column < ROOM ? ROOM / column : 1;
    const size_t most = (size_t)((take < across ? take : across) * column) + 1;
    double *memory[2];
    enum gqa_status st = GQA_OK;

    if (across != across_of(s, s->to)) {
        gqa_note(&out->finding,
                 "'%.300s' has another shape than in the original",
                 s->to->name);
        return GQA_OK;
    }
    memory[0] = malloc(most * sizeof(double));
    memory[1] = malloc(most * sizeof(double));
    s->raw = malloc(most * sizeof(double));
    s->scratch = malloc(most * sizeof(double));
    s->expected = malloc(most * sizeof(double));
    if (!memory[0] || !memory[1] || !s->raw || !s->scratch || !s->expected)
        st = gqa_fail_nomem();
    s->heads = memory[0];
    s->next = memory[1];
    for (uint64_t at = 0; at < across && st == GQA_OK && !out->finding.text[0];
         at += take)
        st = replay_stripe(out, s, at, across - at < take ? across - at : take);
    free(memory[0]);
    free(memory[1]);
    free(s->raw);
    free(s->scratch);
    free(s->expected);
    return st;
}

/* --- Parts ---------------------------------------------------------------- */

/* Those of each step for a part; *are_there false: one was not kept. */
static enum gqa_status load_transforms(double **out, bool *are_there,
                                       const struct gqa_replay *r,
                                       enum part part)
{
    const struct gqa_pool_step *steps = steps_of(r);
    enum gqa_status st = GQA_OK;

    *are_there = true;
    for (size_t k = 0; k < r->recipe->n_steps && st == GQA_OK; k++) {
        if (!steps[k].is_transformed)
            continue;
        st = gqa_transform_load(&out[k], r->converted->checkpoint, &steps[k],
                                attention_of(r), letters[part]);
        *are_there = *are_there && out[k];
    }
    return st;
}

static enum gqa_status replay_both(struct gqa_replayed *out, struct subject *s,
                                   const struct gqa_slice *from,
                                   const struct gqa_slice *to)
{
    const struct gqa_model *a = s->replay->original->model;
    const struct gqa_model *b = s->replay->converted->model;
    enum gqa_status st;

    s->from_slice = *from;
    s->to_slice = *to;
    s->from = &a->params[from->weight];
    s->to = &b->params[to->weight];
    s->axis = to->axis;
    st = replay_param(out, s);
    /* o's bias is no head's. */
    if (st != GQA_OK || s->part == OUTPUTS || from->bias == GQA_NO_PARAM ||
        to->bias == GQA_NO_PARAM)
        return st;
    s->from = &a->params[from->bias];
    s->to = &b->params[to->bias];
    s->axis = 0;
    return replay_param(out, s);
}

static enum gqa_status replay_part(struct gqa_replayed *out,
                                   const struct gqa_replay *r, enum part part)
{
    const struct gqa_attention *a =
        &r->original->model->attentions[r->attention];
    const struct gqa_attention *b = attention_of(r);
    const struct gqa_slice *const from[] = {&a->k, &a->v, &a->q, &a->o};
    const struct gqa_slice *const to[] = {&b->k, &b->v, &b->q, &b->o};
    struct subject s = {.replay = r, .part = part, .head_dim = a->head_dim};
    bool are_there = false;
    enum gqa_status st;

    s.transforms = calloc(r->recipe->n_steps + 1, sizeof *s.transforms);
    st = s.transforms ? load_transforms(s.transforms, &are_there, r, part)
                      : gqa_fail_nomem();
    if (st == GQA_OK && are_there)
        st = replay_both(out, &s, from[part], to[part]);
    out->everything = out->everything && are_there;
    for (size_t k = 0; s.transforms && k < r->recipe->n_steps; k++)
        free(s.transforms[k]);
    free(s.transforms);
    return st;
}

/* Heads drawn afresh are not made here. */
static bool can_replay(const struct gqa_replay *r)
{
    const struct gqa_pool_step *steps = steps_of(r);
    bool can = r->recipe->is_whole;

    for (size_t k = 0; k < r->recipe->n_steps && can; k++)
        can = steps[k].pooling != GQA_POOL_RANDOM ||
              steps[k].pooled == steps[k].source;
    return can;
}

static bool is_trained(const struct gqa_replay *r, enum part part)
{
    return (part == QUERIES && r->q_is_trained) ||
           (part == OUTPUTS && r->o_is_trained);
}

enum gqa_status gqa_replay(struct gqa_replayed *out, const struct gqa_replay *r)
{
    const struct gqa_pool_step *steps = steps_of(r);
    enum gqa_status st = GQA_OK;

    *out = (struct gqa_replayed){.everything = can_replay(r)};
    for (size_t k = 0; k < r->recipe->n_steps; k++)
        for (int part = KEYS; part <= OUTPUTS; part++)
            out->is_fitted[part] |= strchr(steps[k].fitted, letters[part]) != 0;
    for (int part = KEYS; part <= OUTPUTS && st == GQA_OK && out->everything &&
                          !out->finding.text[0];
         part++)
        if (!out->is_fitted[part] && !is_trained(r, (enum part)part))
            st = replay_part(out, r, (enum part)part);
    return st;
}
