/*
 * Losses of logits and their gradients. A warp has a row of few logits, a
 * block one of many; the sums over a row are float64, of float32 exponentials.
 *
 * With x = log s - log t: s - t is t (e^x - 1), or s (1 - e^-x), and as both
 * sum to 1,
 *
 *   KL(t || s) = sum t (e^x - 1 - x),   KL(s || t) = sum s (e^-x - 1 + x)
 *
 * so that all keep their digits where the two are nearly one. x is the
 * difference of two logits less that of two sums, which nearly cancel: it is
 * made of pairs of float32, a value and what its rounding left out, for
 * conversions to float64 are slow.
 */
#include <math.h>

#include "runtime/cuda/back.cuh"
#include "runtime/cuda/pack.cuh"
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

/* log sum exp(by * x), of the row's n, N at a time. */
template <int GROUP, int N>
static __device__ double log_sum(const float *x, int64_t n, float by,
                                 int thread)
{
    float most = -INFINITY, largest;
    double sum = 0;

    for (int64_t i = thread * N; i < n; i += GROUP * N) {
        const pack<float, N> y = pack_at<N>(x + i);
        float top = most, few = 0;

#pragma unroll
        for (int j = 0; j < N; j++)
            top = fmaxf(top, y.v[j]);
        if (top > most) {
            sum *= (double)expf((most - top) * by);
            most = top;
        }
#pragma unroll
        for (int j = 0; j < N; j++) /* a NaN stays one */
            few += y.v[j] == -INFINITY ? 0 : expf((y.v[j] - most) * by);
        sum += (double)few;
    }
    largest = row_max<GROUP>(most);
    sum = group_sum<GROUP, THREADS>(
        sum == 0 ? 0 : sum * exp((double)(most - largest) * (double)by));
    return (double)largest * (double)by + log(sum);
}

/* A number as the sum of two. */
struct two {
    float high, low;
};

static __device__ __forceinline__ struct two two_of(double x)
{
    const float high = (float)x;

    /* Of what is infinite nothing is left out. */
    return {high, isfinite(high) ? (float)(x - (double)high) : 0};
}

/* A small part, which is none beside what is infinite. */
static __device__ __forceinline__ float part_of(float x)
{
    return x == x ? x : 0;
}

/* A row of logits, and the logarithms of its sums. */
struct loss_row {
    const float *student, *teacher;
    double student_sum, teacher_sum, sum_at_one;
    struct two by;
};

/* What the softmaxes of a row's logits are. */
struct softmaxes {
    struct two by, student, ratio; /* sums; ratio: the difference of the two */
    struct two teacher;
};

static __device__ __forceinline__ struct softmaxes softmaxes_of(
    const struct loss_row &row)
{
    return {row.by, two_of(row.student_sum),
            two_of(row.student_sum - row.teacher_sum), two_of(row.teacher_sum)};
}

/* An element of a softmax. */
static __device__ __forceinline__ float probability(float x, struct two by,
                                                    struct two sum)
{
    return expf(fmaf(x, by.high, -sum.high) +
                part_of(fmaf(x, by.low, -sum.low)));
}

/* One logit of both. */
struct element {
    float s, t;       /* probabilities */
    float x;          /* log s - log t */
    float difference; /* s - t */
};

/* Below, series are as exact as differences of exponentials are above. */
static constexpr float NEAR = 0.25f;

static __device__ __forceinline__ struct element element_of(
    const struct softmaxes &of, float student, float teacher)
{
    /* Of two that are -inf as well. */
    const float d = student == teacher ? 0 : student - teacher;
    const float b = d - student;
    const float rest = (student - (d - b)) - (teacher + b);
    /* Rounded here: what that leaves out is added below. */
    const float scaled = __fmul_rn(d, of.by.high);
    const float left = fmaf(d, of.by.high, -scaled) +
                       fmaf(d, of.by.low, rest * of.by.high) - of.ratio.low;
    struct element e;

    e.x = scaled - of.ratio.high + part_of(left);

    const bool is_more = e.x > 0;
    const float larger = is_more ? probability(student, of.by, of.student)
                                 : probability(teacher, of.by, of.teacher);
    const float by = expf(-fabsf(e.x)), smaller = larger * by;
    const float y = is_more ? -e.x : e.x;
    /* e^y - 1 over y */
    const float series =
        1 +
        y * (1 / 2.f +
             y * (1 / 6.f +
                  y * (1 / 24.f +
                       y * (1 / 120.f + y * (1 / 720.f + y * (1 / 5040.f))))));
    const float less = larger * (-y < NEAR ? y * series : by - 1);

    e.s = is_more ? larger : smaller;
    e.t = is_more ? smaller : larger;
    e.difference = is_more ? -less : less;
    return e;
}

/* p (e^x - 1 - x), where p e^x - p is `more`. */
static __device__ __forceinline__ float excess(float p, float more, float x)
{
    const float series =
        p * x * x *
        (1 / 2.f +
         x * (1 / 6.f + x * (1 / 24.f + x * (1 / 120.f + x * (1 / 720.f)))));

    return fabsf(x) < NEAR ? series : more - p * x;
}

/* What a logit adds to KL(t || s), and to KL(s || t). What has no probability
 * adds nothing to its own, and a NaN one. */
static __device__ __forceinline__ float to_kl(const struct element &e)
{
    return e.t == 0 ? e.s : excess(e.t, e.difference, e.x);
}

static __device__ __forceinline__ float to_reverse(const struct element &e)
{
    return e.s == 0 ? e.t : excess(e.s, -e.difference, -e.x);
}

/* What gradients are made of, of one row. */
struct slopes {
    float kl, cross_entropy;
    double back, reverse; /* of KL(s || t): its weight, and the KL */
    int64_t label;
    double soft_cap;
};

/*
 * The row's KLs (where it has a teacher), not yet times the temperature's
 * square, and its gradients (where there is `out`), N at a time.
 */
template <int GROUP, int N, typename T>
static __device__ void pass(double kl[2], T *out, const struct loss_row &row,
                            int64_t n, const struct slopes &slopes, int thread)
{
    const struct softmaxes of = softmaxes_of(row);
    const struct two one = {1, 0}, sum_at_one = two_of(row.sum_at_one);
    double sums[2] = {0, 0};

    for (int64_t i = thread * N; i < n; i += GROUP * N) {
        const pack<float, N> student = pack_at<N>(row.student + i);
        pack<float, N> teacher = {};
        pack<T, N> gradients;
        float few[2] = {0, 0};

        if (row.teacher)
            teacher = pack_at<N>(row.teacher + i);
#pragma unroll
        for (int j = 0; j < N; j++) {
            float d = 0;

            if (row.teacher) {
                const struct element e =
                    element_of(of, student.v[j], teacher.v[j]);

                few[0] += to_kl(e);
                few[1] += to_reverse(e);
                d = slopes.kl * e.difference;
                if (slopes.back != 0 && e.s != 0)
                    d += (float)(slopes.back * (double)e.s *
                                 ((double)e.x - slopes.reverse));
            }
            if (slopes.cross_entropy != 0) {
                const float s = probability(student.v[j], one, sum_at_one);

                d += slopes.cross_entropy * (i + j == slopes.label ? s - 1 : s);
            }
            if (slopes.soft_cap > 0) {
                const double share = (double)student.v[j] / slopes.soft_cap;

                d *= (float)((1 - share) * (1 + share));
            }
            gradients.v[j] = real<T>::round(d);
        }
        if (out)
            pack_to<N>(out + i, gradients);
        sums[0] += (double)few[0];
        sums[1] += (double)few[1];
    }
    if (row.teacher)
        for (int i = 0; i < 2; i++)
            kl[i] = group_sum<GROUP, THREADS>(sums[i]);
}

template <int GROUP, int N, typename T>
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
                               0,
                               0,
                               0,
                               two_of(1 / args.temperature)};
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
        struct slopes slopes = {0, 0, 0, 0, label, args.soft_cap};

        if (row.teacher) {
            row.student_sum =
                log_sum<GROUP, N>(row.student, args.n, row.by.high, thread);
            row.teacher_sum =
                log_sum<GROUP, N>(row.teacher, args.n, row.by.high, thread);
        }
        if (label >= 0) {
            row.sum_at_one =
                row.teacher && args.temperature == 1
                    ? row.student_sum
                    : log_sum<GROUP, N>(row.student, args.n, 1, thread);
            ce = row.sum_at_one - (double)row.student[label];
        }
        if (out) {
            const double by = weight * args.factor;

            slopes.kl = (float)(by * args.kl * args.temperature);
            slopes.back = by * args.reverse_kl * args.temperature;
            slopes.cross_entropy =
                label < 0 ? 0 : (float)(by * args.cross_entropy);
        }
        /* A gradient that needs the sum comes behind it. */
        if (slopes.back != 0 && row.teacher) {
            pass<GROUP, N, T>(kl, NULL, row, args.n, slopes, thread);
            slopes.reverse = kl[1];
        }
        pass<GROUP, N, T>(kl, out, row, args.n, slopes, thread);
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
        const bool few = op->vocab_size <= FEW_LOGITS;
        const bool whole = op->vocab_size % 4 == 0 && is_aligned(op->student) &&
                           is_aligned(op->teacher) && is_aligned(op->d_logits);
        const uint64_t each = few ? THREADS / 32 : 1;

        (few     ? whole ? loss_kernel<32, 4, T> : loss_kernel<32, 1, T>
             : whole ? loss_kernel<THREADS, 4, T>
                 : loss_kernel<THREADS, 1,
                               T>)<<<blocks_for((op->n_rows + each - 1) / each),
                                     THREADS, 0, device->stream>>>(
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
