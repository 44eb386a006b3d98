#include "inspect/layer_groups.h"

#include <inttypes.h>

struct run {
    uint64_t first, last, pooled;
};

static void put_run(FILE *out, const struct run *run, bool *is_first)
{
    fprintf(out, "%s%" PRIu64, *is_first ? "" : ",", run->first);
    if (run->last > run->first)
        fprintf(out, "-%" PRIu64, run->last);
    fprintf(out, "=%" PRIu64, run->pooled);
    *is_first = false;
}

bool gqa_layer_groups_has(const struct gqa_inspection *in,
                          enum gqa_attention_kind kind)
{
    const struct gqa_trade_off *t = in->trade_off;

    for (size_t i = 0; i < t->n; i++)
        if (in->model->attentions[t->attentions[i]].kind == kind)
            return true;
    return false;
}

void gqa_layer_groups_put(FILE *out, const struct gqa_inspection *in,
                          enum gqa_attention_kind kind)
{
    const struct gqa_trade_off *t = in->trade_off;
    struct run run = {0};
    bool is_first = true, begun = false;

    for (size_t i = 0; i < t->n; i++) {
        const struct gqa_attention *a =
            &in->model->attentions[t->attentions[i]];
        const uint64_t pooled =
            gqa_trade_off_pick(t, in->similarity, i)->pooled;

        if (a->kind != kind)
            continue;
        if (begun && pooled == run.pooled && a->layer == run.last + 1) {
            run.last = a->layer;
            continue;
        }
        if (begun)
            put_run(out, &run, &is_first);
        run = (struct run){a->layer, a->layer, pooled};
        begun = true;
    }
    if (begun)
        put_run(out, &run, &is_first);
}
