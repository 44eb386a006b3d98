/* Pairs of a head, rotated. */
#ifndef GQA_RUNTIME_CUDA_TURN_CUH
#define GQA_RUNTIME_CUDA_TURN_CUH

#include "runtime/cuda/pack.cuh"

/* N pairs: those that begin the one half and the other, or follow each other.
 * angles: cosine and sine of each; sign: 1, or -1 to turn the other way. */
template <typename T, int N, bool INTERLEAVED>
static __device__ __forceinline__ void turn_pairs(
    pack<T, N> (&both)[2], const pack<float, 2 * N> &angles, float sign)
{
    typedef typename real<T>::sum S;

#pragma unroll
    for (int j = 0; j < N; j++) {
        const int k = INTERLEAVED ? 2 * j : j;
        T *a = &both[k / N].v[k % N];
        T *b = INTERLEAVED ? &both[(k + 1) / N].v[(k + 1) % N] : &both[1].v[j];
        const S cosine = angles.v[2 * j], sine = sign * angles.v[2 * j + 1];
        const S from_a = real<T>::load(*a), from_b = real<T>::load(*b);

        *a = real<T>::round(from_a * cosine - from_b * sine);
        *b = real<T>::round(from_b * cosine + from_a * sine);
    }
}

#endif
