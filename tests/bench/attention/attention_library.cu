/*
 * The attention kernels as a shared library that attention.py calls inside
 * PyTorch's process.
 */
#include <string.h>

#include "runtime/cuda/attend_fast.cuh"

/* v: the members of gqa_attend_fast that are whole numbers, in order; p: the
 * pointers; kind: 0 decode, 1 prefill, 2 prefill by warpgroups. Returns a
 * cudaError_t, or -1 for a shape not taken. */
extern "C" int attention(const int64_t v[15], void *const p[8], float scale,
                         int kind, void *stream)
{
    struct gqa_attend_fast args;
    int device = 0, major = 0;

    memset(&args, 0, sizeof args);
    args.q_width = v[0];
    args.q_base = v[1];
    args.q_per_block = v[2];
    args.q_block_stride = v[3];
    args.n_sequences = v[4];
    args.n_new = v[5];
    args.n_heads = v[6];
    args.n_kv_heads = v[7];
    args.head_dim = v[8];
    args.capacity = v[9];
    args.window = v[10];
    args.max_keys = v[11];
    args.reach = v[12];
    args.bf16 = v[13];
    args.causal = v[14];
    args.scale = scale;
    args.out = p[0];
    args.q = p[1];
    args.k = p[2];
    args.v = p[3];
    args.starts = (const int64_t *)p[4];
    args.n_keys = (const int64_t *)p[5];
    args.bias = (const float *)p[6];
    args.workspace = (float *)p[7];
    if (cudaGetDevice(&device) != cudaSuccess ||
        cudaDeviceGetAttribute(&args.n_processors,
                               cudaDevAttrMultiProcessorCount,
                               device) != cudaSuccess ||
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                               device) != cudaSuccess)
        return (int)cudaGetLastError();
    args.overlaps = major >= 9;
    if (!gqa_attend_fast_takes(&args))
        return -1;
    args.warpgroups = kind == 2 && major == 9;
    return (int)(kind == 0 ? gqa_attend_decode(&args, (cudaStream_t)stream)
                           : gqa_attend_prefill(&args, (cudaStream_t)stream));
}
