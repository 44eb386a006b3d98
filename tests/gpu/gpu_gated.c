/* Gated feed-forwards as one operation, against sums in double. */
#include <math.h>
#include <stdlib.h>

#include "gpu.h"

struct shape {
    uint64_t n_rows, inputs, width;
    enum gqa_activation activation;
    bool kept;
};

/* [n_rows, n] = x [n_rows, k] times b [n, k]. */
static double *multiply(const double *x, const double *b, uint64_t n_rows,
                        uint64_t k, uint64_t n)
{
    double *out = must_allocate(n_rows * n, sizeof *out);

    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t c = 0; c < n; c++) {
            double sum = 0;

            for (uint64_t i = 0; i < k; i++)
                sum += x[r * k + i] * b[c * k + i];
            out[r * n + c] = sum;
        }
    return out;
}

/* Sums of products of about 1. */
static struct array weight_of(const struct shape *s)
{
    struct array w = array_random(s->inputs * s->width, gpu.real);

    for (size_t i = 0; i < w.n; i++)
        w.host[i] /= sqrt((double)s->inputs);
    round_to(w.host, w.n, gpu.real);
    array_send(&w);
    return w;
}

/* What was not done has left everything alone. */
static void check_untouched(const struct array *array, const char *what)
{
    double *nothing = must_allocate(array->n, sizeof *nothing);

    for (size_t i = 0; i < array->n; i++)
        nothing[i] = (double)NAN;
    check_array(array, nothing, array->n, 0, "%s, not done", what);
    free(nothing);
}

/* Factors are rounded before they meet, as if they had been written; a square
 * doubles what that costs. */
static void check(const struct array *got, const double *expected,
                  const char *what, const struct shape *s)
{
    check_array(got, expected, got->n, 1.5 * rounding(),
                "%s %llu x %llu x %llu, activation %d%s", what,
                (unsigned long long)s->n_rows, (unsigned long long)s->inputs,
                (unsigned long long)s->width, s->activation,
                s->kept ? ", kept" : "");
}

static void check_gated(const struct shape *s)
{
    const size_t n = s->n_rows * s->width;
    struct array x = array_random(s->n_rows * s->inputs, gpu.real);
    struct array gate = weight_of(s), up = weight_of(s);
    struct array out = array_nan(n, gpu.real);
    struct array gate_out = array_nan(n, gpu.real);
    struct array up_out = array_nan(n, gpu.real);
    const struct gqa_weight gates = array_weight(&gate, s->width, s->inputs);
    const struct gqa_weight ups = array_weight(&up, s->width, s->inputs);
    bool done = false;

    gpu_must(gpu.backend->gated(gpu.device, &done, out.device,
                                s->kept ? gate_out.device : NULL,
                                s->kept ? up_out.device : NULL, x.device,
                                s->n_rows, &gates, &ups, s->activation),
             "gated");
    if (done) {
        double *g = multiply(x.host, gate.host, s->n_rows, s->inputs, s->width);
        double *u = multiply(x.host, up.host, s->n_rows, s->inputs, s->width);
        double *expected = must_allocate(n, sizeof *expected);

        for (size_t i = 0; i < n; i++)
            expected[i] = gpu_activation(g[i], s->activation) * u[i];
        check(&out, expected, "gated", s);
        if (s->kept) {
            check(&gate_out, g, "its gate", s);
            check(&up_out, u, "its factor", s);
        }
        free(g);
        free(u);
        free(expected);
    } else {
        check_untouched(&out, "gated");
    }
    if (!done || !s->kept) {
        check_untouched(&gate_out, "its gate");
        check_untouched(&up_out, "its factor");
    }
    array_free(&x);
    array_free(&gate);
    array_free(&up);
    array_free(&out);
    array_free(&gate_out);
    array_free(&up_out);
}

static void check_both(struct shape s)
{
    check_gated(&s);
    s.kept = true;
    check_gated(&s);
}

static void tests(void)
{
    if (!gpu.backend->gated)
        return;
    for (int which = 0; which <= GQA_ACTIVATION_GELU_BLOOM; which++)
        check_both(
            (struct shape){1024, 64, 136, (enum gqa_activation)which, false});
    /* Rows, columns and factors that fill no tile; fewer than it takes. */
    check_both((struct shape){1025, 8, 8, GQA_ACTIVATION_SILU, false});
    check_both((struct shape){1100, 200, 72, GQA_ACTIVATION_SILU, false});
    check_both((struct shape){1023, 64, 64, GQA_ACTIVATION_SILU, false});
    check_both((struct shape){1024, 60, 64, GQA_ACTIVATION_SILU, false});
    if (gpu.small)
        return;
    /* More tiles than processors. */
    check_both((struct shape){2500, 512, 2056, GQA_ACTIVATION_SILU, false});
    check_both((struct shape){4096, 1024, 384, GQA_ACTIVATION_SILU, false});
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
