#include "convert/could_align.h"

#include "align/align.h"
#include "formats/model/network.h"

enum gqa_status gqa_could_align(bool *out, const struct gqa_plan *plan)
{
    const struct gqa_model *model = plan->model;
    struct gqa_network *network = NULL;
    const enum gqa_status st = gqa_network_create(&network, model);
    bool any = false, all = st == GQA_OK;

    for (size_t i = 0; i < model->n_attentions && all; i++)
        if (plan->attentions[i].pooled < plan->attentions[i].source) {
            any = true;
            all = !gqa_align_obstacle(network, &model->attentions[i]);
        }
    gqa_network_free(network);
    *out = any && all;
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}
