/*
 * The types of element: activations of type T, whose sums are taken in
 * real<T>::sum, and weights of any float dtype.
 */
#ifndef GQA_RUNTIME_CUDA_REAL_CUH
#define GQA_RUNTIME_CUDA_REAL_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "runtime/ops.h"

template <typename T> struct real;

/* Float32 models are held to errors near float32's own rounding, so what
 * lies between two roundings is done in double. */
template <> struct real<float> {
    typedef double sum;
    static __device__ __forceinline__ double load(float x)
    {
        return x;
    }
    static __device__ __forceinline__ float round(double x)
    {
        return (float)x;
    }
};

template <> struct real<__nv_bfloat16> {
    typedef float sum;
    static __device__ __forceinline__ float load(__nv_bfloat16 x)
    {
        return __bfloat162float(x);
    }
    static __device__ __forceinline__ __nv_bfloat16 round(float x)
    {
        return __float2bfloat16_rn(x);
    }
};

template <> struct real<__half> {
    typedef float sum;
    static __device__ __forceinline__ float load(__half x)
    {
        return __half2float(x);
    }
    static __device__ __forceinline__ __half round(float x)
    {
        return __float2half_rn(x);
    }
};

/* Bytes of an element. */
static inline uint64_t gqa_size_of(enum gqa_dtype dtype)
{
    return dtype == GQA_F64 ? 8 : dtype == GQA_F32 ? 4 : 2;
}

/* A weight inside a kernel; data NULL: zeros. */
struct weight_view {
    const void *data;
    enum gqa_dtype dtype;
};

static inline struct weight_view view_of(const struct gqa_weight *weight)
{
    struct weight_view view = {NULL, GQA_F32};

    if (weight) {
        view.data = weight->data;
        view.dtype = weight->dtype;
    }
    return view;
}

template <typename S>
static __device__ __forceinline__ S weight_at(struct weight_view weight,
                                              int64_t i)
{
    if (!weight.data)
        return 0;
    switch (weight.dtype) {
    case GQA_F32:
        return (S)((const float *)weight.data)[i];
    case GQA_BF16:
        return (S)__bfloat162float(((const __nv_bfloat16 *)weight.data)[i]);
    case GQA_F16:
        return (S)__half2float(((const __half *)weight.data)[i]);
    default:
        return (S)((const double *)weight.data)[i];
    }
}

/* Call f with a value of the C++ type of a dtype of activations. */
template <typename F> static void with_real(enum gqa_dtype dtype, F f)
{
    if (dtype == GQA_F32)
        f(float());
    else if (dtype == GQA_BF16)
        f(__nv_bfloat16());
    else
        f(__half());
}

#endif
