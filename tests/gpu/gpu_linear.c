/* Products with weights against sums in double. */
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

static const enum gqa_dtype dtypes[] = {GQA_F32, GQA_BF16, GQA_F16, GQA_F64};

struct product {
    uint64_t n_rows, n_in, n_out;
    enum gqa_dtype weight, bias;
    bool has_bias, input_major, accumulate, wide;
    unsigned offset; /* elements by which all begin off their allocation */
};

static double *expect(const struct product *p, const double *before,
                      const double *x, const double *w, const double *b,
                      double scale)
{
    double *out = must_allocate(p->n_rows * p->n_out, sizeof *out);
    const uint64_t in_step = p->input_major ? p->n_out : 1;
    const uint64_t out_step = p->input_major ? 1 : p->n_in;

    for (uint64_t r = 0; r < p->n_rows; r++)
        for (uint64_t o = 0; o < p->n_out; o++) {
            double sum = 0;

            for (uint64_t i = 0; i < p->n_in; i++)
                sum += x[r * p->n_in + i] * w[o * out_step + i * in_step];
            out[r * p->n_out + o] = sum * scale + (b ? b[o] : 0) +
                                    (before ? before[r * p->n_out + o] : 0);
        }
    return out;
}

static void check_product(const struct product *p)
{
    const unsigned at = p->offset;
    const size_t n = p->n_rows * p->n_out;
    const enum gqa_dtype out_type = p->wide ? GQA_F32 : gpu.real;
    struct array x = array_random(p->n_rows * p->n_in + at, gpu.real);
    struct array w = array_random(p->n_in * p->n_out + at, p->weight);
    struct array b = array_random(p->n_out + at, p->bias);
    struct array out = p->accumulate ? array_random(n + at, out_type)
                                     : array_nan(n + at, out_type);
    const double scale = p->wide ? 0.125 : 1;
    /* What is in another dtype may be rounded to real before it is used. */
    const double tolerance = p->wide && p->weight == gpu.real
                                 ? 1e-6
                                 : rounding() * (p->weight != gpu.real ? 3
                                                 : p->has_bias         ? 1.5
                                                                       : 1);
    double *expected;
    struct gqa_weight weight, bias;
    /* What is added may lie elsewhere. */
    struct array apart = array_nan(n + at, out_type);
    struct array result = p->accumulate && p->has_bias ? apart : out;

    /* float32 and float64 weights round to bfloat16 and float16. */
    if (gpu.real != GQA_F32)
        round_to(w.host, w.n, gpu.real);
    weight = array_weight(&w, p->input_major ? p->n_in : p->n_out,
                          p->input_major ? p->n_out : p->n_in);
    bias = array_weight(&b, p->n_out, 1);
    weight.data = w.device + (size_t)at * gqa_dtype_bits(p->weight) / 8;
    bias.data = b.device + (size_t)at * gqa_dtype_bits(p->bias) / 8;
    result.device += (size_t)at * gqa_dtype_bits(out_type) / 8;
    expected = expect(p, p->accumulate ? out.host + at : NULL, x.host + at,
                      w.host + at, p->has_bias ? b.host + at : NULL, scale);
    if (p->wide)
        gpu_must(gpu.backend->unembed(
                     gpu.device, result.device,
                     x.device + (size_t)at * gqa_dtype_bits(gpu.real) / 8,
                     p->n_rows, &weight, p->input_major,
                     p->has_bias ? &bias : NULL, scale),
                 "unembed");
    else
        gpu_must(
            gpu.backend->linear(
                gpu.device, result.device,
                x.device + (size_t)at * gqa_dtype_bits(gpu.real) / 8, p->n_rows,
                &weight, p->input_major, p->has_bias ? &bias : NULL,
                p->accumulate
                    ? out.device + (size_t)at * gqa_dtype_bits(gpu.real) / 8
                    : NULL),
            "linear");
    check_array(&result, expected, n, tolerance,
                "%s %llu x %llu x %llu, weight %s%s%s%s%s, offset %u",
                p->wide ? "unembed" : "linear", (unsigned long long)p->n_rows,
                (unsigned long long)p->n_in, (unsigned long long)p->n_out,
                gqa_dtype_name(p->weight), p->has_bias ? ", bias " : "",
                p->has_bias ? gqa_dtype_name(p->bias) : "",
                p->input_major ? ", input-major" : "",
                p->accumulate ? ", added" : "", at);
    free(expected);
    array_free(&x);
    array_free(&w);
    array_free(&b);
    array_free(&out);
    array_free(&apart);
}

static void check_variants(uint64_t n_rows, uint64_t n_in, uint64_t n_out)
{
    for (unsigned variant = 0; variant < 32; variant++) {
        struct product p = {
            .n_rows = n_rows,
            .n_in = n_in,
            .n_out = n_out,
            .weight = dtypes[variant % 4],
            .bias = dtypes[(variant / 8 + variant) % 4],
            .has_bias = variant & 4,
            .input_major = variant & 8,
            .accumulate = variant & 16,
        };

        check_product(&p);
        p.weight = p.bias = gpu.real;
        check_product(&p);
        if (!p.accumulate) {
            p.wide = true;
            p.bias = dtypes[variant % 4];
            check_product(&p);
        }
    }
}

/* More elements than 32 bits count: the last rows of a product. */
static void check_large(void)
{
    const struct product p = {
        .n_rows = 3, .n_in = 8, .n_out = 40000, .wide = true};
    const uint64_t n_rows = 60000, first = n_rows - p.n_rows;
    struct gqa_device_info info;
    struct array x, w, out;
    struct gqa_weight weight;
    void *memory = NULL;
    double *expected;

    gpu_must(gpu.backend->describe(gpu.device, &info), "describe");
    if (gpu.small || info.free_bytes < UINT64_C(12) << 30)
        return;
    x = array_random(n_rows * p.n_in, gpu.real);
    w = array_random(p.n_in * p.n_out, gpu.real);
    weight = array_weight(&w, p.n_out, p.n_in);
    gpu_must(gpu.backend->alloc(gpu.device, &memory, n_rows * p.n_out * 4),
             "alloc");
    gpu_must(gpu.backend->unembed(gpu.device, memory, x.device, n_rows, &weight,
                                  false, NULL, 1),
             "unembed");
    expected = expect(&p, NULL, x.host + first * p.n_in, w.host, NULL, 1);
    out = (struct array){.device = (char *)memory + first * p.n_out * 4,
                         .dtype = GQA_F32};
    check_array(&out, expected, p.n_rows * p.n_out, 1e-6,
                "unembed of %llu rows", (unsigned long long)n_rows);
    free(expected);
    gpu.backend->free(gpu.device, memory);
    array_free(&x);
    array_free(&w);
}

/* Numbers that others' do not change with. */
static struct array array_plain(size_t n)
{
    struct array array = array_nan(n, gpu.real);

    for (size_t i = 0; i < n; i++)
        array.host[i] = (double)(i * 7919 % 2003) / 1000 - 1;
    array_send(&array);
    return array;
}

/* A large product that comes again is made by another algorithm, which shows
 * in nothing. */
static void check_again(uint64_t n_rows, uint64_t n_in, uint64_t n_out,
                        bool adds)
{
    enum { TIMES = 20 };
    const size_t n_bytes = n_rows * n_out * gqa_dtype_bits(gpu.real) / 8;
    struct array x = array_plain(n_rows * n_in);
    struct array w = array_plain(n_in * n_out);
    struct array added = array_plain(n_rows * n_out);
    struct array out = array_nan(n_rows * n_out, gpu.real);
    const struct gqa_weight weight = {w.device, gpu.real, n_out, n_in};
    char *first = must_allocate(n_bytes, 1), *other = must_allocate(n_bytes, 1);
    int n_differ = 0;

    for (int i = 0; i < TIMES; i++) {
        char *to = i == 0 ? first : other;

        gpu_must(gpu.backend->linear(gpu.device, out.device, x.device, n_rows,
                                     &weight, false, NULL,
                                     adds ? added.device : NULL),
                 "linear");
        gpu_must(gpu.backend->download(gpu.device, to, out.device, n_bytes),
                 "download");
        n_differ += i > 0 && memcmp(first, other, n_bytes) != 0;
    }
    check_true(n_differ == 0,
               "the product of %llu rows, %llu to %llu, gave other bits %d of "
               "%d times",
               (unsigned long long)n_rows, (unsigned long long)n_in,
               (unsigned long long)n_out, n_differ, TIMES - 1);
    free(first);
    free(other);
    array_free(&x);
    array_free(&w);
    array_free(&added);
    array_free(&out);
}

static void tests(void)
{
    static const uint64_t shapes[][3] = {
        {1, 1, 1},   {3, 5, 7},    {1, 64, 64},   {17, 33, 65},   {8, 1032, 33},
        {4, 520, 3}, {2, 31, 129}, {65, 128, 96}, {130, 200, 72},
    };
    const enum gqa_dtype other = gpu.real == GQA_F32 ? GQA_BF16 : GQA_F32;

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!gpu.small || i % 3 == 1)
            check_variants(shapes[i][0], shapes[i][1], shapes[i][2]);
    for (unsigned offset = 1; offset < 4; offset++)
        check_product(&(struct product){.n_rows = 5,
                                        .n_in = 64,
                                        .n_out = 48,
                                        .weight = gpu.real,
                                        .bias = gpu.real,
                                        .has_bias = true,
                                        .offset = offset});
    if (gpu.small)
        return;
    /* Long sums, and weights of several panels. */
    for (unsigned variant = 0; variant < 4; variant++)
        check_product(
            &(struct product){.n_rows = 2,
                              .n_in = 16384,
                              .n_out = variant < 2 ? 300 : 2300,
                              .weight = variant < 2 ? gpu.real : other,
                              .bias = gpu.real,
                              .has_bias = true,
                              .input_major = variant & 1});
    check_large();
    /* Sums of several splits; of one. */
    check_again(512, 8192, 512, false);
    check_again(8192, 512, 1376, false);
    check_again(8192, 512, 512, true);
}

int main(int argc, char **argv)
{
    return gpu_main(argc, argv, tests);
}
