/* Values of a device's memory as double on the host. */
#ifndef GQA_RUNTIME_VALUES_H
#define GQA_RUNTIME_VALUES_H

#include "runtime/backend.h"

/* n values to memory of the device that has room for them, as dtype. Errors
 * those of upload(), and GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_values_upload(const struct gqa_backend *backend,
                                  struct gqa_device *device, void *out,
                                  enum gqa_dtype dtype, const double *values,
                                  uint64_t n);

/* The same of n values that are one. */
GQA_MUST_USE
enum gqa_status gqa_values_fill(const struct gqa_backend *backend,
                                struct gqa_device *device, void *out,
                                enum gqa_dtype dtype, double value, uint64_t n);

/* And back; waits for the device. Errors likewise. */
GQA_MUST_USE
enum gqa_status gqa_values_download(const struct gqa_backend *backend,
                                    struct gqa_device *device, double *values,
                                    const void *from, enum gqa_dtype dtype,
                                    uint64_t n);

/* What is wide (backend.h) where activations are `real`, and bytes of it. */
enum gqa_dtype gqa_wide_of(enum gqa_dtype real);
size_t gqa_wide_bytes(enum gqa_dtype real);

#endif
