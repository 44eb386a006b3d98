#include "cpu_device.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const enum gqa_dtype reals[] = {GQA_F32, GQA_F64};
const enum gqa_dtype dtypes[] = {GQA_F16, GQA_BF16, GQA_F32, GQA_F64};

const struct gqa_backend *backend;
struct gqa_device *device;
enum gqa_dtype real;

void open_device(enum gqa_dtype dtype, unsigned n_threads)
{
    const struct gqa_device_options options = {.real = dtype,
                                               .n_threads = n_threads};

    backend = gqa_cpu_backend();
    real = dtype;
    ck_assert_int_eq(backend->open(&device, &options), GQA_OK);
}

void close_device(void)
{
    backend->close(device);
    device = NULL;
}

/* --- Values --------------------------------------------------------------- */

static uint64_t seed = 1;

void seed_draws(uint64_t s)
{
    seed = s;
}

double draw(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(seed >> 11) * 0x1p-52 - 1;
}

void *make(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    ck_assert_ptr_nonnull(p);
    return p;
}

size_t bytes_of(enum gqa_dtype dtype)
{
    return gqa_dtype_bits(dtype) / 8;
}

void *rounded(double *v, size_t n, enum gqa_dtype dtype)
{
    void *p = make(n, bytes_of(dtype));

    gqa_store_f64(p, dtype, v, n);
    gqa_load_f64(v, p, dtype, n);
    return p;
}

void *drawn(double **v, size_t n, enum gqa_dtype dtype)
{
    *v = make(n, sizeof **v);
    for (size_t i = 0; i < n; i++)
        (*v)[i] = draw();
    return rounded(*v, n, dtype);
}

void *poisoned(size_t n)
{
    double *v = make(n, sizeof *v);
    void *p;

    for (size_t i = 0; i < n; i++)
        v[i] = NAN;
    p = rounded(v, n, real);
    free(v);
    return p;
}

void check_within(double limit, const void *got, const double *want, size_t n,
                  const char *what)
{
    double *v = make(n, sizeof *v);
    double error = 0, all = 0;

    gqa_load_f64(v, got, real, n);
    for (size_t i = 0; i < n; i++) {
        error += (v[i] - want[i]) * (v[i] - want[i]);
        all += want[i] * want[i];
    }
    ck_assert_msg(sqrt(error) <= limit * sqrt(all), "%s in %s: %g of %g", what,
                  gqa_dtype_name(real), sqrt(error), sqrt(all));
    free(v);
}

void check_close(const void *got, const double *want, size_t n,
                 const char *what)
{
    check_within(real == GQA_F32 ? 1e-6 : 1e-14, got, want, n, what);
}
