#include "formats/hdf5/candidates.h"

#include <stdlib.h>
#include <string.h>

enum gqa_status gqa_h5_candidates_add(struct gqa_h5_candidates *list,
                                      const struct gqa_h5_object *object,
                                      const char *name)
{
    if (list->n == list->room) {
        const size_t room = 2 * list->room + 64;
        struct gqa_h5_candidate *larger =
            realloc(list->items, room * sizeof *larger);

        if (!larger)
            return gqa_fail_nomem();
        list->items = larger;
        list->room = room;
    }
    list->items[list->n] = (struct gqa_h5_candidate){
        .name = strdup(name), .object = object, .order = list->n};
    if (!list->items[list->n].name)
        return gqa_fail_nomem();
    list->n++;
    return GQA_OK;
}

void gqa_h5_candidates_clear(struct gqa_h5_candidates *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i].name);
    free(list->items);
}

static int compare_names(const void *a, const void *b)
{
    const struct gqa_h5_candidate *x = a;
    const struct gqa_h5_candidate *y = b;
    const int names = strcmp(x->name, y->name);

    return names != 0 ? names : (x->order > y->order) - (x->order < y->order);
}

static int compare_order(const void *a, const void *b)
{
    const struct gqa_h5_candidate *x = a;
    const struct gqa_h5_candidate *y = b;

    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Bring those of one name together, at the place of the first. */
static void group_candidates(struct gqa_h5_candidate *candidates, size_t n)
{
    if (n == 0)
        return;
    qsort(candidates, n, sizeof *candidates, compare_names);
    for (size_t i = 0; i < n; i++)
        candidates[i].first =
            i > 0 && strcmp(candidates[i].name, candidates[i - 1].name) == 0
                ? candidates[i - 1].first
                : candidates[i].order;
    qsort(candidates, n, sizeof *candidates, compare_order);
}

static bool same_values(const struct gqa_h5_dataset *a,
                        const struct gqa_h5_dataset *b)
{
    return a->layout == GQA_H5_CONTIGUOUS && b->layout == GQA_H5_CONTIGUOUS &&
           a->offset == b->offset && a->big_endian == b->big_endian;
}

/* Add to the variable that is last in the table. */
static enum gqa_status add_copy(struct gqa_h5_table *table,
                                const struct gqa_h5_dataset *d)
{
    struct gqa_h5_variable *v = &table->variables[table->n_variables - 1];
    const struct gqa_h5_dataset *first = &table->datasets[v->first];
    struct gqa_h5_dataset *copy = &table->datasets[table->n_datasets];

    if (v->n_copies > 0) {
        if (d->dtype != first->dtype || d->rank != first->rank ||
            memcmp(d->shape, first->shape, d->rank * sizeof *d->shape) != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s and %s are one variable (%s), but differ in "
                            "shape or type",
                            first->path, d->path, v->name);
        if (same_values(d, first))
            return GQA_OK;
    }
    *copy = *d;
    copy->path = strdup(d->path);
    table->n_datasets++;
    if (!copy->path)
        return gqa_fail_nomem();
    v->n_copies++;
    return GQA_OK;
}

enum gqa_status gqa_h5_candidates_fill(struct gqa_h5_table *t,
                                       struct gqa_h5_candidates *list)
{
    enum gqa_status st = GQA_OK;

    t->variables = calloc(list->n + 1, sizeof *t->variables);
    t->datasets = calloc(list->n + 1, sizeof *t->datasets);
    if (!t->variables || !t->datasets)
        return gqa_fail_nomem();
    group_candidates(list->items, list->n);
    for (size_t i = 0; i < list->n && st == GQA_OK; i++) {
        struct gqa_h5_candidate *c = &list->items[i];

        if (i == 0 || c->first != list->items[i - 1].first) {
            struct gqa_h5_variable *v = &t->variables[t->n_variables++];

            v->first = t->n_datasets;
            v->name = c->name;
            c->name = NULL;
        }
        st = add_copy(t, &c->object->dataset);
    }
    return st;
}
