/* The CPU backend's arithmetic in float32. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/dtype.h"
#include "runtime/blas.h"

typedef float real;

/* --- Conversion ----------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static void load_bf16(float *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;

        memcpy(&bits, src + 2 * i, sizeof bits);
        dst[i] = from_bits((uint32_t)bits << 16);
    }
}

/* The exponent is moved by 112 by a product, which is exact for normal and
 * subnormal numbers; infinities and NaNs get the largest exponent. */
static void load_f16(float *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float shift = 0x1p112f;
        uint16_t bits;
        uint32_t sign, rest;
        float x;

        memcpy(&bits, src + 2 * i, sizeof bits);
        sign = (uint32_t)(bits & 0x8000u) << 16;
        rest = (uint32_t)(bits & 0x7fffu) << 13;
        x = from_bits(rest) * shift;
        memcpy(&rest, &x, sizeof rest);
        if ((bits & 0x7c00u) == 0x7c00u)
            rest |= 0x7f800000u;
        dst[i] = from_bits(rest | sign);
    }
}

static void load_reals(void *dst_, const void *src_, enum gqa_dtype dtype,
                       size_t n)
{
    float *dst = dst_;
    const char *src = src_;

    switch (dtype) {
    case GQA_F32:
        memcpy(dst, src, n * sizeof *dst);
        break;
    case GQA_BF16:
        load_bf16(dst, src, n);
        break;
    case GQA_F16:
        load_f16(dst, src, n);
        break;
    default: /* F64: a weight has no other type */
        for (size_t i = 0; i < n; i++) {
            double x;

            memcpy(&x, src + 8 * i, sizeof x);
            dst[i] = (float)x;
        }
        break;
    }
}

/* --- Functions ------------------------------------------------------------ */

/*
 * e^x = 2^n e^r with |r| <= ln 2 / 2, and the series of e^r up to r^7, whose
 * rest is below 6e-9; in plain arithmetic, so that a compiler may use
 * vectors. Within 2 units in the last place; a NaN stays.
 */
static inline __attribute__((always_inline)) float exp_real(float x)
{
    const float round = 0x1.8p23f; /* adding it rounds to a whole number */
    const float bounded = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    const float shifted = bounded * 0x1.715476p0f + round;
    const float n = shifted - round;
    /* ln 2 in two parts, so that n times the first is exact. */
    const float r = (bounded - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f;
    float p = 1.0f / 5040;
    uint32_t whole, half;

    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    /* n + 256 from the last bits of `shifted`; 2^n as two factors, since n
     * goes from -150 to 128. */
    memcpy(&whole, &shifted, sizeof whole);
    whole = whole - 0x4b400000u + 256;
    half = whole / 2;
    return p * from_bits((half - 1) << 23) *
           from_bits((whole - half - 1) << 23);
}

/*
 * Near 0 an odd polynomial, whose error relative to tanh is below 3e-8 for
 * |x| <= 0.64 (interpolated at Chebyshev's nodes, 50 digits); beyond, where
 * 1 - tanh is no larger than tanh, from the exponential.
 */
static inline float tanh_real(float x)
{
    const float size = x < 0 ? -x : x;
    const float square = x * x;
    const float far = 1.0f - 2.0f / (exp_real(2.0f * size) + 1.0f);
    float p = -0.0059929613f;

    p = p * square + 0.0209241482f;
    p = p * square - 0.0538351413f;
    p = p * square + 0.1333266348f;
    p = p * square - 0.3333332786f;
    if (size <= 0.64f)
        return p * square * x + x;
    return x < 0 ? -far : far;
}

static inline float sqrt_real(float x)
{
    return __builtin_sqrtf(x);
}

/*
 * Below -|x| it is e^(-x^2 / 2) times a polynomial in 1 / (1 + |x| / 4)
 * without constant term: the minimax one for |x| <= 14.5, relative error
 * 9e-9 (Remez, 40 digits). Beyond, the exponential is 0.
 */
static inline float normal_real(float x)
{
    const float t = 1.0f / (1.0f + 0.25f * (x < 0 ? -x : x));
    float p = 0.01689242163f;
    float below;

    p = p * t - 0.06453724802f;
    p = p * t + 0.05587964177f;
    p = p * t + 0.02261070362f;
    p = p * t + 0.01773485648f;
    p = p * t + 0.08385116147f;
    p = p * t + 0.07301282401f;
    p = p * t + 0.09528785517f;
    p = p * t + 0.09952145863f;
    p = p * t + 0.09974632955f;
    below = p * t * exp_real(-0.5f * x * x);
    return x < 0 ? below : 1.0f - below;
}

#define LOAD load_reals
#define GEMM gqa_blas.sgemm
#define GEMV gqa_blas.sgemv
#ifndef EXPORT
#define EXPORT gqa_cpu_f32
#endif
#include "runtime/cpu/real.inl"
