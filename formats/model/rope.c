#include "formats/model/rope.h"

#include <math.h>
#include <string.h>

uint64_t gqa_rope_kind(const struct gqa_rope *rope, uint64_t length)
{
    if (rope->context == 0 || length <= rope->context)
        return 0;
    return rope->longer ? 1 : length;
}

/* The base grows so that the slowest pair, and it alone, is stretched by as
 * much as the sequence is. */
static void stretch(double *out, const struct gqa_rope *rope, uint64_t length)
{
    const double dim = 2.0 * (double)rope->n_pairs;
    const double beyond = (double)length / (double)rope->context - 1;
    const double base =
        rope->theta * pow(1 + rope->growth * beyond, dim / (dim - 2));

    for (uint64_t j = 0; j < rope->n_pairs; j++)
        out[j] = pow(base, -2.0 * (double)j / dim);
}

void gqa_rope_frequencies(double *out, const struct gqa_rope *rope,
                          uint64_t length)
{
    if (gqa_rope_kind(rope, length) > 0 && !rope->longer)
        stretch(out, rope, length);
    else
        memcpy(out,
               gqa_rope_kind(rope, length) > 0 ? rope->longer : rope->frequency,
               rope->n_pairs * sizeof *out);
}

bool gqa_rope_turns(const struct gqa_rope *rope, uint64_t pair)
{
    return rope->frequency[pair] > 1 / sqrt(GQA_ROPE_STILL);
}

double gqa_rope_plain(const struct gqa_rope *rope, uint64_t pair)
{
    return pow(rope->theta, -(double)pair / (double)rope->n_pairs);
}

double gqa_rope_yarn_magnitude(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

void gqa_rope_divide(struct gqa_rope *rope, const double *divisors)
{
    for (uint64_t j = 0; j < rope->n_pairs; j++)
        rope->frequency[j] = gqa_rope_plain(rope, j) / divisors[j];
    rope->context = 0;
}
