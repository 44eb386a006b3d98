/* Launches that are set up while the kernel before them on their stream ends:
 * a microsecond less between the two. */
#ifndef GQA_RUNTIME_CUDA_LAUNCH_CUH
#define GQA_RUNTIME_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* What such a kernel begins with, before it reads or writes memory. */
static __device__ __forceinline__ void await_before(void)
{
#if __CUDA_ARCH__ >= 900
    cudaGridDependencySynchronize();
#endif
}

/* overlaps: as in gqa_attend_fast; else it is a launch like others. */
template <typename... P, typename... A>
static cudaError_t launch_early(bool overlaps, void (*kernel)(P...), dim3 grid,
                                unsigned n_threads, size_t shared,
                                cudaStream_t stream, A... args)
{
    cudaLaunchAttribute early = {};
    cudaLaunchConfig_t config = {};

    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = grid;
    config.blockDim = dim3(n_threads);
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = overlaps ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, (P)args...);
}

#endif
