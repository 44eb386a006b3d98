/* Heads of queries, keys and values that share a tensor, in a wrong order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/mistakes.h"

#define SAMPLE ((uint64_t)1 << 20)

enum { MAX_BLOCKS = 1024, SHOWN = 8 };

/* What must be at a place: head `head` of q, k or v. */
struct block {
    char role;
    uint64_t head, group;
};

struct blocks {
    uint64_t n, dim, cols;
    struct block *wanted; /* [n] */
    double *expected;     /* [n][dim * cols] */
    struct gqa_head_matrix actual;
    size_t *found; /* [n]: whose place the block should have, or n */
};

/* Head `group` of the converted model, from `members` heads of the original. */
static void make_expected(double *out, const struct gqa_head_matrix *from,
                          uint64_t group, uint64_t members, bool is_mean,
                          enum gqa_dtype dtype)
{
    const size_t n = (size_t)(from->dim * from->cols);
    const double *first = from->at + group * members * n;
    unsigned char stored[sizeof(double)];

    for (size_t e = 0; e < n; e++) {
        out[e] = first[e];
        for (uint64_t j = 1; j < members && is_mean; j++)
            out[e] += first[j * n + e];
        if (is_mean)
            out[e] /= (double)members;
        gqa_store_f64(stored, dtype, &out[e], 1);
        gqa_load_f64(&out[e], stored, dtype, 1);
    }
}

static enum gqa_status expect(struct blocks *b,
                              const struct gqa_heads_check *check, char role,
                              const struct gqa_slice *from,
                              const struct gqa_slice *to, uint64_t pooled)
{
    const struct gqa_model *original = check->original->model;
    const uint64_t members = from->n_heads / pooled;
    uint64_t *first = calloc((size_t)from->n_heads, sizeof *first);
    struct gqa_head_matrix heads = {.at = NULL};
    enum gqa_status st = first ? GQA_OK : gqa_fail_nomem();

    for (uint64_t h = 0; h < from->n_heads && first; h++)
        first[h] = gqa_slice_head(from, b->dim, h);
    if (st == GQA_OK)
        st = gqa_head_matrix_load(&heads, check->original->checkpoint,
                                  &original->params[from->weight], from->axis,
                                  first, from->n_heads, b->dim,
                                  from->n_heads * b->dim * b->cols);
    for (uint64_t h = 0; h < to->n_heads && st == GQA_OK; h++) {
        const uint64_t place = gqa_slice_head(to, b->dim, h) / b->dim;
        const uint64_t group = h / (to->n_heads / pooled);

        b->wanted[place] = (struct block){role, h, group};
        make_expected(b->expected + place * b->dim * b->cols, &heads, group,
                      members, check->hypothesis.pooling != GQA_POOL_FIRST,
                      b->actual.dtype);
    }
    free(heads.at);
    free(first);
    return st;
}

static bool equal(const struct blocks *b, size_t actual, size_t expected)
{
    const size_t n = (size_t)(b->dim * b->cols);
    const double *x = b->actual.at + actual * n;
    const double *y = b->expected + expected * n;

    for (size_t e = 0; e < n; e++)
        if (x[e] != y[e])
            return false;
    return true;
}

/* Whether each block is one that must be somewhere, and not all in place. */
static bool are_moved(struct blocks *b)
{
    bool moved = false;

    for (size_t p = 0; p < b->n; p++) {
        size_t e = p;

        if (!equal(b, p, e))
            for (e = 0; e < b->n && !equal(b, p, e);)
                e++;
        if (e == b->n)
            return false;
        b->found[p] = e;
        moved |= e != p;
    }
    return moved;
}

/* As many as are shown, of many those from the first that is out of place. */
static void list(char *out, size_t size, const struct blocks *b, bool found)
{
    size_t used = 0, start = 0;

    while (b->n > SHOWN && b->found[start] == start)
        start++;
    for (size_t p = start; p < b->n && p < start + SHOWN; p++) {
        const struct block *w = &b->wanted[found ? b->found[p] : p];
        const char *first = start > 0 ? "..." : "";
        const int n = snprintf(out + used, size - used, "%s%c%" PRIu64,
                               p > start ? " " : first, w->role, w->head);

        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
    if (b->n > start + SHOWN)
        snprintf(out + used, size - used, "...");
}

static enum gqa_status allocate(struct blocks *b)
{
    const size_t n = (size_t)(b->n * b->dim * b->cols);

    b->wanted = calloc((size_t)b->n, sizeof *b->wanted);
    b->expected = calloc(n + 1, sizeof *b->expected);
    b->found = calloc((size_t)b->n, sizeof *b->found);
    return b->wanted && b->expected && b->found ? GQA_OK : gqa_fail_nomem();
}

static enum gqa_status load_actual(struct blocks *b,
                                   const struct gqa_heads_check *check,
                                   const struct gqa_slice *slice)
{
    const struct gqa_model *model = check->converted->model;
    uint64_t *first = calloc((size_t)b->n, sizeof *first);
    enum gqa_status st;

    if (!first)
        return gqa_fail_nomem();
    for (uint64_t p = 0; p < b->n; p++)
        first[p] = p * b->dim;
    st = gqa_head_matrix_load(&b->actual, check->converted->checkpoint,
                              &model->params[slice->weight], slice->axis, first,
                              b->n, b->dim, SAMPLE);
    b->cols = b->actual.cols;
    free(first);
    return st;
}

enum gqa_status gqa_mistakes_of_order(bool *found, struct gqa_finding *cause,
                                      const struct gqa_heads_check *check)
{
    const struct gqa_attention *from =
        &check->original->model->attentions[check->attention];
    const struct gqa_attention *to =
        &check->converted->model->attentions[check->attention];
    const uint64_t pooled = check->hypothesis.pooled;
    struct blocks b = {.n = to->n_heads + 2 * to->n_kv_heads,
                       .dim = to->head_dim};
    char is[128] = "", must[128] = "";
    enum gqa_status st;

    *found = false;
    if (b.n > MAX_BLOCKS || check->hypothesis.pooling == GQA_POOL_RANDOM)
        return GQA_OK;
    st = load_actual(&b, check, &to->q);
    if (st == GQA_OK)
        st = allocate(&b);
    if (st == GQA_OK)
        st = expect(&b, check, 'q', &from->q, &to->q, from->n_heads);
    if (st == GQA_OK)
        st = expect(&b, check, 'k', &from->k, &to->k, pooled);
    if (st == GQA_OK)
        st = expect(&b, check, 'v', &from->v, &to->v, pooled);
    if (st == GQA_OK && are_moved(&b)) {
        *found = true;
        list(is, sizeof is, &b, true);
        list(must, sizeof must, &b, false);
        gqa_note(cause,
                 "the heads lie in a wrong order in the tensor: %s, not %s", is,
                 must);
    }
    free(b.wanted);
    free(b.expected);
    free(b.found);
    free(b.actual.at);
    return st;
}
