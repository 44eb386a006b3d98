#include "uptrain/trainee_runs.h"

#include <stdint.h>
#include <stdlib.h>

struct entry {
    const struct gqa_trainee *trainee;
    size_t index;
};

static int by_address(const void *a_, const void *b_)
{
    const struct entry *a = a_, *b = b_;
    const uintptr_t x = (uintptr_t)a->trainee->weights;
    const uintptr_t y = (uintptr_t)b->trainee->weights;

    return (x > y) - (x < y);
}

static uint64_t size_of(const struct gqa_trainee *t)
{
    return t->n_rows * t->n_cols;
}

static bool follows(const struct gqa_trainee *run, const struct gqa_trainee *t,
                    size_t wide)
{
    const uint64_t n = size_of(run);

    return (const char *)t->weights == (const char *)run->weights + n * wide &&
           (const char *)t->gradients ==
               (const char *)run->gradients + n * wide &&
           !run->copy == !t->copy && run->copy_dtype == t->copy_dtype &&
           (!t->copy ||
            (const char *)t->copy == (const char *)run->copy +
                                         n * gqa_dtype_bits(t->copy_dtype) / 8);
}

static void find_runs(struct gqa_trainee_runs *out, const struct entry *sorted,
                      size_t n, size_t wide)
{
    for (size_t i = 0; i < n; i++) {
        const struct gqa_trainee *t = sorted[i].trainee;
        struct gqa_trainee *run = out->n ? &out->items[out->n - 1] : NULL;
        uint64_t place = 0;

        if (run && follows(run, t, wide)) {
            place = size_of(run);
            run->n_cols += size_of(t);
        } else {
            run = &out->items[out->n++];
            *run = *t;
            run->n_rows = 1;
            run->n_cols = size_of(t);
        }
        out->run[sorted[i].index] = out->n - 1;
        out->place[sorted[i].index] = place;
    }
}

enum gqa_status gqa_trainee_runs_create(struct gqa_trainee_runs *out,
                                        const struct gqa_trainee *trainees,
                                        size_t n, size_t wide)
{
    struct gqa_trainee_runs runs = {.items = calloc(n + 1, sizeof *runs.items),
                                    .run = calloc(n + 1, sizeof *runs.run),
                                    .place = calloc(n + 1, sizeof *runs.place)};
    struct entry *sorted = calloc(n + 1, sizeof *sorted);
    enum gqa_status st = GQA_OK;

    if (runs.items && runs.run && runs.place && sorted) {
        for (size_t i = 0; i < n; i++)
            sorted[i] = (struct entry){&trainees[i], i};
        qsort(sorted, n, sizeof *sorted, by_address);
        find_runs(&runs, sorted, n, wide);
        *out = runs;
    } else {
        gqa_trainee_runs_clear(&runs);
        st = gqa_fail_nomem();
    }
    free(sorted);
    return st;
}

void gqa_trainee_runs_clear(struct gqa_trainee_runs *runs)
{
    free(runs->items);
    free(runs->run);
    free(runs->place);
    *runs = (struct gqa_trainee_runs){0};
}
