#include "gpu.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

struct gpu gpu;

static unsigned n_checks, n_failures;
static double worst; /* error so far, of one dtype */
static uint64_t drawn;

void gpu_must(enum gqa_status st, const char *what)
{
    if (st == GQA_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, gqa_error_message());
    exit(EXIT_FAILURE);
}

void *must_allocate(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);

    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

static void verdict(bool holds, const char *what, va_list ap,
                    const char *detail)
{
    n_checks++;
    if (holds)
        return;
    n_failures++;
    printf("FAIL %s: ", gqa_dtype_name(gpu.real));
    vprintf(what, ap);
    printf("%s\n", detail);
}

void check_true(bool holds, const char *what, ...)
{
    va_list ap;

    va_start(ap, what);
    verdict(holds, what, ap, "");
    va_end(ap);
}

double rounding(void)
{
    return gpu.real == GQA_F32 ? 1e-6 : gpu.real == GQA_BF16 ? 3.92e-3 : 4.9e-4;
}

uint64_t random_below(uint64_t n)
{
    return (uint64_t)(gqa_random_uniform(99, drawn++) * (double)n);
}

static size_t bytes_of(enum gqa_dtype dtype, size_t n)
{
    return n * gqa_dtype_bits(dtype) / 8;
}

static struct array array_new(size_t n, enum gqa_dtype dtype)
{
    struct array array = {.n = n, .dtype = dtype};
    void *memory = NULL;

    gpu_must(gpu.backend->alloc(gpu.device, &memory, bytes_of(dtype, n)),
             "alloc");
    array.device = memory;
    array.host = must_allocate(n, sizeof *array.host);
    return array;
}

void round_to(double *x, size_t n, enum gqa_dtype dtype)
{
    void *packed = must_allocate(bytes_of(dtype, n), 1);

    gqa_store_f64(packed, dtype, x, n);
    gqa_load_f64(x, packed, dtype, n);
    free(packed);
}

void array_send(struct array *array)
{
    const size_t n_bytes = bytes_of(array->dtype, array->n);
    void *packed = must_allocate(n_bytes, 1);

    gqa_store_f64(packed, array->dtype, array->host, array->n);
    gqa_load_f64(array->host, packed, array->dtype, array->n);
    gpu_must(gpu.backend->upload(gpu.device, array->device, packed, n_bytes),
             "upload");
    free(packed);
}

struct array array_random(size_t n, enum gqa_dtype dtype)
{
    struct array array = array_new(n, dtype);

    gqa_random_normal(array.host, n, 7, drawn, 1);
    drawn += n;
    array_send(&array);
    return array;
}

struct array array_nan(size_t n, enum gqa_dtype dtype)
{
    struct array array = array_new(n, dtype);

    for (size_t i = 0; i < n; i++)
        array.host[i] = (double)NAN;
    array_send(&array);
    return array;
}

void array_free(struct array *array)
{
    gpu.backend->free(gpu.device, array->device);
    free(array->host);
}

struct gqa_weight array_weight(const struct array *array, uint64_t rows,
                               uint64_t cols)
{
    return (struct gqa_weight){array->device, array->dtype, rows, cols};
}

double *array_read(const struct array *array, size_t n)
{
    const size_t n_bytes = bytes_of(array->dtype, n);
    void *packed = must_allocate(n_bytes, 1);
    double *values = must_allocate(n, sizeof *values);

    gpu_must(gpu.backend->download(gpu.device, packed, array->device, n_bytes),
             "download");
    gqa_load_f64(values, packed, array->dtype, n);
    free(packed);
    return values;
}

static void compare(const double *got, const double *expected, size_t n,
                    double tolerance, const char *what, va_list ap)
{
    double error = 0, norm = 0;
    size_t n_wrong = 0, first_wrong = 0;
    char detail[128];

    for (size_t i = 0; i < n; i++) {
        const double difference = got[i] - expected[i];

        if (isnan(expected[i]) || isnan(got[i])) {
            if (isnan(expected[i]) != isnan(got[i]) && n_wrong++ == 0)
                first_wrong = i;
        } else {
            error += difference * difference;
            norm += expected[i] * expected[i];
        }
    }
    error = norm > 0 ? sqrt(error / norm) : sqrt(error);
    if (n_wrong)
        snprintf(detail, sizeof detail,
                 ": %zu of %zu wrong, the first at %zu: %g, not %g", n_wrong, n,
                 first_wrong, got[first_wrong], expected[first_wrong]);
    else
        snprintf(detail, sizeof detail, ": error %.2e, not %.2e", error,
                 tolerance);
    if (error > worst)
        worst = error;
    verdict(n_wrong == 0 && error <= tolerance, what, ap, detail);
}

void check_values(const double *got, const double *expected, size_t n,
                  double tolerance, const char *what, ...)
{
    va_list ap;

    va_start(ap, what);
    compare(got, expected, n, tolerance, what, ap);
    va_end(ap);
}

void check_array(const struct array *array, const double *expected, size_t n,
                 double tolerance, const char *what, ...)
{
    double *got = array_read(array, n);
    va_list ap;

    va_start(ap, what);
    compare(got, expected, n, tolerance, what, ap);
    va_end(ap);
    free(got);
}

int gpu_main(int argc, char **argv, void (*tests)(void))
{
    static const enum gqa_dtype reals[] = {GQA_F32, GQA_BF16, GQA_F16};

    gpu.small = argc > 1 && strcmp(argv[1], "--small") == 0;
    if (gqa_cuda_backend_load(&gpu.backend) != GQA_OK) {
        printf("skipped: %s\n", gqa_error_message());
        return 77;
    }
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const struct gqa_device_options options = {.real = reals[i]};

        gpu.real = reals[i];
        gpu_must(gpu.backend->open(&gpu.device, &options), "open");
        worst = 0;
        tests();
        printf("%s: largest relative L2 error %.2e\n", gqa_dtype_name(gpu.real),
               worst);
        gpu.backend->close(gpu.device);
    }
    printf("%u checks, %u failures\n", n_checks, n_failures);
    return n_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

double gpu_activation(double x, enum gqa_activation which)
{
    switch (which) {
    case GQA_ACTIVATION_RELU:
        return x < 0 ? 0 : x;
    case GQA_ACTIVATION_GELU:
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case GQA_ACTIVATION_GELU_TANH:
        return 0.5 * x *
               (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case GQA_ACTIVATION_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case GQA_ACTIVATION_RELU2:
        return x < 0 ? 0 : x * x;
    case GQA_ACTIVATION_GELU_BLOOM:
        return 0.5 * x * (1 + tanh(0.79788456 * x * (1 + 0.044715 * x * x)));
    default:
        return x / (1 + exp(-x));
    }
}
