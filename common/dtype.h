/*
 * Element types of tensors: the names and sizes of the safetensors format,
 * and conversion of the floating-point ones to and from double.
 */
#ifndef GQA_COMMON_DTYPE_H
#define GQA_COMMON_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

enum gqa_dtype {
    GQA_BOOL,
    GQA_F4,
    GQA_F6_E2M3,
    GQA_F6_E3M2,
    GQA_U8,
    GQA_I8,
    GQA_F8_E5M2,
    GQA_F8_E4M3,
    GQA_F8_E8M0,
    GQA_F8_E4M3FNUZ,
    GQA_F8_E5M2FNUZ,
    GQA_I16,
    GQA_U16,
    GQA_F16,
    GQA_BF16,
    GQA_I32,
    GQA_U32,
    GQA_F32,
    GQA_C64,
    GQA_F64,
    GQA_I64,
    GQA_U64,
    GQA_N_DTYPES,
};

/* Bits of one element; 4 and 6 occur. */
unsigned gqa_dtype_bits(enum gqa_dtype dtype);

/* Name as safetensors spells it: "BF16". */
const char *gqa_dtype_name(enum gqa_dtype dtype);

/* False when the name is none of them. */
bool gqa_dtype_parse(const char *name, enum gqa_dtype *dtype);

/* F16, BF16, F32 and F64: the types that can be pooled and converted. */
bool gqa_dtype_is_float(enum gqa_dtype dtype);

/* Float16 and bfloat16. */
bool gqa_dtype_is_half(enum gqa_dtype dtype);

/*
 * Bytes of a tensor of n elements. False when the product overflows or the
 * bits do not fill whole bytes.
 */
bool gqa_dtype_bytes(enum gqa_dtype dtype, uint64_t n, uint64_t *n_bytes);

/*
 * dst[i] = src[i] as double, exactly. src: n elements of a float dtype,
 * little-endian; need not be aligned.
 */
void gqa_load_f64(double *dst, const void *src, enum gqa_dtype dtype, size_t n);

/* dst[i] += src[i], in double. */
void gqa_add_f64(double *dst, const void *src, enum gqa_dtype dtype, size_t n);

/*
 * dst[i] = src[i] rounded once, to nearest, ties to even. Overflow gives
 * infinity; a NaN stays a NaN.
 */
void gqa_store_f64(void *dst, enum gqa_dtype dtype, const double *src,
                   size_t n);

/*
 * How many of n elements of a float dtype are NaN and how many are
 * infinite: added to *n_nan and *n_inf.
 */
void gqa_count_nonfinite(const void *src, enum gqa_dtype dtype, size_t n,
                         uint64_t *n_nan, uint64_t *n_inf);

#endif
