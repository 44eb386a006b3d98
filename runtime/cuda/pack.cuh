/* Elements that are read and written together, 16 bytes at most. */
#ifndef GQA_RUNTIME_CUDA_PACK_CUH
#define GQA_RUNTIME_CUDA_PACK_CUH

#include <stdint.h>

#include "runtime/cuda/real.cuh"

template <typename T, int N>
struct alignas(sizeof(T) * N > 16 ? 16 : sizeof(T) * N) pack {
    T v[N];
};

template <int N, typename T>
static __device__ __forceinline__ pack<T, N> pack_at(const T *p)
{
    return *(const pack<T, N> *)p;
}

template <int N, typename T>
static __device__ __forceinline__ void pack_to(T *p, const pack<T, N> &x)
{
    *(pack<T, N> *)p = x;
}

/* N elements of a weight from i on, which begin at such a border. */
template <int N, typename S>
static __device__ __forceinline__ void weights_at(S (&out)[N],
                                                  struct weight_view weight,
                                                  int64_t i)
{
    if (N > 1 && weight.data && weight.dtype == GQA_BF16) {
        const pack<__nv_bfloat16, N> some =
            pack_at<N>((const __nv_bfloat16 *)weight.data + i);

#pragma unroll
        for (int j = 0; j < N; j++)
            out[j] = (S)__bfloat162float(some.v[j]);
        return;
    }
    if (N > 1 && weight.data && weight.dtype == GQA_F32) {
        const pack<float, N> some = pack_at<N>((const float *)weight.data + i);

#pragma unroll
        for (int j = 0; j < N; j++)
            out[j] = (S)some.v[j];
        return;
    }
#pragma unroll
    for (int j = 0; j < N; j++)
        out[j] = weight_at<S>(weight, i + j);
}

static inline bool is_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

static inline bool is_whole_weight(const struct gqa_weight *weight)
{
    return !weight || is_aligned(weight->data);
}

template <int N> struct count {
    static constexpr int value = N;
};

/* Call f with a value of the C++ type of a dtype of activations, and count<N>:
 * elements that are read together. whole: rows are of whole 16 bytes, and begin
 * at such borders; else they are read one by one. */
template <typename F>
static void with_packs(enum gqa_dtype dtype, bool whole, F f)
{
    with_real(dtype, [&](auto t) {
        typedef decltype(t) T;

        if (whole)
            f(t, count<16 / sizeof(T)>());
        else
            f(t, count<1>());
    });
}

/* Whether that is so of `width` elements of the dtype. */
static inline bool is_whole(enum gqa_dtype dtype, uint64_t width)
{
    return width * gqa_size_of(dtype) % 16 == 0;
}

/* And of the heads of a row. */
static inline bool are_whole(enum gqa_dtype dtype, uint64_t width,
                             const struct gqa_head_place *place,
                             uint64_t head_dim)
{
    return is_whole(dtype, width) && is_whole(dtype, place->base) &&
           is_whole(dtype, place->block_stride) && is_whole(dtype, head_dim);
}

#endif
