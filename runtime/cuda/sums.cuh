/* Sums over the threads of a warp and of a block, in an order that is always
 * the same. */
#ifndef GQA_RUNTIME_CUDA_SUMS_CUH
#define GQA_RUNTIME_CUDA_SUMS_CUH

/* The sum over a warp's threads, for all of them. */
template <typename S> static __device__ __forceinline__ S warp_sum(S x)
{
    for (int offset = 16; offset > 0; offset /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
}

/* The sum over the THREADS of a block, for all of them. */
template <int THREADS, typename S> static __device__ S block_sum(S x)
{
    __shared__ S sums[THREADS / 32];

    x = warp_sum(x);
    __syncthreads(); /* the last sum has been read */
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < THREADS / 32; i++)
        x += sums[i];
    return x;
}

/* The sum over the GROUP threads of a row, a warp or the whole block, for all
 * of them. */
template <int GROUP, int THREADS, typename S>
static __device__ __forceinline__ S group_sum(S x)
{
    return GROUP == 32 ? warp_sum(x) : block_sum<THREADS>(x);
}

#endif
