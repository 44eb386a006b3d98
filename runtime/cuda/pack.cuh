/* Elements that are read and written together, 16 bytes at most. */
#ifndef GQA_RUNTIME_CUDA_PACK_CUH
#define GQA_RUNTIME_CUDA_PACK_CUH

#include <stdint.h>

template <typename T, int N>
struct alignas(sizeof(T) * N > 16 ? 16 : sizeof(T) * N) pack {
    T v[N];
};

static inline bool is_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

#endif
