#include "convert/produce.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/random.h"
#include "convert/mix.h"

enum {
    /* Elements summed at a time: the sums stay in the second-level cache. */
    SUM_ELEMENTS = 32768,
    /* Bytes copied at a time, for the same reason: they are counted next. */
    COPY_BYTES = 256 << 10,
};

struct worker {
    char *source;  /* what was read, before it is pooled or rounded */
    char *scratch; /* of gqa_param_read() */
    double sums[SUM_ELEMENTS];
};

struct counts {
    _Atomic uint64_t n_nan, n_inf;
};

/* The norm of an attention's keys, all heads together, where these are pooled.
 * Weights that are all the same leave nothing to move into the keys. */
struct folded_norm {
    double *weights; /* [source * head_dim], owned; NULL: all are `same` */
    double same;     /* 1 where they differ */
};

struct gqa_producer {
    const struct gqa_plan *plan;
    struct gqa_checkpoint *checkpoint;
    struct folded_norm *norms;          /* [n_attentions of the model] */
    size_t source_bytes, scratch_bytes; /* of each worker */
    unsigned n_workers;
    struct worker **workers;
    struct counts *counts; /* one for each tensor */
};

/* A piece of work: one output tensor and the worker's buffers. */
struct job {
    struct gqa_producer *producer;
    const struct gqa_plan_tensor *t;
    struct worker *w;
    size_t in_width, out_width; /* bytes of an element */
};

static size_t clamp(size_t value, size_t low, size_t high)
{
    return value < low ? low : value > high ? high : value;
}

static bool is_transposed(const struct gqa_param *param)
{
    return param->parts[0].transposed;
}

/* --- One stretch of rows or columns -------------------------------------- */

/* Read a rectangle of the source that fits both buffers' size. */
static enum gqa_status read_rect(const struct job *job, uint64_t row,
                                 uint64_t n_rows, uint64_t col, uint64_t n_cols,
                                 void *buf, uint64_t pitch)
{
    return gqa_param_read(job->producer->checkpoint, job->t->param, row, n_rows,
                          col, n_cols, buf, pitch, job->w->scratch);
}

/* out[i] = sum[i] / n, rounded once. */
static void store_mean(const struct job *job, char *out, size_t n,
                       uint64_t n_sources)
{
    double *sums = job->w->sums;

    for (size_t i = 0; i < n; i++)
        sums[i] /= (double)n_sources;
    gqa_store_f64(out, job->t->dtype, sums, n);
}

/*
 * out = the mean of n_sources rows of n elements, the first at `in`, the
 * next each `step` bytes further. One source of the same dtype is copied
 * bit by bit.
 */
static void pool(const struct job *job, char *out, const char *in, size_t step,
                 uint64_t n_sources, size_t n)
{
    const enum gqa_dtype dtype = job->t->param->dtype;

    if (n_sources == 1 && dtype == job->t->dtype) {
        memcpy(out, in, n * job->in_width);
        return;
    }
    while (n > 0) {
        const size_t part = n < SUM_ELEMENTS ? n : SUM_ELEMENTS;

        gqa_load_f64(job->w->sums, in, dtype, part);
        for (uint64_t j = 1; j < n_sources; j++)
            gqa_add_f64(job->w->sums, in + j * step, dtype, part);
        if (n_sources > 1)
            store_mean(job, out, part, n_sources);
        else
            gqa_store_f64(out, job->t->dtype, job->w->sums, part);
        in += part * job->in_width;
        out += part * job->out_width;
        n -= part;
    }
}

/*
 * The same of rows that are times the weights of a norm first: the first at
 * `weight`, the next each `stride` further. Sums are of doubles, in order.
 */
static void pool_normed(const struct job *job, char *out, const char *in,
                        size_t step, uint64_t n_sources, size_t n,
                        const double *weight, uint64_t stride)
{
    enum { HALF = SUM_ELEMENTS / 2 };
    double *sums = job->w->sums, *room = sums + HALF;

    while (n > 0) {
        const size_t part = n < HALF ? n : HALF;

        for (uint64_t j = 0; j < n_sources; j++) {
            gqa_load_f64(room, in + j * step, job->t->param->dtype, part);
            for (size_t i = 0; i < part; i++) {
                const double x = room[i] * weight[j * stride];

                sums[i] = j == 0 ? x : sums[i] + x;
            }
        }
        store_mean(job, out, part, n_sources);
        in += part * job->in_width;
        out += part * job->out_width;
        n -= part;
    }
}

/*
 * Rows [row, row + n_rows) of a segment along axis 0, columns [col, col +
 * n_cols), pooled from the segment's sources. All that is read at a time
 * fits the source buffer: `take_rows` of each source and `take_cols`
 * columns. Where the parameter lies transposed, few long pieces are read
 * rather than many short ones, so all rows come at once.
 */
static enum gqa_status pool_rows(const struct job *job,
                                 const struct gqa_segment *s, uint64_t row,
                                 uint64_t n_rows, uint64_t col, uint64_t n_cols,
                                 char *out, uint64_t pitch)
{
    const double *weights =
        s->has_norm ? job->producer->norms[s->attention].weights : NULL;
    const bool transposed = is_transposed(job->t->param);
    const uint64_t room = job->producer->source_bytes / job->in_width;
    const bool adjoining = n_rows == s->length && s->source_stride == s->length;
    uint64_t take_rows, take_cols;

    if (transposed) {
        take_rows = gqa_min_u64(n_rows, room / s->n_sources);
        take_cols = gqa_min_u64(n_cols, room / (s->n_sources * take_rows));
    } else {
        take_cols = gqa_min_u64(n_cols, room / s->n_sources);
        take_rows = gqa_min_u64(n_rows, room / (s->n_sources * take_cols));
    }
    for (uint64_t r = 0; r < n_rows; r += take_rows)
        for (uint64_t c = 0; c < n_cols; c += take_cols) {
            const uint64_t nr = gqa_min_u64(take_rows, n_rows - r);
            const uint64_t nc = gqa_min_u64(take_cols, n_cols - c);
            const size_t step = nr * nc * job->in_width;
            enum gqa_status st = GQA_OK;

            if (adjoining && nr == n_rows)
                st = read_rect(job, s->source, nr * s->n_sources, col + c, nc,
                               job->w->source, nc);
            else
                for (uint64_t j = 0; j < s->n_sources && st == GQA_OK; j++)
                    st = read_rect(
                        job, s->source + j * s->source_stride + row + r, nr,
                        col + c, nc, job->w->source + j * step, nc);
            if (st != GQA_OK)
                return st;
            for (uint64_t i = 0; i < nr; i++) {
                char *to = out + ((r + i) * pitch + c) * job->out_width;
                const char *from = job->w->source + i * nc * job->in_width;

                if (weights)
                    pool_normed(job, to, from, step, s->n_sources, nc,
                                weights + s->source + row + r + i,
                                s->source_stride);
                else
                    pool(job, to, from, step, s->n_sources, nc);
            }
        }
    return GQA_OK;
}

/* --- The norm of pooled keys ---------------------------------------------- */

/* n_cols columns of a group's heads, read one below another, of which the
 * first n_pooled are pooled: all their squares, and those of what they make. */
static void add_squares(const struct job *job, const struct gqa_segment *k,
                        enum gqa_dtype dtype, uint64_t n_pooled,
                        uint64_t n_cols, double *squares, double *pooled)
{
    const double *weights = job->producer->norms[k->attention].weights;
    const size_t row_bytes = n_cols * (gqa_dtype_bits(dtype) / 8);
    double *sums = job->w->sums, *room = sums + n_cols;

    for (uint64_t i = 0; i < k->length; i++) {
        memset(sums, 0, n_cols * sizeof *sums);
        for (uint64_t j = 0; j < k->n_sources; j++) {
            const uint64_t row = j * k->length + i;
            const double w = weights ? weights[k->source + row] : 1;

            gqa_load_f64(room, job->w->source + row * row_bytes, dtype, n_cols);
            for (uint64_t c = 0; c < n_cols; c++) {
                *squares += room[c] * room[c];
                if (j < n_pooled)
                    sums[c] += w * room[c];
            }
        }
        for (uint64_t c = 0; c < n_cols; c++) {
            const double x = sums[c] / (double)n_pooled;

            *pooled += x * x;
        }
    }
}

/*
 * What the norm's weights are: a pooled key is to be as large as the mean of
 * the normed ones, and is divided by its own size now. Keys of equal inputs
 * are as large as the rows of the weight that makes them.
 */
static enum gqa_status norm_of_pooled(double *out, const struct job *job,
                                      const struct gqa_segment *s)
{
    const struct gqa_plan *plan = job->producer->plan;
    const struct gqa_plan_attention *to = &plan->attentions[s->attention];
    const struct gqa_attention *a = to->attention;
    const struct gqa_param *param = &plan->model->params[a->k.weight];
    const uint64_t m = to->source / to->pooled, rows = m * a->head_dim;
    const uint64_t n_pooled = plan->options.method == GQA_METHOD_FIRST ? 1 : m;
    const uint64_t take = gqa_min_u64(
        job->producer->source_bytes / (gqa_dtype_bits(param->dtype) / 8) / rows,
        SUM_ELEMENTS / 2);
    double squares = 0, pooled = 0;

    *out = 1;
    if (plan->options.method == GQA_METHOD_RANDOM)
        return GQA_OK;
    if (take == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s': heads that share have %llu rows, too many to be "
                        "pooled",
                        param->name, (unsigned long long)rows);
    for (uint64_t g = 0; g < to->pooled; g++)
        for (uint64_t c = 0; c < param->cols; c += take) {
            const uint64_t n = gqa_min_u64(take, param->cols - c);
            const struct gqa_segment k = {.length = a->head_dim,
                                          .source = g * rows,
                                          .n_sources = m,
                                          .attention = s->attention};
            const enum gqa_status st =
                gqa_param_read(job->producer->checkpoint, param, k.source, rows,
                               c, n, job->w->source, n, job->w->scratch);

            if (st != GQA_OK)
                return st;
            add_squares(job, &k, param->dtype, n_pooled, n, &squares, &pooled);
        }
    if (squares > 0)
        *out = job->producer->norms[s->attention].same *
               sqrt(pooled / (double)to->pooled) /
               sqrt(squares / (double)to->source);
    return GQA_OK;
}

static enum gqa_status fill_norm(const struct job *job,
                                 const struct gqa_segment *s, uint64_t n,
                                 char *out)
{
    double value;
    const enum gqa_status st = norm_of_pooled(&value, job, s);

    for (uint64_t i = 0; i < n && st == GQA_OK; i++)
        gqa_store_f64(out + i * job->out_width, job->t->dtype, &value, 1);
    return st;
}

/* out = mix times what was read of the sources, `w` rows of n_cols; the
 * sources in order. */
static void mix_columns(const struct job *job, const double *by, uint64_t row,
                        uint64_t n_rows, uint64_t w, uint64_t n_cols, char *out,
                        uint64_t pitch)
{
    const enum gqa_dtype dtype = job->t->param->dtype;
    const uint64_t room = SUM_ELEMENTS / (w + GQA_MIX_ROWS);
    const uint64_t take =
        room > GQA_MIX_COLUMNS ? room - room % GQA_MIX_COLUMNS : room;

    for (uint64_t c = 0; c < n_cols; c += take) {
        const size_t n = (size_t)gqa_min_u64(take, n_cols - c);
        double *sums = job->w->sums, *in = sums + GQA_MIX_ROWS * n;

        for (uint64_t k = 0; k < w; k++)
            gqa_load_f64(in + k * n,
                         job->w->source + (k * n_cols + c) * job->in_width,
                         dtype, n);
        for (uint64_t r = 0; r < n_rows; r += GQA_MIX_ROWS) {
            const uint64_t nr = gqa_min_u64(GQA_MIX_ROWS, n_rows - r);

            gqa_mix(sums, by + (row + r) * w, nr, in, w, n);
            for (uint64_t i = 0; i < nr; i++)
                gqa_store_f64(out + ((r + i) * pitch + c) * job->out_width,
                              job->t->dtype, sums + i * n, n);
        }
    }
}

/* The same of a head that was fitted anew. */
static void fitted_rows(const struct job *job, const void *fitted, uint64_t row,
                        uint64_t n_rows, uint64_t col, uint64_t n_cols,
                        char *out, uint64_t pitch)
{
    const uint64_t inputs = job->t->param->cols;

    for (uint64_t r = 0; r < n_rows; r++)
        pool(job, out + r * pitch * job->out_width,
             (const char *)fitted + ((row + r) * inputs + col) * job->in_width,
             0, 1, n_cols);
}

/* Of one whose elements lie side by side: those from `from` on, of the rows
 * from `row` on. */
static void fitted_abreast(const struct job *job, const void *fitted,
                           uint64_t from, uint64_t n, uint64_t row,
                           uint64_t n_rows, char *out, uint64_t pitch)
{
    const uint64_t inputs = job->t->param->rows;

    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t i = 0; i < n; i++)
            pool(job, out + (r * pitch + i) * job->out_width,
                 (const char *)fitted +
                     ((from + i) * inputs + row + r) * job->in_width,
                 0, 1, 1);
}

/* Rows [row, row + n_rows) of a mixed segment, columns [col, col + n_cols). */
static enum gqa_status mix_rows(const struct job *job,
                                const struct gqa_segment *s, uint64_t row,
                                uint64_t n_rows, uint64_t col, uint64_t n_cols,
                                char *out, uint64_t pitch)
{
    const double *by = gqa_plan_mix(job->producer->plan, s);
    const void *fitted =
        gqa_plan_fitted_head(job->producer->plan, job->t->param, s);
    const uint64_t w = s->n_sources * s->length;
    const uint64_t room = job->producer->source_bytes / job->in_width;
    const uint64_t take = gqa_min_u64(n_cols, room / w);

    if (fitted) {
        fitted_rows(job, fitted, row, n_rows, col, n_cols, out, pitch);
        return GQA_OK;
    }
    if (take == 0 || SUM_ELEMENTS / (w + GQA_MIX_ROWS) == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s': heads that share have %llu rows, too many to be "
                        "mixed",
                        job->t->param->name, (unsigned long long)w);
    for (uint64_t c = 0; c < n_cols; c += take) {
        const uint64_t nc = gqa_min_u64(take, n_cols - c);
        enum gqa_status st = GQA_OK;

        for (uint64_t j = 0; j < s->n_sources && st == GQA_OK; j++)
            st = read_rect(job, gqa_plan_source(job->producer->plan, s, j),
                           s->length, col + c, nc,
                           job->w->source + j * s->length * nc * job->in_width,
                           nc);
        if (st != GQA_OK)
            return st;
        mix_columns(job, by, row, n_rows, w, nc, out + c * job->out_width,
                    pitch);
    }
    return GQA_OK;
}

/* The elements of a mixed segment's sources, in order, of a row that was read.
 */
static void load_sources(const struct job *job, const struct gqa_segment *s,
                         double *out, const char *row)
{
    for (uint64_t j = 0; j < s->n_sources; j++)
        gqa_load_f64(out + j * s->length,
                     row + gqa_plan_source(job->producer->plan, s, j) *
                               job->in_width,
                     job->t->param->dtype, s->length);
}

/* Elements [from, from + n) of a mixed segment, in n_rows rows of the source,
 * from row `first` on, that were read whole; likewise. */
static enum gqa_status mix_abreast(const struct job *job,
                                   const struct gqa_segment *s, uint64_t from,
                                   uint64_t n, uint64_t first, uint64_t n_rows,
                                   uint64_t in_cols, char *out, uint64_t pitch)
{
    const double *by = gqa_plan_mix(job->producer->plan, s);
    const void *fitted =
        gqa_plan_fitted_head(job->producer->plan, job->t->param, s);
    const uint64_t w = s->n_sources * s->length;
    /* [w, n], so that what is added next to each other lies so. */
    double *turned, *in, *sums = job->w->sums;

    if (fitted) {
        fitted_abreast(job, fitted, from, n, first, n_rows, out, pitch);
        return GQA_OK;
    }
    if (n > SUM_ELEMENTS / GQA_MIX_ROWS)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s': heads of %llu elements are too long to be "
                        "mixed: at most %d are",
                        job->t->param->name, (unsigned long long)s->length,
                        SUM_ELEMENTS / GQA_MIX_ROWS);
    turned = malloc(w * n * sizeof *turned);
    in = malloc(GQA_MIX_ROWS * w * sizeof *in);
    if (!turned || !in) {
        free(turned);
        free(in);
        return gqa_fail_nomem();
    }
    for (uint64_t k = 0; k < w; k++)
        for (uint64_t i = 0; i < n; i++)
            turned[k * n + i] = by[(from + i) * w + k];
    for (uint64_t r = 0; r < n_rows; r += GQA_MIX_ROWS) {
        const uint64_t nr = gqa_min_u64(GQA_MIX_ROWS, n_rows - r);

        for (uint64_t i = 0; i < nr; i++)
            load_sources(job, s, in + i * w,
                         job->w->source + (r + i) * in_cols * job->in_width);
        gqa_mix(sums, in, nr, turned, w, n);
        for (uint64_t i = 0; i < nr; i++)
            gqa_store_f64(out + (r + i) * pitch * job->out_width, job->t->dtype,
                          sums + i * n, n);
    }
    free(turned);
    free(in);
    return GQA_OK;
}

/* Fresh values for a rectangle of a segment; `at` is along the axis within
 * the segment, `other` across it, n and m their counts. */
static void draw(const struct job *job, const struct gqa_segment *s,
                 uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                 char *out, uint64_t pitch)
{
    const struct gqa_plan_tensor *t = job->t;
    const uint64_t key = gqa_random_key(job->producer->plan->options.seed,
                                        t->param->name, s->stream);
    /* A head's numbers must not depend on where in the output it stands. */
    const uint64_t row_length = t->axis == 0 ? t->cols : s->length;

    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t c = 0; c < n_cols; c += SUM_ELEMENTS) {
            const uint64_t n = gqa_min_u64(SUM_ELEMENTS, n_cols - c);

            gqa_random_normal(job->w->sums, n, key,
                              (row + r) * row_length + col + c, t->deviation);
            gqa_store_f64(out + (r * pitch + c) * job->out_width, t->dtype,
                          job->w->sums, n);
        }
}

static void fill_zero(const struct job *job, uint64_t n_rows, uint64_t n_cols,
                      char *out, uint64_t pitch)
{
    for (uint64_t r = 0; r < n_rows; r++)
        memset(out + r * pitch * job->out_width, 0, n_cols * job->out_width);
}

/* The last segment that begins at or before `at`. */
static size_t find_segment(const struct gqa_plan_tensor *t, uint64_t at)
{
    size_t low = 0;
    size_t high = t->n_segments;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (t->segments[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Output rows made of segments that stack rows. */
static enum gqa_status produce_stacked(const struct job *job, uint64_t row,
                                       uint64_t n_rows, uint64_t col,
                                       uint64_t n_cols, char *out)
{
    const struct gqa_plan_tensor *t = job->t;
    const uint64_t end = row + n_rows;

    for (size_t i = find_segment(t, row);
         i < t->n_segments && t->segments[i].start < end; i++) {
        const struct gqa_segment *s = &t->segments[i];
        const uint64_t from = row > s->start ? row - s->start : 0;
        const uint64_t to = gqa_min_u64(s->length, end - s->start);
        char *at = out + (s->start + from - row) * n_cols * job->out_width;
        enum gqa_status st = GQA_OK;

        if (s->kind == GQA_SEGMENT_RANDOM)
            draw(job, s, from, to - from, col, n_cols, at, n_cols);
        else if (s->kind == GQA_SEGMENT_ZERO)
            fill_zero(job, to - from, n_cols, at, n_cols);
        else if (s->kind == GQA_SEGMENT_NORM)
            st = fill_norm(job, s, to - from, at);
        else if (s->kind == GQA_SEGMENT_MIX)
            st = mix_rows(job, s, from, to - from, col, n_cols, at, n_cols);
        else
            st = pool_rows(job, s, from, to - from, col, n_cols, at, n_cols);
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

/*
 * Output rows whose segments lie side by side: whole rows of the source are
 * read, as many as fit, and each stretch is made from them. A row that does
 * not fit is made stretch by stretch.
 */
static enum gqa_status produce_abreast(const struct job *job, uint64_t row,
                                       uint64_t n_rows, uint64_t col,
                                       uint64_t n_cols, char *out)
{
    const struct gqa_plan_tensor *t = job->t;
    const uint64_t in_cols = t->param->cols;
    const uint64_t take = job->producer->source_bytes / job->in_width / in_cols;
    const uint64_t end = col + n_cols;

    if (take == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s': rows of %llu elements are too long for an "
                        "input-major projection",
                        t->param->name, (unsigned long long)in_cols);
    for (uint64_t r = 0; r < n_rows; r += take) {
        const uint64_t nr = gqa_min_u64(take, n_rows - r);
        const enum gqa_status st =
            read_rect(job, row + r, nr, 0, in_cols, job->w->source, in_cols);

        if (st != GQA_OK)
            return st;
        for (size_t i = find_segment(t, col);
             i < t->n_segments && t->segments[i].start < end; i++) {
            const struct gqa_segment *s = &t->segments[i];
            const uint64_t from = col > s->start ? col - s->start : 0;
            const uint64_t n = gqa_min_u64(s->length, end - s->start) - from;
            char *at =
                out + (r * n_cols + s->start + from - col) * job->out_width;

            if (s->kind == GQA_SEGMENT_RANDOM) {
                draw(job, s, row + r, nr, from, n, at, n_cols);
                continue;
            }
            if (s->kind == GQA_SEGMENT_MIX) {
                const enum gqa_status mixed = mix_abreast(
                    job, s, from, n, row + r, nr, in_cols, at, n_cols);

                if (mixed != GQA_OK)
                    return mixed;
                continue;
            }
            for (uint64_t k = 0; k < nr; k++)
                pool(job, at + k * n_cols * job->out_width,
                     job->w->source +
                         (k * in_cols + s->source + from) * job->in_width,
                     s->source_stride * job->in_width, s->n_sources, n);
        }
    }
    return GQA_OK;
}

/* An unchanged parameter, perhaps in another dtype. */
static enum gqa_status produce_whole(const struct job *job, uint64_t row,
                                     uint64_t n_rows, uint64_t col,
                                     uint64_t n_cols, char *out)
{
    const bool same = job->t->param->dtype == job->t->dtype;
    const size_t bytes =
        same ? job->producer->scratch_bytes : job->producer->source_bytes;
    const uint64_t room = bytes / job->in_width;
    const bool transposed = is_transposed(job->t->param);
    uint64_t take_rows = transposed ? gqa_min_u64(n_rows, room)
                                    : gqa_min_u64(n_rows, room / n_cols);
    uint64_t take_cols;

    take_rows = take_rows ? take_rows : 1;
    take_cols = gqa_min_u64(n_cols, room / take_rows);
    for (uint64_t r = 0; r < n_rows; r += take_rows)
        for (uint64_t c = 0; c < n_cols; c += take_cols) {
            const uint64_t nr = gqa_min_u64(take_rows, n_rows - r);
            const uint64_t nc = gqa_min_u64(take_cols, n_cols - c);
            char *at = out + (r * n_cols + c) * job->out_width;
            enum gqa_status st;

            if (same) {
                st = read_rect(job, row + r, nr, col + c, nc, at, n_cols);
            } else {
                st = read_rect(job, row + r, nr, col + c, nc, job->w->source,
                               nc);
                for (uint64_t k = 0; st == GQA_OK && k < nr; k++)
                    pool(job, at + k * n_cols * job->out_width,
                         job->w->source + k * nc * job->in_width, 0, 1, nc);
            }
            if (st != GQA_OK)
                return st;
        }
    return GQA_OK;
}

/* --- Blocks -------------------------------------------------------------- */

/* The whole parameter is one tensor as it stands: bytes for bytes. */
static bool is_plain_copy(const struct gqa_plan_tensor *t)
{
    const struct gqa_view *view = &t->param->parts[0];

    return !t->segments && t->dtype == t->param->dtype &&
           t->param->n_parts == 1 && !view->transposed && view->first == 0 &&
           view->pitch == 0;
}

static enum gqa_status produce_rect(const struct job *job, uint64_t row,
                                    uint64_t n_rows, uint64_t col,
                                    uint64_t n_cols, char *out)
{
    if (!job->t->segments)
        return produce_whole(job, row, n_rows, col, n_cols, out);
    return job->t->axis == 0
               ? produce_stacked(job, row, n_rows, col, n_cols, out)
               : produce_abreast(job, row, n_rows, col, n_cols, out);
}

/* Elements [first, first + n): the rest of a row, whole rows, a beginning. */
static enum gqa_status produce_elements(const struct job *job, uint64_t first,
                                        uint64_t n, char *out)
{
    const uint64_t cols = job->t->cols;

    while (n > 0) {
        const uint64_t row = first / cols;
        const uint64_t col = first % cols;
        const uint64_t n_rows = col == 0 && n >= cols ? n / cols : 1;
        const uint64_t n_cols =
            col == 0 && n >= cols ? cols : gqa_min_u64(cols - col, n);
        const enum gqa_status st =
            produce_rect(job, row, n_rows, col, n_cols, out);

        if (st != GQA_OK)
            return st;
        first += n_rows * n_cols;
        n -= n_rows * n_cols;
        out += n_rows * n_cols * job->out_width;
    }
    return GQA_OK;
}

static void count(struct gqa_producer *producer, size_t tensor, const void *buf,
                  size_t n)
{
    const enum gqa_dtype dtype = producer->plan->tensors[tensor].dtype;
    uint64_t n_nan = 0;
    uint64_t n_inf = 0;

    if (!gqa_dtype_is_float(dtype))
        return;
    gqa_count_nonfinite(buf, dtype, n / (gqa_dtype_bits(dtype) / 8), &n_nan,
                        &n_inf);
    if (n_nan)
        atomic_fetch_add(&producer->counts[tensor].n_nan, n_nan);
    if (n_inf)
        atomic_fetch_add(&producer->counts[tensor].n_inf, n_inf);
}

static enum gqa_status copy(struct gqa_producer *producer, size_t tensor,
                            uint64_t offset, size_t n, char *out)
{
    const struct gqa_param *param = producer->plan->tensors[tensor].param;
    enum gqa_status st = GQA_OK;

    while (n > 0 && st == GQA_OK) {
        const size_t part = gqa_min_size(n, COPY_BYTES);
        const struct gqa_span span = {offset, part, part, 1};

        st = gqa_checkpoint_read(producer->checkpoint, param->parts[0].tensor,
                                 &span, out);
        if (st == GQA_OK)
            count(producer, tensor, out, part);
        offset += part;
        out += part;
        n -= part;
    }
    return st;
}

/* From a weight that lies in memory, in the parameter's dtype. */
static void convert_fitted(const struct job *job, const void *fitted,
                           uint64_t offset, size_t n, void *out)
{
    const uint64_t first = offset / job->out_width;

    pool(job, out, (const char *)fitted + first * job->in_width, 0, 1,
         n / job->out_width);
}

enum gqa_status gqa_produce(void *ctx, unsigned worker, size_t tensor,
                            uint64_t offset, size_t n, void *buf)
{
    struct gqa_producer *producer = ctx;
    const struct gqa_plan_tensor *t = &producer->plan->tensors[tensor];
    const struct job job = {
        .producer = producer,
        .t = t,
        .w = producer->workers[worker],
        .in_width = gqa_dtype_bits(t->param->dtype) / 8,
        .out_width = gqa_dtype_bits(t->dtype) / 8,
    };
    const void *fitted;
    enum gqa_status st;

    if ((fitted = gqa_plan_fitted(producer->plan, tensor))) {
        convert_fitted(&job, fitted, offset, n, buf);
        count(producer, tensor, buf, n);
        return GQA_OK;
    }
    if (is_plain_copy(t))
        return copy(producer, tensor, offset, n, buf);
    st = produce_elements(&job, offset / job.out_width, n / job.out_width, buf);
    if (st == GQA_OK)
        count(producer, tensor, buf, n);
    return st;
}

struct gqa_nonfinite gqa_producer_nonfinite(const struct gqa_producer *producer,
                                            size_t tensor)
{
    return (struct gqa_nonfinite){atomic_load(&producer->counts[tensor].n_nan),
                                  atomic_load(&producer->counts[tensor].n_inf)};
}

static enum gqa_status read_norm(struct folded_norm *out,
                                 const struct gqa_plan *plan,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_attention *a)
{
    const struct gqa_param *param = &plan->model->params[a->k_norm];
    void *room = calloc(param->rows, 2 * sizeof(double));
    bool differ = false;
    enum gqa_status st;

    out->weights = calloc(param->rows, sizeof *out->weights);
    if (!room || !out->weights) {
        free(room);
        return gqa_fail_nomem();
    }
    st = gqa_param_read(checkpoint, param, 0, param->rows, 0, 1, room, 1,
                        (char *)room + param->rows * sizeof(double));
    if (st == GQA_OK)
        gqa_load_f64(out->weights, room, param->dtype, param->rows);
    free(room);
    for (uint64_t i = 1; i < param->rows; i++)
        differ |= out->weights[i] != out->weights[0];
    out->same = differ ? 1 : out->weights[0];
    if (!differ) {
        free(out->weights);
        out->weights = NULL;
    }
    return st;
}

static enum gqa_status read_norms(struct gqa_producer *p)
{
    const struct gqa_plan *plan = p->plan;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < plan->model->n_attentions && st == GQA_OK; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];

        if (out->attention->full_norms && out->pooled < out->source)
            st = read_norm(&p->norms[i], plan, p->checkpoint, out->attention);
    }
    return st;
}

enum gqa_status gqa_producer_create(struct gqa_producer **out,
                                    const struct gqa_plan *plan,
                                    struct gqa_checkpoint *checkpoint,
                                    unsigned n_workers)
{
    const size_t mib = (size_t)1 << 20;
    struct gqa_producer *p = calloc(1, sizeof *p);
    enum gqa_status st;

    if (!p)
        return gqa_fail_nomem();
    p->plan = plan;
    p->checkpoint = checkpoint;
    p->n_workers = n_workers;
    /* Many workers share what few may have each. */
    p->source_bytes = clamp(32 * mib / n_workers, mib / 4, 2 * mib);
    p->scratch_bytes = clamp(48 * mib / n_workers, mib / 2, 4 * mib);
    p->workers = calloc(n_workers, sizeof *p->workers);
    p->counts = calloc(plan->model->n_params, sizeof *p->counts);
    p->norms = calloc(plan->model->n_attentions, sizeof *p->norms);
    if (!p->workers || !p->counts || !p->norms)
        goto no_memory;
    for (unsigned i = 0; i < n_workers; i++) {
        p->workers[i] = malloc(sizeof *p->workers[i]);
        if (!p->workers[i])
            goto no_memory;
        p->workers[i]->source = malloc(p->source_bytes);
        p->workers[i]->scratch = malloc(p->scratch_bytes);
        if (!p->workers[i]->source || !p->workers[i]->scratch)
            goto no_memory;
    }
    st = read_norms(p);
    if (st != GQA_OK) {
        gqa_producer_free(p);
        return st;
    }
    *out = p;
    return GQA_OK;
no_memory:
    gqa_producer_free(p);
    return gqa_fail_nomem();
}

void gqa_producer_free(struct gqa_producer *producer)
{
    if (!producer)
        return;
    for (unsigned i = 0; producer->workers && i < producer->n_workers; i++)
        if (producer->workers[i]) {
            free(producer->workers[i]->source);
            free(producer->workers[i]->scratch);
            free(producer->workers[i]);
        }
    for (size_t i = 0;
         producer->norms && i < producer->plan->model->n_attentions; i++)
        free(producer->norms[i].weights);
    free(producer->norms);
    free(producer->workers);
    free(producer->counts);
    free(producer);
}
