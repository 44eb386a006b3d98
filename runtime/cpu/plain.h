/*
 * The plain computation in a type, as a measure of what rounding alone does
 * to a model: what any right runtime in that type may be off by.
 *
 * Operations are the CPU's in float64, and what each gives is rounded to the
 * type; products are sums in float32, one term after another in the order of
 * the inputs, and are rounded before they are added to anything, as PyTorch
 * does. No fast kernel has a part in it, so that a fault of one does not
 * widen what it is allowed.
 */
#ifndef GQA_RUNTIME_CPU_PLAIN_H
#define GQA_RUNTIME_CPU_PLAIN_H

#include "runtime/backend.h"

/* Opens with F32, BF16 or F16; its real is F64, which the rounded values
 * lie in. Lent. */
const struct gqa_backend *gqa_plain_backend(void);

#endif
