/*
 * Source: ggml-common.h and ggml-quants.c of ggml. A scale of 16 bits times
 * another of up to 8 and a number of up to 6 is exact in double, so that each
 * value is rounded once, as there.
 */
#include "formats/gguf/blocks.h"

#include <stdint.h>

#include "common/dtype.h"

/* float16 at the beginning of a block */
static double half(const unsigned char *at)
{
    double value;

    gqa_load_f64(&value, at, GQA_F16, 1);
    return value;
}

/* --- Blocks of 32 --------------------------------------------------------- */

void gqa_gguf_decode_q8_0(float *out, const unsigned char *block)
{
    const double scale = half(block);

    for (int i = 0; i < 32; i++)
        out[i] = (float)(scale * (signed char)block[2 + i]);
}

void gqa_gguf_decode_q4_0(float *out, const unsigned char *block)
{
    const double scale = half(block);

    for (int i = 0; i < 16; i++) {
        out[i] = (float)(scale * ((block[2 + i] & 15) - 8));
        out[i + 16] = (float)(scale * ((block[2 + i] >> 4) - 8));
    }
}

void gqa_gguf_decode_q4_1(float *out, const unsigned char *block)
{
    const double scale = half(block), least = half(block + 2);

    for (int i = 0; i < 16; i++) {
        out[i] = (float)(scale * (block[4 + i] & 15) + least);
        out[i + 16] = (float)(scale * (block[4 + i] >> 4) + least);
    }
}

/* The fifth bits of 16 low and 16 high halves of bytes. */
static void decode_q5(float *out, const unsigned char *fifth,
                      const unsigned char *halves, double scale, double least,
                      int middle)
{
    for (int i = 0; i < 16; i++) {
        const int low = fifth[i / 8] >> i % 8 & 1;
        const int high = fifth[2 + i / 8] >> i % 8 & 1;

        out[i] =
            (float)(scale * ((halves[i] & 15) + 16 * low - middle) + least);
        out[i + 16] =
            (float)(scale * ((halves[i] >> 4) + 16 * high - middle) + least);
    }
}

void gqa_gguf_decode_q5_0(float *out, const unsigned char *block)
{
    decode_q5(out, block + 2, block + 6, half(block), 0, 16);
}

void gqa_gguf_decode_q5_1(float *out, const unsigned char *block)
{
    decode_q5(out, block + 4, block + 8, half(block), half(block + 2), 0);
}

/* --- Blocks of 256: scales of scales ---------------------------------------
 */

/* 16 groups of 16, of 2 bits; a scale and a least value of 4 bits each. */
void gqa_gguf_decode_q2_k(float *out, const unsigned char *block)
{
    const unsigned char *scales = block, *bits = block + 16;
    const double d = half(block + 80), least = half(block + 82);

    for (int i = 0; i < 256; i++) {
        const int group = i / 16;
        const int q = bits[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3;

        out[i] = (float)(d * (scales[group] & 15) * q -
                         least * (scales[group] >> 4));
    }
}

/* 16 groups of 16, of 2 bits and a third apart; scales of 6 bits. */
void gqa_gguf_decode_q3_k(float *out, const unsigned char *block)
{
    const unsigned char *third = block, *bits = block + 32;
    const unsigned char *scales = block + 96;
    const double d = half(block + 108);

    for (int i = 0; i < 256; i++) {
        const int group = i / 16;
        const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
        const int high = scales[8 + group % 4] >> 2 * (group / 4) & 3;
        const int q = bits[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3;
        const int is_upper = third[i % 32] >> i / 32 & 1;

        out[i] = (float)(d * (low + 16 * high - 32) * (q - 4 + 4 * is_upper));
    }
}

/* Scale and least value, of 6 bits each, of one of 8 groups of 32. */
static void unpack_pair(int *scale, int *least, const unsigned char *packed,
                        int group)
{
    if (group < 4) {
        *scale = packed[group] & 63;
        *least = packed[group + 4] & 63;
    } else {
        *scale = (packed[group + 4] & 15) | packed[group - 4] >> 6 << 4;
        *least = packed[group + 4] >> 4 | packed[group] >> 6 << 4;
    }
}

/* 8 groups of 32, of 4 bits, and of a fifth where there is one. */
static void decode_pairs(float *out, const unsigned char *block,
                         const unsigned char *fifth,
                         const unsigned char *halves)
{
    const double d = half(block), d_least = half(block + 2);

    for (int group = 0; group < 8; group++) {
        int scale, least;

        unpack_pair(&scale, &least, block + 4, group);
        for (int i = 0; i < 32; i++) {
            const int q = halves[group / 2 * 32 + i] >> 4 * (group % 2) & 15;
            const int high = fifth ? fifth[i] >> group & 1 : 0;

            out[group * 32 + i] =
                (float)(d * scale * (q + 16 * high) - d_least * least);
        }
    }
}

void gqa_gguf_decode_q4_k(float *out, const unsigned char *block)
{
    decode_pairs(out, block, NULL, block + 16);
}

void gqa_gguf_decode_q5_k(float *out, const unsigned char *block)
{
    decode_pairs(out, block, block + 16, block + 48);
}

/* 16 groups of 16, of 4 bits and 2 apart; scales of 8 bits with a sign. */
void gqa_gguf_decode_q6_k(float *out, const unsigned char *block)
{
    const unsigned char *halves = block, *upper = block + 128;
    const unsigned char *scales = block + 192;
    const double d = half(block + 208);

    for (int i = 0; i < 256; i++) {
        const int within = i % 128, quarter = within / 32;
        const int low =
            halves[i / 128 * 64 + within % 64] >> 4 * (quarter / 2) & 15;
        const int high = upper[i / 128 * 32 + within % 32] >> 2 * quarter & 3;

        out[i] =
            (float)(d * (signed char)scales[i / 16] * (low + 16 * high - 32));
    }
}
