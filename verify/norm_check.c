#include "verify/norm_check.h"

#include <math.h>
#include <stdlib.h>

/* Elements read at a time. */
enum { ROOM = 65536 };

/* Rows [row, row + n_rows) of a parameter, as doubles. */
static enum gqa_status read_rows(double *out, const struct gqa_subject *subject,
                                 size_t param, uint64_t row, uint64_t n_rows,
                                 uint64_t col, uint64_t n_cols)
{
    const struct gqa_param *p = &subject->model->params[param];
    const size_t n = (size_t)(n_rows * n_cols);
    void *room = calloc(n ? n : 1, 2 * sizeof *out);
    enum gqa_status st;

    if (!room)
        return gqa_fail_nomem();
    st = gqa_param_read(subject->checkpoint, p, row, n_rows, col, n_cols, room,
                        n_cols, (char *)room + n * sizeof *out);
    if (st == GQA_OK)
        gqa_load_f64(out, room, p->dtype, n);
    free(room);
    return st;
}

static enum gqa_status read_all(double **out, size_t *n,
                                const struct gqa_subject *subject, size_t param)
{
    const struct gqa_param *p = &subject->model->params[param];

    *n = 0;
    *out = NULL;
    if (!gqa_dtype_is_float(p->dtype))
        return GQA_OK;
    if (!(*out = calloc(p->rows + 1, sizeof **out)))
        return gqa_fail_nomem();
    *n = (size_t)p->rows;
    return read_rows(*out, subject, param, 0, p->rows, 0, 1);
}

static bool are_one(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0])
            return false;
    return true;
}

enum gqa_status gqa_norm_read(struct gqa_key_norm *out,
                              const struct gqa_subject *original,
                              size_t attention)
{
    const struct gqa_attention *a = &original->model->attentions[attention];
    enum gqa_status st;

    if (!a->full_norms)
        return GQA_OK;
    st = read_all(&out->all, &out->n, original, a->k_norm);
    if (st == GQA_OK && out->n && !are_one(out->all, out->n))
        out->weights = out->all;
    return st;
}

void gqa_norm_clear(struct gqa_key_norm *norm)
{
    free(norm->all);
}

/* Root of the mean square of a matrix. */
static enum gqa_status size_of(double *out, const struct gqa_subject *subject,
                               size_t param)
{
    const struct gqa_param *p = &subject->model->params[param];
    const uint64_t take = p->cols < ROOM ? ROOM / p->cols : 1;
    const uint64_t n_cols = p->cols < ROOM ? p->cols : ROOM;
    double *values = malloc(ROOM * sizeof *values);
    double squares = 0;
    enum gqa_status st = values ? GQA_OK : gqa_fail_nomem();

    for (uint64_t row = 0; row < p->rows && st == GQA_OK; row += take)
        for (uint64_t col = 0; col < p->cols && st == GQA_OK; col += n_cols) {
            const uint64_t nr = p->rows - row < take ? p->rows - row : take;
            const uint64_t nc = p->cols - col < n_cols ? p->cols - col : n_cols;

            st = read_rows(values, subject, param, row, nr, col, nc);
            for (uint64_t i = 0; i < nr * nc && st == GQA_OK; i++)
                squares += values[i] * values[i];
        }
    free(values);
    *out = sqrt(squares / ((double)p->rows * (double)p->cols));
    return st;
}

/* Half of what two neighbours of a type differ by, next to 1. */
static double rounding_of(enum gqa_dtype dtype)
{
    return dtype == GQA_BF16  ? 0x1p-9
           : dtype == GQA_F16 ? 0x1p-12
           : dtype == GQA_F32 ? 0x1p-25
                              : 0x1p-54;
}

/* Relative; of a norm that was rounded in each of the steps, made of weights
 * that were. was: the original's type, which all may have been rounded to. */
static double tolerance_of(const struct gqa_heads_check *check,
                           enum gqa_dtype dtype, enum gqa_dtype was)
{
    double most = rounding_of(dtype);
    const size_t n_steps = 1 + check->hypothesis.n_then;

    if (check->hypothesis.is_widened)
        most = fmax(most, rounding_of(was));
    for (size_t i = 0; i < check->n_through; i++)
        most = fmax(most, rounding_of(check->through[i]));
    for (size_t i = 0; i < check->hypothesis.n_then; i++)
        if (!check->hypothesis.then[i].keeps_dtype)
            most = fmax(most, rounding_of(check->hypothesis.then[i].dtype));
    if (!check->hypothesis.keeps_dtype && check->hypothesis.n_then)
        most = fmax(most, rounding_of(check->hypothesis.dtype));
    return 4 * (double)n_steps * most + 1e-12;
}

static double stored(double x, enum gqa_dtype dtype)
{
    unsigned char room[sizeof x];

    gqa_store_f64(room, dtype, &x, 1);
    gqa_load_f64(&x, room, dtype, 1);
    return x;
}

/* What a norm's number was rounded to: GGUF files have it in float32 whatever
 * keys are in. */
static enum gqa_dtype rounded_to(const struct gqa_param *norm,
                                 const struct gqa_param *keys, double number)
{
    return norm->dtype == GQA_F32 && gqa_dtype_is_half(keys->dtype) &&
                   stored(number, keys->dtype) == number
               ? keys->dtype
               : norm->dtype;
}

static bool is_random(const struct gqa_hypothesis *h, uint64_t n_heads)
{
    if (h->pooling == GQA_POOL_RANDOM && h->pooled < n_heads)
        return true;
    for (size_t i = 0; i < h->n_then; i++)
        if (h->then[i].pooling == GQA_POOL_RANDOM &&
            h->then[i].pooled < h->then[i].source)
            return true;
    return false;
}

static enum gqa_status check_number(struct gqa_finding *finding,
                                    const struct gqa_key_norm *norm,
                                    const struct gqa_heads_check *check,
                                    const double *values, size_t n)
{
    const struct gqa_attention *a =
        &check->original->model->attentions[check->attention];
    const struct gqa_attention *b =
        &check->converted->model->attentions[check->attention];
    const struct gqa_param *p = &check->converted->model->params[b->k_norm];
    const struct gqa_param *keys =
        &check->converted->model->params[b->k.weight];
    const enum gqa_dtype was = check->original->model->params[a->k_norm].dtype;
    double from = 0, to = 0, expected;
    enum gqa_status st;

    if (!are_one(values, n)) {
        gqa_note(finding,
                 "'%.300s' is not one number, which the norm of pooled keys "
                 "must be: its weights move into them",
                 p->name);
        return GQA_OK;
    }
    /* What was drawn has no size to keep; a later mean of it is not judged. */
    if (is_random(&check->hypothesis, a->n_kv_heads))
        return GQA_OK;
    if ((st = size_of(&from, check->original, a->k.weight)) != GQA_OK ||
        (st = size_of(&to, check->converted, b->k.weight)) != GQA_OK)
        return st;
    expected = (norm->weights ? 1 : norm->all[0]) * to / from;
    if (from > 0 && !(fabs(values[0] - expected) <=
                      tolerance_of(check, rounded_to(p, keys, values[0]), was) *
                          fabs(expected)))
        gqa_note(finding,
                 "'%.300s' is %.9g, and keys that are pooled so ask for %.9g",
                 p->name, values[0], expected);
    return GQA_OK;
}

/* The norm's weight behind all types that it was rounded to. */
static double pass(double x, const struct gqa_heads_check *check,
                   enum gqa_dtype dtype)
{
    for (size_t i = 0; i < check->n_through; i++)
        x = stored(x, check->through[i]);
    return stored(x, dtype);
}

static void check_same(struct gqa_finding *finding,
                       const struct gqa_key_norm *norm,
                       const struct gqa_heads_check *check,
                       const double *values, size_t n)
{
    const struct gqa_attention *b =
        &check->converted->model->attentions[check->attention];
    const struct gqa_param *p = &check->converted->model->params[b->k_norm];
    const uint64_t d = b->head_dim, copies = n / norm->n;

    for (size_t i = 0; i < n; i++) {
        const double was = norm->all[i / d / copies * d + i % d];

        if (values[i] == pass(was, check, p->dtype))
            continue;
        gqa_note(finding, "'%.300s', element %zu: %.9g, in the original %.9g",
                 p->name, i, values[i], was);
        return;
    }
}

enum gqa_status gqa_norm_check(struct gqa_finding *finding,
                               const struct gqa_key_norm *norm,
                               const struct gqa_heads_check *check)
{
    const struct gqa_attention *a =
        &check->original->model->attentions[check->attention];
    const struct gqa_attention *b =
        &check->converted->model->attentions[check->attention];
    double *values = NULL;
    size_t n = 0;
    enum gqa_status st = GQA_OK;

    if (!b->full_norms) {
        gqa_note(finding, "the norm of all keys together is missing");
        return GQA_OK;
    }
    st = read_all(&values, &n, check->converted, b->k_norm);
    if (st == GQA_OK && n) {
        if (gqa_hypothesis_groups(&check->hypothesis) < a->n_kv_heads)
            st = check_number(finding, norm, check, values, n);
        else
            check_same(finding, norm, check, values, n);
    }
    free(values);
    return st;
}
