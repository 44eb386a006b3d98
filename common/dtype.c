#include "common/dtype.h"

#include <string.h>

#include "common/checked.h"
#include "common/vectorised.h"

static const struct {
    const char *name;
    unsigned bits;
} dtypes[GQA_N_DTYPES] = {
    [GQA_BOOL] = {"BOOL", 8},
    [GQA_F4] = {"F4", 4},
    [GQA_F6_E2M3] = {"F6_E2M3", 6},
    [GQA_F6_E3M2] = {"F6_E3M2", 6},
    [GQA_U8] = {"U8", 8},
    [GQA_I8] = {"I8", 8},
    [GQA_F8_E5M2] = {"F8_E5M2", 8},
    [GQA_F8_E4M3] = {"F8_E4M3", 8},
    [GQA_F8_E8M0] = {"F8_E8M0", 8},
    [GQA_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [GQA_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [GQA_I16] = {"I16", 16},
    [GQA_U16] = {"U16", 16},
    [GQA_F16] = {"F16", 16},
    [GQA_BF16] = {"BF16", 16},
    [GQA_I32] = {"I32", 32},
    [GQA_U32] = {"U32", 32},
    [GQA_F32] = {"F32", 32},
    [GQA_C64] = {"C64", 64},
    [GQA_F64] = {"F64", 64},
    [GQA_I64] = {"I64", 64},
    [GQA_U64] = {"U64", 64},
};

unsigned gqa_dtype_bits(enum gqa_dtype dtype)
{
    return dtypes[dtype].bits;
}

const char *gqa_dtype_name(enum gqa_dtype dtype)
{
    return dtypes[dtype].name;
}

bool gqa_dtype_parse(const char *name, enum gqa_dtype *dtype)
{
    for (unsigned i = 0; i < GQA_N_DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (enum gqa_dtype)i;
            return true;
        }
    return false;
}

bool gqa_dtype_is_half(enum gqa_dtype dtype)
{
    return dtype == GQA_F16 || dtype == GQA_BF16;
}

bool gqa_dtype_is_float(enum gqa_dtype dtype)
{
    return gqa_dtype_is_half(dtype) || dtype == GQA_F32 || dtype == GQA_F64;
}

bool gqa_dtype_bytes(enum gqa_dtype dtype, uint64_t n, uint64_t *n_bytes)
{
    uint64_t bits;

    if (!gqa_mul_u64(n, dtypes[dtype].bits, &bits)) {
        /* Whole-byte types fit a little further than their bits do. */
        return dtypes[dtype].bits % 8 == 0 &&
               gqa_mul_u64(n, dtypes[dtype].bits / 8, n_bytes);
    }
    *n_bytes = bits / 8;
    return bits % 8 == 0;
}

static inline uint16_t read_u16(const unsigned char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static inline double bits_to_f64(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline uint64_t f64_to_bits(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof bits);
    return bits;
}

static inline double bits_to_f32(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static inline double bf16_to_f64(uint16_t h)
{
    return bits_to_f32((uint32_t)h << 16);
}

/*
 * Exact for every f16: the exponent and mantissa, moved into place, make a
 * float32 that is 2^112 too small, subnormals included.
 */
static inline double f16_to_f64(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13;
    const uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0;
    const double scaled = bits_to_f32(magnitude) * 0x1p112;
    const double value =
        special ? bits_to_f32(special | (magnitude & 0x007fe000u)) : scaled;

    return bits_to_f64(f64_to_bits(value) | (uint64_t)sign << 32);
}

/*
 * Round to a format of `mantissa` stored bits whose smallest normal is
 * 2^min_exp and largest exponent max_exp: first the value on that format's
 * grid as a double (one rounding, ties to even), then its bits.
 */
static inline uint16_t f64_to_small(double d, int mantissa, int min_exp,
                                    int max_exp)
{
    const uint64_t bits = f64_to_bits(d);
    const uint16_t sign = (uint16_t)(bits >> 48 & 0x8000u);
    const uint64_t magnitude = bits & ~(UINT64_C(1) << 63);
    const uint16_t infinity =
        (uint16_t)((unsigned)(max_exp - min_exp + 2) << mantissa);
    int exponent = (int)(magnitude >> 52) - 1023;
    uint64_t significand, half, rest, kept;
    int drop;

    if (magnitude > UINT64_C(0x7ff0000000000000))
        return (uint16_t)(sign | infinity | (1u << (mantissa - 1)));
    if (exponent > max_exp)
        return (uint16_t)(sign | infinity);
    if (exponent < min_exp - mantissa - 1)
        return sign;
    significand = (magnitude & UINT64_C(0xfffffffffffff)) | UINT64_C(1) << 52;
    drop = 52 - mantissa;
    if (exponent < min_exp) {
        drop += min_exp - exponent;
        exponent = min_exp - 1; /* the subnormals' exponent field: 0 */
        kept = significand >> drop;
    } else {
        kept = (significand >> drop) & ((UINT64_C(1) << mantissa) - 1);
    }
    half = UINT64_C(1) << (drop - 1);
    rest = significand & ((UINT64_C(1) << drop) - 1);
    kept |= (uint64_t)(exponent - min_exp + 1) << mantissa;
    /* A carry out of the mantissa is the next exponent, up to infinity. */
    kept += rest > half || (rest == half && (kept & 1));
    return (uint16_t)(sign | kept);
}

static inline uint16_t f64_to_f16(double d)
{
    return f64_to_small(d, 10, -14, 15);
}

static inline uint16_t f64_to_bf16(double d)
{
    return f64_to_small(d, 7, -126, 127);
}

/* Elements that are looked at before one way to round them is chosen. */
enum { CHUNK = 256 };

/*
 * Where all values are normal bf16s, which is nearly always, rounding is an
 * addition: the carry out of the dropped 45 bits goes where it belongs, up
 * to infinity. The loop has no branches, so that it is vectorised.
 */
static inline void store_bf16(unsigned char *p, const double *src, size_t n)
{
    const uint64_t smallest = (uint64_t)(1023 - 126) << 52;
    const uint64_t end = (uint64_t)(1023 + 128) << 52;
    const uint64_t bias = (uint64_t)(1023 - 127) << 7;
    bool all_normal = true;

    for (size_t i = 0; i < n; i++) {
        const uint64_t magnitude = f64_to_bits(src[i]) << 1 >> 1;

        all_normal &= magnitude - smallest < end - smallest;
    }
    for (size_t i = 0; all_normal && i < n; i++) {
        const uint64_t bits = f64_to_bits(src[i]);
        const uint64_t magnitude = bits << 1 >> 1;
        const uint64_t rounded =
            magnitude + ((UINT64_C(1) << 44) - 1) + ((magnitude >> 45) & 1);
        const uint16_t h =
            (uint16_t)(((rounded >> 45) - bias) | (bits >> 63 << 15));

        memcpy(p + 2 * i, &h, sizeof h);
    }
    for (size_t i = 0; !all_normal && i < n; i++) {
        const uint16_t h = f64_to_bf16(src[i]);

        memcpy(p + 2 * i, &h, sizeof h);
    }
}

/*
 * One loop for each type, so that the compiler can vectorise it. `op` is
 * = or +=.
 */
#define LOAD_LOOPS(op)                                  \
    const unsigned char *p = src;                       \
                                                        \
    switch (dtype) {                                    \
    case GQA_BF16:                                      \
        for (size_t i = 0; i < n; i++)                  \
            dst[i] op bf16_to_f64(read_u16(p + 2 * i)); \
        break;                                          \
    case GQA_F16:                                       \
        for (size_t i = 0; i < n; i++)                  \
            dst[i] op f16_to_f64(read_u16(p + 2 * i));  \
        break;                                          \
    case GQA_F32:                                       \
        for (size_t i = 0; i < n; i++) {                \
            float f;                                    \
            memcpy(&f, p + 4 * i, sizeof f);            \
            dst[i] op(double) f;                        \
        }                                               \
        break;                                          \
    case GQA_F64:                                       \
        for (size_t i = 0; i < n; i++) {                \
            double d;                                   \
            memcpy(&d, p + 8 * i, sizeof d);            \
            dst[i] op d;                                \
        }                                               \
        break;                                          \
    default:                                            \
        break;                                          \
    }

GQA_VECTORISED
void gqa_load_f64(double *dst, const void *src, enum gqa_dtype dtype,
                  size_t n){LOAD_LOOPS(=)}

GQA_VECTORISED void gqa_add_f64(double *dst, const void *src,
                                enum gqa_dtype dtype, size_t n){LOAD_LOOPS(+=)}

GQA_VECTORISED void gqa_store_f64(void *dst, enum gqa_dtype dtype,
                                  const double *src, size_t n)
{
    unsigned char *p = dst;

    switch (dtype) {
    case GQA_BF16:
        for (size_t i = 0; i < n; i += CHUNK)
            store_bf16(p + 2 * i, src + i, n - i < CHUNK ? n - i : CHUNK);
        break;
    case GQA_F16:
        for (size_t i = 0; i < n; i++) {
            const uint16_t h = f64_to_f16(src[i]);

            memcpy(p + 2 * i, &h, sizeof h);
        }
        break;
    case GQA_F32:
        for (size_t i = 0; i < n; i++) {
            const float f = (float)src[i];

            memcpy(p + 4 * i, &f, sizeof f);
        }
        break;
    case GQA_F64:
        memcpy(dst, src, n * sizeof *src);
        break;
    default:
        break;
    }
}

/*
 * Bits without the sign: infinity is `infinity`, a NaN is above. The first
 * loop has no counters, since nearly every tensor has none.
 */
#define COUNT_LOOPS(type, infinity)                                        \
    do {                                                                   \
        const type inf = infinity;                                         \
        const type mask = (type)(((type)1 << (8 * sizeof(type) - 1)) - 1); \
        type largest = 0;                                                  \
                                                                           \
        for (size_t i = 0; i < n; i++) {                                   \
            type bits;                                                     \
            memcpy(&bits, p + i * sizeof bits, sizeof bits);               \
            bits &= mask;                                                  \
            largest = bits > largest ? bits : largest;                     \
        }                                                                  \
        for (size_t i = 0; largest >= inf && i < n; i++) {                 \
            type bits;                                                     \
            memcpy(&bits, p + i * sizeof bits, sizeof bits);               \
            bits &= mask;                                                  \
            *n_inf += bits == inf;                                         \
            *n_nan += bits > inf;                                          \
        }                                                                  \
    } while (0)

GQA_VECTORISED
void gqa_count_nonfinite(const void *src, enum gqa_dtype dtype, size_t n,
                         uint64_t *n_nan, uint64_t *n_inf)
{
    const unsigned char *p = src;

    switch (dtype) {
    case GQA_BF16:
        COUNT_LOOPS(uint16_t, 0x7f80);
        break;
    case GQA_F16:
        COUNT_LOOPS(uint16_t, 0x7c00);
        break;
    case GQA_F32:
        COUNT_LOOPS(uint32_t, 0x7f800000);
        break;
    case GQA_F64:
        COUNT_LOOPS(uint64_t, UINT64_C(0x7ff0000000000000));
        break;
    default:
        break;
    }
}
