/* Steps that cannot be made. */
#include <math.h>
#include <stdio.h>

#include "uptrain/trainer_state.h"

/* Trainee i's gradient alone. */
static enum gqa_status is_finite(bool *out, struct gqa_trainer *t, size_t i)
{
    double square = 0;
    enum gqa_status st = t->backend->zero(t->device, t->sums, sizeof square);

    if (st == GQA_OK)
        st = t->backend->gradients->norm2(t->device, t->sums,
                                          t->trainees[i].gradients,
                                          gqa_trainer_values(t, i));
    if (st == GQA_OK)
        st = t->backend->download(t->device, &square, t->sums, sizeof square);
    *out = isfinite(square);
    return st;
}

/*
 * Gradients go from the last layer to the first, and what is not finite goes
 * with them: the last attention that has such a one is where it began.
 */
static enum gqa_status find_culprit(const char **name, struct gqa_trainer *t)
{
    const struct gqa_model *model = t->pair->student.model;
    size_t last = 0, found = GQA_NO_PARAM;

    for (size_t i = 0; i < t->n; i++) {
        size_t place = 0;
        bool finite = true;
        const enum gqa_status st = is_finite(&finite, t, i);

        if (st != GQA_OK)
            return st;
        if (finite)
            continue;
        for (size_t k = 0; k < model->n_attentions; k++) {
            const struct gqa_attention *a = &model->attentions[k];
            const size_t param = t->trainees[i].param;

            if (param == a->q.weight || param == a->k.weight ||
                param == a->v.weight || param == a->o.weight)
                place = k + 1;
        }
        if (found == GQA_NO_PARAM || place > last) {
            found = i;
            last = place;
        }
    }
    *name = found == GQA_NO_PARAM
                ? NULL
                : model->params[t->trainees[found].param].name;
    return GQA_OK;
}

/* What the last forward() says of it; out: "" where logits are finite. */
static enum gqa_status find_layer(char *out, size_t size,
                                  const struct gqa_trainer *t, double loss)
{
    char part[64];
    enum gqa_status st;

    out[0] = '\0';
    if (isfinite(loss))
        return GQA_OK;
    st = gqa_tape_find_fault(part, sizeof part, t->student_tape);
    snprintf(out, size, ", not finite since %s", part);
    return st;
}

enum gqa_status gqa_trainer_refuse(struct gqa_trainer *t, double loss)
{
    const char *what = isnan(loss)      ? "the loss is not a number"
                       : isfinite(loss) ? "gradients are too large"
                                        : "the loss is infinite";
    const char *name = NULL;
    char layer[96];
    enum gqa_status st = find_culprit(&name, t);

    if (st == GQA_OK)
        st = find_layer(layer, sizeof layer, t, loss);
    if (st != GQA_OK)
        return st;
    return name ? gqa_fail(GQA_ERR_FORMAT,
                           "%s%s, and the gradient of '%s' is not finite", what,
                           layer, name)
                : gqa_fail(GQA_ERR_FORMAT, "%s%s", what, layer);
}
