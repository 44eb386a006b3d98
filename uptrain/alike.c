#include "uptrain/alike.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/workers.h"
#include "formats/recorded.h"
#include "runtime/uses.h"

/* Compared at a time. */
enum { ELEMENTS = 1 << 16 };

/* --- Values --------------------------------------------------------------- */

/* Types through which values may have come; the first: none. */
static const enum gqa_dtype ways[] = {GQA_F64, GQA_F32, GQA_BF16, GQA_F16};
enum { N_WAYS = sizeof ways / sizeof *ways };

struct comparing {
    struct gqa_pair *pair;
    atomic_size_t next;
};

/* [ELEMENTS] each, the first two of any type. */
struct buffers {
    double *values, *scratch, *teacher, *student, *rounded;
};

static void round_to(double *values, enum gqa_dtype dtype, size_t n,
                     double *scratch)
{
    gqa_store_f64(scratch, dtype, values, n);
    gqa_load_f64(values, scratch, dtype, n);
}

/* A block of both, as doubles: which ways from one to the other are still
 * possible, and what is unlike. */
static void compare_values(bool possible[N_WAYS], struct gqa_difference_of *d,
                           const struct buffers *b, enum gqa_dtype to,
                           uint64_t n)
{
    for (size_t w = 0; w < N_WAYS; w++) {
        if (!possible[w])
            continue;
        memcpy(b->rounded, b->teacher, n * sizeof *b->rounded);
        round_to(b->rounded, ways[w], n, b->scratch);
        round_to(b->rounded, to, n, b->scratch);
        for (uint64_t i = 0; i < n && possible[w]; i++)
            possible[w] = b->rounded[i] == b->student[i];
    }
    memcpy(b->rounded, b->teacher, n * sizeof *b->rounded);
    round_to(b->rounded, to, n, b->scratch);
    for (uint64_t i = 0; i < n; i++) {
        if (b->rounded[i] == b->student[i])
            continue;
        d->n_values++;
        d->largest = fmax(d->largest, fabs(b->rounded[i] - b->student[i]));
    }
}

static enum gqa_status read_block(double *out, const struct gqa_side *side,
                                  size_t i, uint64_t row, uint64_t n_rows,
                                  uint64_t col, uint64_t n_cols,
                                  const struct buffers *b)
{
    const struct gqa_param *p = &side->model->params[i];
    const enum gqa_status st =
        gqa_param_read(side->checkpoint, p, row, n_rows, col, n_cols, b->values,
                       n_cols, b->scratch);

    if (st == GQA_OK)
        gqa_load_f64(out, b->values, p->dtype, (size_t)(n_rows * n_cols));
    return st;
}

static enum gqa_status compare_param(struct gqa_pair *p, size_t i,
                                     const struct buffers *b)
{
    const struct gqa_param *to = &p->student.model->params[i];
    const size_t k = p->partners[i];
    const uint64_t columns = gqa_min_u64(to->cols, ELEMENTS);
    const uint64_t rows = ELEMENTS / gqa_max_u64(columns, 1);
    bool possible[N_WAYS] = {true, true, true, true};
    struct gqa_difference_of d = {.n_values = 0};

    for (uint64_t r = 0; r < to->rows; r += rows)
        for (uint64_t c = 0; c < to->cols; c += columns) {
            const uint64_t nr = gqa_min_u64(rows, to->rows - r);
            const uint64_t nc = gqa_min_u64(columns, to->cols - c);
            enum gqa_status st;

            if (gqa_interrupt_pending())
                return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            st = read_block(b->teacher, &p->teacher, k, r, nr, c, nc, b);
            if (st == GQA_OK)
                st = read_block(b->student, &p->student, i, r, nr, c, nc, b);
            if (st != GQA_OK)
                return st;
            compare_values(possible, &d, b, to->dtype, nr * nc);
        }
    for (size_t w = 0; w < N_WAYS; w++)
        p->differs[i] = p->differs[i] && !possible[w];
    p->differences[i] = d;
    return GQA_OK;
}

static bool is_comparable(const struct gqa_pair *p, size_t i)
{
    return p->differs[i] && p->partners[i] != GQA_NO_PARAM &&
           gqa_dtype_is_float(p->student.model->params[i].dtype) &&
           gqa_dtype_is_float(p->teacher.model->params[p->partners[i]].dtype);
}

static enum gqa_status compare_some(void *ctx, unsigned worker)
{
    struct comparing *c = ctx;
    const size_t n = ELEMENTS;
    double *room = malloc(5 * n * sizeof *room);
    const struct buffers b = {room, room + n, room + 2 * n, room + 3 * n,
                              room + 4 * n};
    enum gqa_status st = room ? GQA_OK : gqa_fail_nomem();

    (void)worker;
    while (st == GQA_OK) {
        const size_t i = atomic_fetch_add(&c->next, 1);

        if (i >= c->pair->student.model->n_params)
            break;
        if (is_comparable(c->pair, i))
            st = compare_param(c->pair, i, &b);
    }
    free(room);
    return st;
}

enum gqa_status gqa_alike_compare(struct gqa_pair *pair, unsigned n_threads)
{
    struct comparing c = {.pair = pair};

    return gqa_workers_run(n_threads, compare_some, &c);
}

/* --- What may differ ------------------------------------------------------ */

/* What grouping changes: of some parameters true. */
static void mark_grouped(bool *marks, const struct gqa_network *network)
{
    const struct gqa_model *model = network->model;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v, &a->o};

        for (size_t k = 0; k < 4; k++) {
            if (slices[k]->weight != GQA_NO_PARAM)
                marks[slices[k]->weight] = true;
            if (slices[k]->bias != GQA_NO_PARAM)
                marks[slices[k]->bias] = true;
        }
        /* A norm of all keys together moves into them, and is as wide as
         * they are. */
        if (a->full_norms)
            marks[a->k_norm] = true;
    }
    /* Tables whose columns go where heads go. */
    for (size_t i = 0; i < network->n_stacks; i++)
        for (size_t j = 0; j < network->stacks[i].n_blocks; j++) {
            const struct gqa_block *b = &network->stacks[i].blocks[j];

            if (b->self.bias.table != GQA_NO_PARAM)
                marks[b->self.bias.table] = true;
            if (b->self.summaries.size)
                marks[b->self.summaries.bias.table] = true;
            if (b->has_cross && b->cross.bias.table != GQA_NO_PARAM)
                marks[b->cross.bias.table] = true;
        }
}

/* What training has changed since: names are those of the checkpoint. */
static void mark_trained(bool *marks, const struct gqa_side *student)
{
    json_t *recipe = gqa_recorded_recipe(student->checkpoint);

    for (const json_t *at = recipe; at;
         at = json_object_get(json_object_get(at, "source"), "recipe")) {
        const json_t *trained =
            json_object_get(json_object_get(at, "training"), "trained");

        for (size_t i = 0; i < json_array_size(trained); i++) {
            const char *name = json_string_value(json_array_get(trained, i));
            size_t k;

            if (name && gqa_model_find(student->model, name, &k))
                marks[k] = true;
        }
    }
    json_decref(recipe);
}

/* --- Refusing ------------------------------------------------------------- */

static const char ask[] = "--allow-different trains it all the same";

static enum gqa_status refuse(const struct gqa_pair *p, size_t i)
{
    const char *name = p->student.model->params[i].name;
    const struct gqa_difference_of *d = &p->differences[i];
    char what[96] = "its values";

    if (p->partners[i] == GQA_NO_PARAM)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: '%s' is not in %s with this shape: they are not "
                        "one model, grouped; %s",
                        p->student.path, name, p->teacher.path, ask);
    if (d->n_values > 0)
        snprintf(what, sizeof what,
                 "%" PRIu64 " of its %" PRIu64 " values, by up to %.3g,",
                 d->n_values, p->student.model->params[i].n_elements,
                 d->largest);
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: '%s': %s are not those of %s, and grouping changes "
                    "none: they are not one model, grouped; %s",
                    p->student.path, name, what, p->teacher.path, ask);
}

static enum gqa_status check_finite(const struct gqa_side *side,
                                    const bool *used)
{
    for (size_t i = 0; i < side->model->n_params; i++) {
        const uint64_t *n = side->n_nonfinite[i];

        if (n[0] > 0 || (n[1] > 0 && used[i]))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: '%s' has %s (%" PRIu64 " of %" PRIu64
                            " values): nothing good comes of "
                            "training with it",
                            side->path, side->model->params[i].name,
                            n[0] > 0 ? "NaN" : "infinity",
                            n[0] > 0 ? n[0] : n[1],
                            side->model->params[i].n_elements);
    }
    return GQA_OK;
}

/* What the teacher computes with, and the student has not. */
static enum gqa_status check_missing(const struct gqa_pair *p,
                                     const bool *grouped, bool *has)
{
    const struct gqa_model *t = p->teacher.model;

    for (size_t i = 0; i < p->student.model->n_params; i++)
        if (p->partners[i] != GQA_NO_PARAM)
            has[p->partners[i]] = true;
    for (size_t k = 0; k < t->n_params; k++)
        if (p->teacher_used[k] && !grouped[k] && !has[k])
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: '%s' is not in %s with this shape: they are "
                            "not one model, grouped; %s",
                            p->teacher.path, t->params[k].name, p->student.path,
                            ask);
    return GQA_OK;
}

static enum gqa_status check_same(const struct gqa_pair *p)
{
    const size_t n = p->student.model->n_params;
    const size_t n_teacher = p->teacher.model->n_params;
    bool *grouped = calloc(n + 1, sizeof *grouped);
    bool *of_teacher = calloc(2 * n_teacher + 1, sizeof *of_teacher);
    enum gqa_status st = grouped && of_teacher ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK) {
        mark_grouped(grouped, p->student.network);
        mark_trained(grouped, &p->student);
        mark_grouped(of_teacher, p->teacher.network);
    }
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        if (p->used[i] && p->differs[i] && !grouped[i])
            st = refuse(p, i);
    if (st == GQA_OK)
        st = check_missing(p, of_teacher, of_teacher + n_teacher);
    free(grouped);
    free(of_teacher);
    return st;
}

enum gqa_status gqa_alike_check(const struct gqa_pair *pair, bool may_differ)
{
    enum gqa_status st = check_finite(&pair->teacher, pair->teacher_used);

    if (st == GQA_OK)
        st = check_finite(&pair->student, pair->used);
    return st == GQA_OK && !may_differ ? check_same(pair) : st;
}
