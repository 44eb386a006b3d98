/* Where a run stops to be finite. */
#include <stdio.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "runtime/back/state.h"

/* Looked at together. */
enum { ELEMENTS = 1 << 18 };

static enum gqa_status look(bool *finite, const struct gqa_tape *t,
                            const struct gqa_tape_stack *s, const void *x,
                            void *room)
{
    const struct gqa_runtime *r = t->runtime;
    const uint64_t width = gqa_dtype_bits(r->real) / 8;
    const uint64_t all = s->n_rows * gqa_tape_row_width(t, s);
    uint64_t n_nan = 0, n_inf = 0;
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0, n; i < all && st == GQA_OK; i += n) {
        n = gqa_min_u64(ELEMENTS, all - i);
        st = r->backend->download(r->device, room, (const char *)x + i * width,
                                  n * width);
        if (st == GQA_OK)
            gqa_count_nonfinite(room, r->real, (size_t)n, &n_nan, &n_inf);
    }
    *finite = n_nan + n_inf == 0;
    return st;
}

/* The first stream of a stack that is not finite. */
static enum gqa_status find(bool *found, char *out, size_t size,
                            const struct gqa_tape *t,
                            const struct gqa_tape_stack *s, void *room)
{
    const char *name = gqa_stack_name(s->network->stack);
    bool finite = true;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i <= s->network->n_blocks && st == GQA_OK; i++) {
        st = look(&finite, t, s, s->x[i], room);
        if (st != GQA_OK || finite)
            continue;
        if (i == 0)
            snprintf(out, size, "the embeddings of the %s", name);
        else
            snprintf(out, size, "layer %zu of the %s", i - 1, name);
        *found = true;
        return GQA_OK;
    }
    if (st == GQA_OK)
        st = look(&finite, t, s, s->normed, room);
    if (st == GQA_OK && !finite) {
        snprintf(out, size, "the last norm of the %s", name);
        *found = true;
    }
    return st;
}

enum gqa_status gqa_tape_find_fault(char *out, size_t size,
                                    const struct gqa_tape *t)
{
    void *room = malloc(ELEMENTS * sizeof(double));
    enum gqa_status st = room ? GQA_OK : gqa_fail_nomem();
    bool found = false;

    snprintf(out, size, "the unembedding");
    for (size_t i = 0; i < t->n_stacks && st == GQA_OK && !found; i++)
        st = find(&found, out, size, t, &t->stacks[i], room);
    free(room);
    return st;
}
