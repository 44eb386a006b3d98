/* Drawing tokens from logits, in float64 whatever these are. */
#include <math.h>

#include "common/signs.h"
#include "runtime/cpu/cpu.h"
#include "runtime/cpu/kth.h"

struct drawing {
    const struct gqa_device *device;
    int32_t *out;
    const char *logits;
    const uint64_t *keys;
    uint64_t first;
    const struct gqa_draw_op *op;
};

static bool may_be_drawn(const struct gqa_draw_op *op, uint64_t token)
{
    for (unsigned i = 0; i < GQA_N_NEVER; i++)
        if ((int64_t)token == op->never[i])
            return false;
    return true;
}

/* What a token's logit must be at least, to be drawn. room: [vocab_size]. */
static double find_least(const struct gqa_draw_op *op, const double *logits,
                         double *room)
{
    size_t n = 0;

    if (op->top_k == 0)
        return -INFINITY;
    for (uint64_t i = 0; i < op->vocab_size; i++)
        if (may_be_drawn(op, i))
            room[n++] = logits[i];
    return op->top_k < n ? gqa_kth_largest(room, n, (size_t)op->top_k)
                         : -INFINITY;
}

/* logits, room: [vocab_size]; logits become shares. */
static int32_t draw_row(const struct gqa_draw_op *op, double *logits,
                        double *room, double number)
{
    const uint64_t n = op->vocab_size;
    double most = -INFINITY, sum = 0, least, left;
    int32_t token = 0;

    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(logits[i]))
            return -1;
        if (logits[i] > most && may_be_drawn(op, i))
            most = logits[i];
    }
    least = find_least(op, logits, room);
    for (uint64_t i = 0; i < n; i++) {
        if (logits[i] >= least && may_be_drawn(op, i))
            sum += logits[i] = exp((logits[i] - most) / op->temperature);
        else
            logits[i] = -1; /* no share, not even one of 0 */
    }
    left = sum * number;
    for (uint64_t i = 0; i < n; i++) {
        if (logits[i] < 0)
            continue;
        /* The last stays where rounding leaves something of `left`. */
        token = (int32_t)i;
        if ((left -= logits[i]) < 0)
            break;
    }
    return token;
}

static void draw_rows(void *ctx, size_t task, void *scratch)
{
    const struct drawing *w = ctx;
    const struct gqa_device *d = w->device;
    const uint64_t n = w->op->vocab_size, s = w->first + task;
    const uint64_t row_bytes = n * gqa_dtype_bits(d->dtype) / 8;
    double *logits = scratch;

    w->out[s] = 0;
    if (d->n_tokens[s] == 0)
        return;
    gqa_load_f64(logits, w->logits + task * row_bytes, d->dtype, (size_t)n);
    w->out[s] = draw_row(w->op, logits, logits + n,
                         gqa_uniform(w->keys[s], d->starts[s] + 1));
}

enum gqa_status gqa_cpu_draw(struct gqa_device *device, int32_t *out,
                             const void *logits, const uint64_t *keys,
                             uint64_t first, uint64_t n_rows,
                             const struct gqa_draw_op *op)
{
    struct drawing w = {device, out, logits, keys, first, op};

    return gqa_cpu_pool_run(device->pool, (size_t)n_rows,
                            (size_t)op->vocab_size * 2 * sizeof(double),
                            draw_rows, &w);
}

enum gqa_status gqa_cpu_follow(struct gqa_device *d, const int32_t *tokens,
                               int32_t end)
{
    for (uint64_t s = 0; s < d->n_sequences; s++) {
        const int32_t token = tokens[s];

        d->starts[s] += d->n_tokens[s];
        if (token < 0 || token == end)
            d->n_tokens[s] = 0;
        d->tokens[s] = token < 0 ? 0 : token;
    }
    return GQA_OK;
}
