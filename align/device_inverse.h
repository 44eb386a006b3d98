/* An inverse by cuSOLVER, where the device has it, else by LAPACK. */
#ifndef GQA_ALIGN_DEVICE_INVERSE_H
#define GQA_ALIGN_DEVICE_INVERSE_H

#include "runtime/backend.h"

/* out = (a + ridge t 1)^-1 as gqa_inverse() (solve.h) has it; both on the host,
 * [n, n]. Errors those of the device; GQA_ERR_NOMEM; GQA_ERR_FORMAT: not
 * finite, or not positive. */
GQA_MUST_USE
enum gqa_status gqa_device_invert(const struct gqa_backend *backend,
                                  struct gqa_device *device, double *out,
                                  const double *a, uint64_t n, double ridge);

#endif
