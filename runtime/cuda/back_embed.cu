/*
 * Gradients of an embedding: each row of a table is added to by one block,
 * whose rows of the batch come in order. They are sorted on the host, which
 * knows the tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/rows.cuh"

enum { THREADS = 256, AHEAD = 8 };

/* Rows of the batch by token: those of tokens[i] are order[begins[i]] ..
 * order[begins[i + 1] - 1]. */
struct sorted {
    int32_t *tokens, *begins, *order;
    uint64_t n;
};

/* Rows that are not padding, sorted by counting; to data, of
 * 3 * n_rows + 1 numbers. counts: n_tokens + 1 zeros. */
static void sort_rows(struct sorted *out, const struct gqa_device *device,
                      int32_t *data, int32_t *counts, uint64_t n_tokens)
{
    const uint64_t n = device->n_sequences, n_new = device->n_new;
    const int64_t *lengths = device->numbers;
    const int32_t *tokens = (const int32_t *)(device->numbers + 3 * n);

    out->tokens = data;
    out->begins = data + n * n_new;
    out->order = out->begins + n * n_new + 1;
    out->n = 0;
    for (uint64_t s = 0; s < n; s++)
        for (uint64_t i = 0; i < (uint64_t)lengths[s]; i++)
            counts[tokens[s * n_new + i] + 1]++;
    for (uint64_t t = 0; t < n_tokens; t++) {
        if (counts[t + 1] > 0) {
            out->tokens[out->n] = (int32_t)t;
            out->begins[out->n++] = counts[t];
        }
        counts[t + 1] += counts[t];
    }
    out->begins[out->n] = counts[n_tokens];
    for (uint64_t s = 0; s < n; s++)
        for (uint64_t i = 0; i < (uint64_t)lengths[s]; i++) {
            const uint64_t row = s * n_new + i;

            out->order[counts[tokens[row]]++] = (int32_t)row;
        }
}

/* A block has some columns of a token's row. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    table_kernel(float *d_table, const int32_t *tokens, const int32_t *begins,
                 const int32_t *order, const T *dx, int64_t width, double scale)
{
    typedef typename real<T>::sum S;
    const S factor = real<T>::load(real<T>::round((S)scale));
    const int end = begins[blockIdx.x + 1];
    float *to = d_table + tokens[blockIdx.x] * width;

    for (int64_t c = (int64_t)blockIdx.y * THREADS + threadIdx.x; c < width;
         c += (int64_t)gridDim.y * THREADS) {
        S sum = 0;
        int i = begins[blockIdx.x];

        for (; i + AHEAD <= end; i += AHEAD) {
            S some[AHEAD];

#pragma unroll
            for (int j = 0; j < AHEAD; j++)
                some[j] = real<T>::load(dx[order[i + j] * width + c]);
#pragma unroll
            for (int j = 0; j < AHEAD; j++)
                sum += some[j];
        }
        for (; i < end; i++)
            sum += real<T>::load(dx[order[i] * width + c]);
        to[c] = (float)((S)to[c] + factor * sum);
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    positions_kernel(float *d_positions, struct batch_view batch,
                     int64_t n_sequences, int64_t n_positions, const T *dx,
                     int64_t width)
{
    typedef typename real<T>::sum S;

    for (int64_t p = blockIdx.x; p < n_positions; p += gridDim.x) {
        for (int64_t c = threadIdx.x; c < width; c += THREADS) {
            S sum = 0;

            for (int64_t s = 0; s < n_sequences; s++) {
                const int64_t i = p - batch.starts[s];

                if (i >= 0 && i < batch.n_tokens[s])
                    sum += real<T>::load(dx[(s * batch.n_new + i) * width + c]);
            }
            d_positions[p * width + c] =
                (float)((S)d_positions[p * width + c] + sum);
        }
    }
}

static enum gqa_status add_to_table(struct gqa_device *device, void *d_table,
                                    const struct sorted *sorted, const void *dx,
                                    uint64_t width, double scale)
{
    const uint64_t n_rows = device->n_sequences * device->n_new;
    const uint64_t n_chunks = (width + THREADS - 1) / THREADS;
    const uint64_t n_bytes = (3 * n_rows + 1) * sizeof(int32_t);
    const int32_t *data;
    enum gqa_status st;

    if (sorted->n == 0)
        return GQA_OK;
    if ((st = gqa_cuda_reserve(device, &device->row_numbers, n_bytes)) !=
        GQA_OK)
        return st;
    st = gqa_cuda_send(device, device->row_numbers.data, sorted->tokens,
                       n_bytes);
    if (st != GQA_OK)
        return st;
    data = (const int32_t *)device->row_numbers.data;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;
        const dim3 grid((unsigned)sorted->n,
                        (unsigned)(n_chunks < 65535 ? n_chunks : 65535));

        table_kernel<T><<<grid, THREADS, 0, device->stream>>>(
            (float *)d_table, data, data + n_rows, data + 2 * n_rows + 1,
            (const T *)dx, (int64_t)width, scale);
    });
    return gqa_cuda_launched(device);
}

static enum gqa_status add_to_positions(struct gqa_device *device,
                                        void *d_positions, uint64_t n_positions,
                                        const void *dx, uint64_t width)
{
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;

        positions_kernel<T>
            <<<blocks_for(n_positions), THREADS, 0, device->stream>>>(
                (float *)d_positions, batch_of(device),
                (int64_t)device->n_sequences, (int64_t)n_positions,
                (const T *)dx, (int64_t)width);
    });
    return gqa_cuda_launched(device);
}

enum gqa_status gqa_cuda_embed_back(struct gqa_device *device, void *d_table,
                                    uint64_t n_rows_of_table, void *d_positions,
                                    uint64_t n_positions, const void *dx,
                                    uint64_t width, double scale)
{
    const uint64_t n_rows = device->n_sequences * device->n_new;
    enum gqa_status st = gqa_cuda_enter(device);

    if (st == GQA_OK && d_table) {
        int32_t *data = (int32_t *)calloc(3 * n_rows + 1, sizeof *data);
        int32_t *counts =
            (int32_t *)calloc(n_rows_of_table + 1, sizeof *counts);
        struct sorted sorted;

        if (data && counts) {
            sort_rows(&sorted, device, data, counts, n_rows_of_table);
            st = add_to_table(device, d_table, &sorted, dx, width, scale);
        } else {
            st = gqa_cuda_host->fail(GQA_ERR_NOMEM, "out of memory");
        }
        free(data);
        free(counts);
    }
    if (st == GQA_OK && d_positions && n_positions > 0)
        st = add_to_positions(device, d_positions, n_positions, dx, width);
    return st;
}
