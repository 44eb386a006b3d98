/*
 * A GPU under test: arrays on it with their values as doubles beside them,
 * and comparison with what an operation should have written.
 *
 * No Check here, so that these programs run on a machine that has nothing
 * but a driver.
 */
#ifndef GQA_TESTS_GPU_H
#define GQA_TESTS_GPU_H

#include "runtime/backend.h"

struct gpu {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    enum gqa_dtype real;
    bool small; /* --small: nothing large, for compute-sanitizer */
};

extern struct gpu gpu;

/* Run tests() for float32, bfloat16 and float16. The exit status: 77 without
 * a device. */
int gpu_main(int argc, char **argv, void (*tests)(void));

/* Fail the program: its own calls have to work. */
void gpu_must(enum gqa_status st, const char *what);

struct array {
    char *device;
    double *host; /* what the device holds, exactly */
    size_t n;
    enum gqa_dtype dtype;
};

/* n normally distributed numbers, ever new ones, rounded to dtype. */
struct array array_random(size_t n, enum gqa_dtype dtype);
/* n times NaN: what must not be read, or has to be written. */
struct array array_nan(size_t n, enum gqa_dtype dtype);
/* Put the host's values on the device. */
void array_send(struct array *array);
/* The first n values on the device; the caller frees them. */
double *array_read(const struct array *array, size_t n);
void array_free(struct array *array);

/* As a weight of the contract; row 1 of n where rows is 1. */
struct gqa_weight array_weight(const struct array *array, uint64_t rows,
                               uint64_t cols);

void round_to(double *x, size_t n, enum gqa_dtype dtype);

/* act(x). */
double gpu_activation(double x, enum gqa_activation which);

/* A number from 0 to n - 1. */
uint64_t random_below(uint64_t n);

/*
 * The first n values on the device are `expected`, but for a relative L2
 * error of at most `tolerance` (0: the same; NaN expected is NaN). What is
 * compared is said as in printf().
 */
void check_array(const struct array *array, const double *expected, size_t n,
                 double tolerance, const char *what, ...) GQA_PRINTF(5, 6);
/* The same of values that array_read() gave. */
void check_values(const double *got, const double *expected, size_t n,
                  double tolerance, const char *what, ...) GQA_PRINTF(5, 6);
void check_true(bool holds, const char *what, ...) GQA_PRINTF(2, 3);

/* The largest error of one rounding to gpu.real; of float32, of sums. */
double rounding(void);

void *must_allocate(size_t n, size_t size);

#endif
