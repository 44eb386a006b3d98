#include "uptrain/trained.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { N_OF_ATTENTION = 8 };

static void list_attention(size_t out[N_OF_ATTENTION],
                           const struct gqa_attention *a)
{
    const struct gqa_slice *const slices[] = {&a->q, &a->k, &a->v, &a->o};

    for (size_t i = 0; i < 4; i++) {
        out[2 * i] = slices[i]->weight;
        out[2 * i + 1] = slices[i]->bias;
    }
}

static size_t mark_attention(bool *trained, const struct gqa_attention *a,
                             const struct gqa_trained_facts *facts)
{
    size_t params[N_OF_ATTENTION];
    bool differs = false;
    size_t n = 0;

    list_attention(params, a);
    for (size_t i = 0; i < N_OF_ATTENTION; i++)
        differs |= params[i] != GQA_NO_PARAM && facts->differs[params[i]];
    for (size_t i = 0; i < N_OF_ATTENTION && differs; i++) {
        if (params[i] == GQA_NO_PARAM || !facts->used[params[i]])
            continue;
        trained[params[i]] = true;
        n++;
    }
    return n;
}

/* How many a part of the list names. */
static size_t mark_part(bool *trained, const char *part,
                        const struct gqa_trained_facts *facts)
{
    const struct gqa_model *model = facts->network->model;
    size_t n = 0;

    if (strcmp(part, "attention") == 0) {
        for (size_t i = 0; i < model->n_attentions; i++)
            n += mark_attention(trained, &model->attentions[i], facts);
        return n;
    }
    for (size_t i = 0; i < model->n_params; i++) {
        if (!facts->used[i] || (strcmp(part, "all") != 0 &&
                                fnmatch(part, model->params[i].name, 0) != 0))
            continue;
        trained[i] = true;
        n++;
    }
    return n;
}

static enum gqa_status check_types(const bool *trained,
                                   const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_param *p = &model->params[i];

        if (trained[i] &&
            (!gqa_dtype_is_float(p->dtype) || gqa_dtype_bits(p->dtype) < 16))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "'%s' is %s, which cannot be trained", p->name,
                            gqa_dtype_name(p->dtype));
    }
    return GQA_OK;
}

enum gqa_status gqa_trained_mark(bool *trained, const char *text,
                                 const struct gqa_trained_facts *facts)
{
    const struct gqa_model *model = facts->network->model;
    char *list = strdup(text), *rest = list, *part;
    enum gqa_status st = list ? GQA_OK : gqa_fail_nomem();

    memset(trained, 0, model->n_params * sizeof *trained);
    while (st == GQA_OK && (part = strsep(&rest, ",")) != NULL) {
        if (mark_part(trained, part, facts) > 0)
            continue;
        st = strcmp(part, "attention") == 0
                 ? gqa_fail(GQA_ERR_USAGE,
                            "no attention differs from the original's: there "
                            "is nothing to heal")
                 : gqa_fail(GQA_ERR_USAGE,
                            "option --train: '%s' names no parameter that the "
                            "model computes with",
                            part);
    }
    free(list);
    return st == GQA_OK ? check_types(trained, model) : st;
}
