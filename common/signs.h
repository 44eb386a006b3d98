/* Random signs and numbers that each backend draws alike, host and device: one
 * depends on its seed and its place and on nothing else. */
#ifndef GQA_COMMON_SIGNS_H
#define GQA_COMMON_SIGNS_H

#include <stdint.h>

#ifdef __CUDACC__
#define GQA_ANYWHERE __host__ __device__
#else
#define GQA_ANYWHERE
#endif

/* The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose
 * output at successive inputs passes the usual tests of randomness. */
GQA_ANYWHERE static inline uint64_t gqa_mix_bits(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Of a query: what its keys' signs depend on. */
GQA_ANYWHERE static inline uint64_t gqa_sign_key(uint64_t seed,
                                                 uint64_t sequence,
                                                 uint64_t head,
                                                 uint64_t position)
{
    const uint64_t key = gqa_mix_bits(gqa_mix_bits(seed) ^ sequence);

    return gqa_mix_bits(gqa_mix_bits(key ^ head) ^ position);
}

/* 1: the sign of a key is negative. */
GQA_ANYWHERE static inline unsigned gqa_sign_bit(uint64_t key, uint64_t place)
{
    return (unsigned)(gqa_mix_bits(key ^ place) & 1);
}

/* As gqa_random_uniform(): from 53 bits; never 0, whose logarithm is not
 * finite. */
GQA_ANYWHERE static inline double gqa_uniform(uint64_t key, uint64_t counter)
{
    return ((double)(gqa_mix_bits(key ^ gqa_mix_bits(counter)) >> 11) + 0.5) *
           0x1p-53;
}

#endif
