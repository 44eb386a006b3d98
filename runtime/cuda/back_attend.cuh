/*
 * Attention backwards: the arguments of its kernels. With s a scaled, capped,
 * biased score, p = exp(s - lse), and D_i = o_i . do_i,
 *
 *   dv_j = sum_i p_ij do_i
 *   ds_ij = p_ij (do_i . v_j - D_i), which the bias's gradient is summed of;
 *           times 1 - tanh^2 where s is capped
 *   dk_j = scale sum_i ds_ij q_i;   dq_i = scale sum_j ds_ij k_j
 *
 * One kernel has a tile of keys of a KV head and walks the queries of its
 * heads, for dk and dv; another a tile of queries of a head and walks the keys,
 * for dq. Each makes the scores again, and none adds to what another writes.
 */
#ifndef GQA_RUNTIME_CUDA_BACK_ATTEND_CUH
#define GQA_RUNTIME_CUDA_BACK_ATTEND_CUH

#include "runtime/cuda/attend_fast.cuh"
#include "runtime/cuda/device.cuh"

struct gqa_attend_back {
    struct gqa_attend_fast a; /* lse is read */
    float soft_cap;           /* 0: none */
    const void *d_out;
    /* [rows, n_heads]: lse / log 2, and D; the fast kernels of queries set them
     * for those of keys behind them. */
    float *lse_log2, *dots;
    void *d_q, *d_k, *d_v;
    bool adds_q; /* d_q is added to */
    /* d_k and d_v: elements from a sequence, a head, a key to the next, and
     * keys of each; as caches lie, or rows. */
    int64_t kv_sequence, kv_head, kv_key, kv_keys;
    /* Or NULL: [positions, head_dim / 2, 2], which d_q and d_k are turned back
     * by. Starts are 0 then. */
    const float *cos_sin;
    /*
     * Or NULL: sums of ds along the diagonals of a tile of queries, [tiles,
     * part_length], of sequences first_sequence .. + n_sequences - 1, head by
     * head and tile by tile. Query i of a tile and key c add to element c - i +
     * rows of the tile - 1.
     */
    float *bias_parts;
    int64_t part_length, first_sequence, n_sequences;
};

/* Rows of a tile of queries of either kernel. */
int64_t gqa_attend_back_rows(const struct gqa_attend_back *args, bool fast);

/* For every shape and type. queries: sequences first_sequence ..
 * + n_sequences - 1. */
cudaError_t gqa_attend_back_simple_keys(const struct gqa_attend_back *args,
                                        enum gqa_dtype real,
                                        cudaStream_t stream);
cudaError_t gqa_attend_back_simple_queries(const struct gqa_attend_back *args,
                                           enum gqa_dtype real,
                                           cudaStream_t stream);

/* On tensor cores: bf16, no soft cap, keys of one position, head_dim 32, 64 or
 * 128, pointers that 16-byte accesses can reach; d_q is set. */
bool gqa_attend_back_fast_takes(const struct gqa_attend_back *args);
cudaError_t gqa_attend_back_fast_keys(const struct gqa_attend_back *args,
                                      cudaStream_t stream);
cudaError_t gqa_attend_back_fast_queries(const struct gqa_attend_back *args,
                                         cudaStream_t stream);

/* Likewise, by products of warpgroups: where a.warpgroups, and without a bias;
 * queries of heads of 64 or 128, and those of heads of 32. These look at kv_
 * and cos_sin; the others write caches. */
cudaError_t gqa_attend_back_sm90_keys(const struct gqa_attend_back *args,
                                      cudaStream_t stream);
cudaError_t gqa_attend_back_sm90_queries(const struct gqa_attend_back *args,
                                         cudaStream_t stream);
cudaError_t gqa_attend_back_narrow_queries(const struct gqa_attend_back *args,
                                           cudaStream_t stream);

/* attend.cu: all but workspace, of the batch and op. */
enum gqa_status gqa_cuda_attend_args(struct gqa_device *device,
                                     struct gqa_attend_fast *out,
                                     const struct gqa_attention_op *op);

#endif
