/*
 * Losses of logits and their gradients. A warp has a row of few logits, a
 * block one of many; the sums over a row are float64, of float32 exponentials.
 *
 * With x = log s - log t, which is made in float64: s - t is t (e^x - 1), or s
 * (1 - e^-x), and as both sum to 1,
 *
 *   KL(t || s) = sum t (e^x - 1 - x),   KL(s || t) = sum s (e^-x - 1 + x)
 *
 * so that all keep their digits where the two are nearly one.
 */
#include <math.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/rows.cuh"
#include "runtime/cuda/sums.cuh"

enum { THREADS = 256, FEW_LOGITS = 1024 };

struct loss_args {
    const float *student, *teacher;
    int64_t n_rows, n;
    const double *weights;
    const int32_t *labels; /* or NULL */
    double kl, reverse_kl, cross_entropy, temperature, factor;
    double soft_cap;
    double *losses;   /* [n_rows, 3] */
    double *weighted; /* [n_rows, 4] */
};

/* The maximum over the GROUP threads of a row, for all of them. */
template <int GROUP> static __device__ __forceinline__ float row_max(float x)
{
    __shared__ float most[THREADS / 32];

    for (int offset = 16; offset > 0; offset /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
    if (GROUP == 32)
        return x;
    __syncthreads(); /* the last one has been read */
    if (threadIdx.x % 32 == 0)
        most[threadIdx.x / 32] = x;
    __syncthreads();
    for (int i = 0; i < THREADS / 32; i++)
        x = fmaxf(x, most[i]);
    return x;
}

/* log sum exp(by * x), of the row's n. */
template <int GROUP>
static __device__ double log_sum(const float *x, int64_t n, float by,
                                 int thread)
{
    float most = -INFINITY, largest;
    double sum = 0;

    for (int64_t i = thread; i < n; i += GROUP) {
        const float y = x[i];

        if (y > most) {
            sum = sum * (double)expf((most - y) * by) + 1;
            most = y;
        } else if (y != -INFINITY) {
            sum += (double)expf((y - most) * by); /* a NaN stays one */
        }
    }
    largest = row_max<GROUP>(most);
    sum = group_sum<GROUP, THREADS>(
        sum == 0 ? 0 : sum * exp((double)(most - largest) * (double)by));
    return (double)largest * (double)by + log(sum);
}

/* A row of logits, and the logarithms of its sums. */
struct loss_row {
    const float *student, *teacher;
    double by, student_sum, teacher_sum, sum_at_one;
};

/* log s - log t. */
static __device__ __forceinline__ double loss_ratio(const struct loss_row &row,
                                                    int64_t i)
{
    return ((double)row.student[i] - (double)row.teacher[i]) * row.by -
           (row.student_sum - row.teacher_sum);
}

/* An element of a softmax. */
static __device__ __forceinline__ float probability(const float *x, int64_t i,
                                                    double by, double sum)
{
    return expf((float)((double)x[i] * by - sum));
}

/* s - t. */
static __device__ __forceinline__ float difference(float s, float t,
                                                   double ratio)
{
    return ratio < 0 ? t * expm1f((float)ratio) : -s * expm1f((float)-ratio);
}

/* p (e^x - 1 - x), where p e^x - p is `more`. */
static __device__ __forceinline__ double excess(float p, float more, double x)
{
    const float y = (float)x;

    if (fabsf(y) < 0.25f)
        return (
            double)(p * y * y *
                    (1 / 2.f +
                     y * (1 / 6.f +
                          y * (1 / 24.f + y * (1 / 120.f + y * (1 / 720.f))))));
    return (double)more - (double)p * x;
}

/* KL(t || s) and KL(s || t), not yet times the temperature's square. What has
 * no probability adds nothing to its own, and a NaN one. */
template <int GROUP>
static __device__ void divergences(double out[2], const struct loss_row &row,
                                   int64_t n, int thread)
{
    double kl = 0, reverse = 0;

    for (int64_t i = thread; i < n; i += GROUP) {
        const double ratio = loss_ratio(row, i);
        const float t = probability(row.teacher, i, row.by, row.teacher_sum);
        const float s = probability(row.student, i, row.by, row.student_sum);
        const float more = difference(s, t, ratio);

        kl += t == 0 ? (double)s : excess(t, more, ratio);
        reverse += s == 0 ? (double)t : excess(s, -more, -ratio);
    }
    out[0] = group_sum<GROUP, THREADS>(kl);
    out[1] = group_sum<GROUP, THREADS>(reverse);
}

template <int GROUP, typename T>
static __device__ void gradient_row(T *out, const struct loss_args &args,
                                    const struct loss_row &row, double weight,
                                    int64_t label, double reverse, int thread)
{
    const float kl = (float)(weight * args.kl * args.temperature);
    const double back = weight * args.reverse_kl * args.temperature;
    const float ce = label < 0 ? 0 : (float)(weight * args.cross_entropy);

    for (int64_t i = thread; i < args.n; i += GROUP) {
        float d = 0;

        if (row.teacher) {
            const double ratio = loss_ratio(row, i);
            const float t =
                probability(row.teacher, i, row.by, row.teacher_sum);
            const float s =
                probability(row.student, i, row.by, row.student_sum);

            d = kl * difference(s, t, ratio);
            if (back != 0 && s != 0)
                d += (float)(back * (double)s * (ratio - reverse));
        }
        if (ce != 0) {
            const float s = probability(row.student, i, 1, row.sum_at_one);

            d += ce * (i == label ? s - 1 : s);
        }
        if (args.soft_cap > 0) {
            const double share = (double)row.student[i] / args.soft_cap;

            d *= (float)((1 - share) * (1 + share));
        }
        out[i] = real<T>::round(d);
    }
}

template <int GROUP, typename T>
static __global__ void __launch_bounds__(THREADS)
    loss_kernel(struct loss_args args, T *d_logits)
{
    constexpr int ROWS = THREADS / GROUP;
    const int thread = (int)threadIdx.x % GROUP;

    for (int64_t r = (int64_t)blockIdx.x * ROWS + threadIdx.x / GROUP;
         r < args.n_rows; r += (int64_t)gridDim.x * ROWS) {
        const double weight = args.weights[r];
        const int64_t label = args.labels ? args.labels[r] : -1;
        T *out = d_logits ? d_logits + r * args.n : NULL;
        struct loss_row row = {args.student + r * args.n,
                               args.teacher ? args.teacher + r * args.n : NULL,
                               1 / args.temperature,
                               0,
                               0,
                               0};
        double kl[2] = {0, 0}, ce = 0;

        if (weight == 0) {
            for (int64_t i = thread; out && i < args.n; i += GROUP)
                out[i] = real<T>::round(0);
            if (thread < 3)
                args.losses[3 * r + thread] = 0;
            if (thread < 4)
                args.weighted[4 * r + thread] = 0;
            continue;
        }
        if (row.teacher) {
            row.student_sum =
                log_sum<GROUP>(row.student, args.n, (float)row.by, thread);
            row.teacher_sum =
                log_sum<GROUP>(row.teacher, args.n, (float)row.by, thread);
            divergences<GROUP>(kl, row, args.n, thread);
        }
        if (label >= 0) {
            row.sum_at_one =
                row.teacher && args.temperature == 1
                    ? row.student_sum
                    : log_sum<GROUP>(row.student, args.n, 1, thread);
            ce = row.sum_at_one - (double)row.student[label];
        }
        if (out)
            gradient_row<GROUP>(out, args, row, weight * args.factor, label,
                                kl[1], thread);
        if (thread == 0) {
            const double square = args.temperature * args.temperature;
            double *losses = args.losses + 3 * r;
            double *weighted = args.weighted + 4 * r;

            losses[0] = square * kl[0];
            losses[1] = square * kl[1];
            losses[2] = ce;
            weighted[3] = 0;
            for (int i = 0; i < 3; i++) {
                weighted[i] = weight * losses[i];
                weighted[3] += (i == 0   ? args.kl
                                : i == 1 ? args.reverse_kl
                                         : args.cross_entropy) *
                               weighted[i];
            }
        }
    }
}

/* The host's numbers, to args, with room for the results. */
static enum gqa_status send_rows(struct gqa_device *device,
                                 struct loss_args *args,
                                 const struct gqa_loss_op *op)
{
    const uint64_t n = op->n_rows;
    double *room;
    enum gqa_status st = gqa_cuda_reserve(
        device, &device->back, n * (8 * sizeof(double) + sizeof(int32_t)));

    if (st != GQA_OK)
        return st;
    room = (double *)device->back.data;
    args->weights = room;
    args->losses = room + n;
    args->weighted = room + 4 * n;
    st = gqa_cuda_send(device, room, op->weights, n * sizeof(double));
    if (st != GQA_OK || !op->labels)
        return st;
    args->labels = (const int32_t *)(void *)(room + 8 * n);
    return gqa_cuda_send(device, room + 8 * n, op->labels, n * sizeof(int32_t));
}

enum gqa_status gqa_cuda_loss(struct gqa_device *device,
                              const struct gqa_loss_op *op)
{
    struct loss_args args = {};
    enum gqa_status st = gqa_cuda_enter(device);

    if (st != GQA_OK || op->n_rows == 0)
        return st;
    args.student = (const float *)op->student;
    args.teacher = (const float *)op->teacher;
    args.n_rows = (int64_t)op->n_rows;
    args.n = (int64_t)op->vocab_size;
    args.kl = op->kl;
    args.reverse_kl = op->reverse_kl;
    args.cross_entropy = op->cross_entropy;
    args.temperature = op->temperature;
    args.factor = op->factor;
    args.soft_cap = op->soft_cap;
    if ((st = send_rows(device, &args, op)) != GQA_OK)
        return st;
    with_real(device->real, [&](auto t) {
        typedef decltype(t) T;
        const uint64_t each = THREADS / 32;

        if (op->vocab_size <= FEW_LOGITS)
            loss_kernel<32, T>
                <<<blocks_for((op->n_rows + each - 1) / each), THREADS, 0,
                   device->stream>>>(args, (T *)op->d_logits);
        else
            loss_kernel<THREADS, T>
                <<<blocks_for(op->n_rows), THREADS, 0, device->stream>>>(
                    args, (T *)op->d_logits);
    });
    st = gqa_cuda_launched(device);
    if (st == GQA_OK && op->sums)
        st = gqa_cuda_add_sums(device, (double *)op->sums, args.weighted,
                               op->n_rows, 4);
    if (st == GQA_OK && op->losses)
        st = gqa_cuda_check(
            device, cudaMemcpyAsync(op->losses, args.losses,
                                    3 * op->n_rows * sizeof(double),
                                    cudaMemcpyDeviceToHost, device->stream));
    if (st == GQA_OK && op->losses)
        st = gqa_cuda_check(device, cudaStreamSynchronize(device->stream));
    return st;
}
