/* A device of the CPU backend for tests, and values to give it. */
#ifndef GQA_TESTS_UNIT_CPU_DEVICE_H
#define GQA_TESTS_UNIT_CPU_DEVICE_H

#include <stddef.h>

#include "runtime/backend.h"

extern const enum gqa_dtype reals[2];  /* that a device computes in */
extern const enum gqa_dtype dtypes[4]; /* that weights have */

/* The device that open_device() has opened. */
extern const struct gqa_backend *backend;
extern struct gqa_device *device;
extern enum gqa_dtype real;

void open_device(enum gqa_dtype dtype, unsigned n_threads);
void close_device(void);

/* In [-1, 1); the next of a sequence that is always the same. */
double draw(void);
void seed_draws(uint64_t seed);

/* Zeros; freed by the caller. */
void *make(size_t n, size_t size);

size_t bytes_of(enum gqa_dtype dtype);

/* n values as dtype in memory of their own; v becomes what they are there. */
void *rounded(double *v, size_t n, enum gqa_dtype dtype);

/* The same, drawn; *v too is freed by the caller. */
void *drawn(double **v, size_t n, enum gqa_dtype dtype);

/* n NaNs as reals. */
void *poisoned(size_t n);

/* got: n reals. limit: of the error of all, relative to the size of all. */
void check_within(double limit, const void *got, const double *want, size_t n,
                  const char *what);

/* Within a few roundings of reals. */
void check_close(const void *got, const double *want, size_t n,
                 const char *what);

#endif
