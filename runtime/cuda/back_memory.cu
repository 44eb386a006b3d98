/* Memory of a training step: cleared, copied, and taken from one type to
 * another. */
#include "runtime/cuda/back.cuh"
#include "runtime/cuda/pack.cuh"
#include "runtime/cuda/rows.cuh"

enum { THREADS = 256, EACH = 4 };

enum gqa_status gqa_cuda_zero(struct gqa_device *device, void *x,
                              uint64_t n_bytes)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_bytes == 0)
        return st;
    return gqa_cuda_check(device,
                          cudaMemsetAsync(x, 0, n_bytes, device->stream));
}

enum gqa_status gqa_cuda_copy(struct gqa_device *device, void *dst,
                              const void *src, uint64_t n_bytes)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n_bytes == 0)
        return st;
    return gqa_cuda_check(device, cudaMemcpyAsync(dst, src, n_bytes,
                                                  cudaMemcpyDeviceToDevice,
                                                  device->stream));
}

static unsigned blocks_of(uint64_t n)
{
    return blocks_for((n + THREADS * EACH - 1) / (THREADS * EACH));
}

template <typename T> static __device__ __forceinline__ T from_wide(float x)
{
    return real<T>::round(x);
}

template <> __device__ __forceinline__ double from_wide<double>(float x)
{
    return x;
}

template <typename T>
static __device__ __forceinline__ float to_wide(const T &x)
{
    return (float)real<T>::load(x);
}

template <> __device__ __forceinline__ float to_wide<double>(const double &x)
{
    return (float)x;
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    widen_kernel(float *dst, const T *src, int64_t n, bool whole)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * EACH;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
         i < n; i += step) {
        if (whole && n - i >= EACH) {
            const pack<T, EACH> some = *(const pack<T, EACH> *)(src + i);
            pack<float, EACH> wide;

#pragma unroll
            for (int j = 0; j < EACH; j++)
                wide.v[j] = to_wide(some.v[j]);
            *(pack<float, EACH> *)(dst + i) = wide;
        } else {
            for (int64_t j = i; j < n && j < i + EACH; j++)
                dst[j] = to_wide(src[j]);
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    narrow_kernel(T *dst, const float *src, int64_t n, bool whole)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * EACH;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
         i < n; i += step) {
        if (whole && n - i >= EACH) {
            const pack<float, EACH> wide =
                *(const pack<float, EACH> *)(src + i);
            pack<T, EACH> some;

#pragma unroll
            for (int j = 0; j < EACH; j++)
                some.v[j] = from_wide<T>(wide.v[j]);
            *(pack<T, EACH> *)(dst + i) = some;
        } else {
            for (int64_t j = i; j < n && j < i + EACH; j++)
                dst[j] = from_wide<T>(src[j]);
        }
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    add_kernel(T *x, const T *y, int64_t n, bool whole)
{
    const int64_t step = (int64_t)gridDim.x * THREADS * EACH;

    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
         i < n; i += step) {
        if (whole && n - i >= EACH) {
            const pack<T, EACH> more = *(const pack<T, EACH> *)(y + i);
            pack<T, EACH> some = *(const pack<T, EACH> *)(x + i);

#pragma unroll
            for (int j = 0; j < EACH; j++)
                some.v[j] = real<T>::round(real<T>::load(some.v[j]) +
                                           real<T>::load(more.v[j]));
            *(pack<T, EACH> *)(x + i) = some;
        } else {
            for (int64_t j = i; j < n && j < i + EACH; j++)
                x[j] =
                    real<T>::round(real<T>::load(x[j]) + real<T>::load(y[j]));
        }
    }
}

/* Call f with a value of the C++ type of a weight's dtype. */
template <typename F> static void with_weight(enum gqa_dtype dtype, F f)
{
    if (dtype == GQA_F64)
        f(double());
    else
        with_real(dtype, f);
}

enum gqa_status gqa_cuda_widen(struct gqa_device *device, void *wide,
                               const void *src, enum gqa_dtype dtype,
                               uint64_t n)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_weight(dtype, [&](auto t) {
        typedef decltype(t) T;

        widen_kernel<T><<<blocks_of(n), THREADS, 0, device->stream>>>(
            (float *)wide, (const T *)src, (int64_t)n,
            is_aligned(wide) && is_aligned(src));
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_narrow(struct gqa_device *device, void *dst,
                                enum gqa_dtype dtype, const void *wide,
                                uint64_t n)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_weight(dtype, [&](auto t) {
        typedef decltype(t) T;

        narrow_kernel<T><<<blocks_of(n), THREADS, 0, device->stream>>>(
            (T *)dst, (const float *)wide, (int64_t)n,
            is_aligned(wide) && is_aligned(dst));
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_add(struct gqa_device *device, void *x, const void *y,
                             uint64_t n)
{
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || n == 0)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        add_kernel<T><<<blocks_of(n), THREADS, 0, device->stream>>>(
            (T *)x, (const T *)y, (int64_t)n, is_aligned(x) && is_aligned(y));
    });
    return gqa_cuda_launched(device);
}
