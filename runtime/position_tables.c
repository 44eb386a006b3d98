#include "runtime/position_tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/ull.h"
#include "formats/model/rope.h"
#include "formats/model/sinusoids.h"
#include "runtime/relative_bias.h"
#include "runtime/values.h"

/* n values to *out as wide. */
static enum gqa_status put(const struct gqa_runtime *r, void **out,
                           const double *values, uint64_t n)
{
    enum gqa_status st = GQA_OK;

    if (!*out)
        st = r->backend->alloc(r->device, out, n * gqa_dtype_bits(r->wide) / 8);
    return st == GQA_OK ? gqa_values_upload(r->backend, r->device, *out,
                                            r->wide, values, n)
                        : st;
}

/* a * b doubles; NULL: no memory. */
static double *doubles(uint64_t a, uint64_t b, uint64_t *n)
{
    uint64_t bytes;

    return gqa_mul_u64(a, b, n) && gqa_mul_u64(*n, sizeof(double), &bytes)
               ? malloc((size_t)bytes)
               : NULL;
}

/*
 * Angles are taken in double whatever the device computes in: a position of
 * thousands times a frequency leaves float32 few digits.
 */
enum gqa_status gqa_position_angles(const struct gqa_runtime *r, void **out,
                                    const struct gqa_rope *rope,
                                    uint64_t n_positions, uint64_t length)
{
    double *frequency, *values;
    uint64_t n;
    enum gqa_status st;

    if (!(values = doubles(n_positions, rope->n_pairs * 2, &n)))
        return gqa_fail_nomem();
    if (!(frequency = calloc(rope->n_pairs, sizeof *frequency))) {
        free(values);
        return gqa_fail_nomem();
    }
    gqa_rope_frequencies(frequency, rope, length);
    for (uint64_t p = 0; p < n_positions; p++)
        for (uint64_t j = 0; j < rope->n_pairs; j++) {
            const double angle = (double)p * frequency[j];
            double *pair = values + 2 * (p * rope->n_pairs + j);

            pair[0] = cos(angle) * rope->magnitude;
            pair[1] = sin(angle) * rope->magnitude;
        }
    st = put(r, out, values, n);
    free(frequency);
    free(values);
    return st;
}

enum gqa_status gqa_position_turn(const struct gqa_runtime *r,
                                  struct gqa_angles *angles,
                                  uint64_t n_positions, uint64_t length)
{
    const struct gqa_rope *rope = &r->network->rope;
    const struct gqa_rope *local = &r->network->local_rope;
    const uint64_t kind = gqa_rope_kind(rope, length);
    enum gqa_status st = GQA_OK;

    if (local->n_pairs && !angles->local)
        st = gqa_position_angles(r, &angles->local, local, n_positions, length);
    if (st != GQA_OK || rope->n_pairs == 0 ||
        (angles->all && angles->turned_for == kind))
        return st;
    st = gqa_position_angles(r, &angles->all, rope, n_positions, length);
    if (st == GQA_OK)
        angles->turned_for = kind;
    return st;
}

void gqa_position_free(const struct gqa_runtime *r, struct gqa_angles *angles)
{
    if (angles->all)
        r->backend->free(r->device, angles->all);
    if (angles->local)
        r->backend->free(r->device, angles->local);
}

const void *gqa_angles_of(const struct gqa_angles *angles,
                          const struct gqa_network *network,
                          const struct gqa_rope *rope)
{
    return rope == &network->local_rope ? angles->local : angles->all;
}

enum gqa_status gqa_position_bias(const struct gqa_runtime *r, void **out,
                                  const struct gqa_attention_block *a,
                                  uint64_t reach)
{
    const uint64_t n_heads = a->heads->n_heads;
    double *values;
    uint64_t n;
    enum gqa_status st;

    if (!(values = doubles(reach, 2 * n_heads, &n)))
        return gqa_fail_nomem();
    if (a->slopes)
        gqa_slopes_spread(values, a->slopes, n_heads, reach);
    else if (a->bias.table == GQA_NO_PARAM)
        memset(values, 0, n * sizeof *values);
    else
        gqa_relative_bias_spread(values, &a->bias, r->tables[a->bias.table],
                                 n_heads, reach);
    if (a->within)
        gqa_bias_keep_within(values, n_heads, reach, a->within);
    st = put(r, out, values, n - n_heads);
    free(values);
    return st;
}

enum gqa_status gqa_position_summary_bias(const struct gqa_runtime *r,
                                          void **out,
                                          const struct gqa_attention_block *a,
                                          uint64_t reach)
{
    const struct gqa_relative_bias *bias = &a->summaries.bias;
    const uint64_t n_heads = a->heads->n_heads;
    double *values;
    uint64_t n;
    enum gqa_status st;

    if (!(values = doubles(reach, 2 * n_heads, &n)))
        return gqa_fail_nomem();
    gqa_relative_bias_spread(values, bias, r->tables[bias->table], n_heads,
                             reach);
    st = put(r, out, values, n - n_heads);
    free(values);
    return st;
}

enum gqa_status gqa_position_sinusoids(const struct gqa_runtime *r,
                                       struct gqa_weight *out,
                                       const struct gqa_network_stack *stack)
{
    const uint64_t half = r->network->d_model / 2;
    const uint64_t rows = stack->n_positions + stack->position_offset;
    void *data = NULL;
    double *values;
    uint64_t n;
    enum gqa_status st;

    if (!(values = doubles(rows, 2 * half, &n)))
        return gqa_fail_nomem();
    for (uint64_t p = 0; p < rows; p++)
        gqa_sinusoids_row(values + p * 2 * half, stack->sinusoids, half, p);
    if (stack->zero_row < rows)
        memset(values + stack->zero_row * 2 * half, 0,
               2 * half * sizeof *values);
    st = put(r, &data, values, n);
    free(values);
    *out = (struct gqa_weight){data, r->wide, rows, 2 * half};
    return st;
}

bool gqa_position_has_bias(const struct gqa_attention_block *a)
{
    return a->slopes || a->bias.table != GQA_NO_PARAM || a->within > 0;
}

bool gqa_position_same_bias(const struct gqa_attention_block *a,
                            const struct gqa_attention_block *b)
{
    return a->slopes == b->slopes && a->bias.table == b->bias.table &&
           a->within == b->within;
}

bool gqa_position_same_summary_bias(const struct gqa_attention_block *a,
                                    const struct gqa_attention_block *b)
{
    return a->summaries.size == b->summaries.size &&
           a->summaries.bias.table == b->summaries.bias.table;
}
