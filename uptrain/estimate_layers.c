#include "uptrain/estimate.h"

static void count_values(struct gqa_estimate *e,
                         const struct gqa_layerwise *stage)
{
    const struct gqa_model *model = stage->pair->student.model;

    for (size_t i = 0; i < model->n_params; i++) {
        e->n_elements += model->params[i].n_elements;
        e->n_trained += stage->trained[i] ? model->params[i].n_elements : 0;
        e->n_params += stage->trained[i];
    }
}

enum gqa_status gqa_estimate_layers(struct gqa_estimate *out,
                                    const struct gqa_layerwise *stage)
{
    const struct gqa_network *n = stage->pair->student.network;
    uint64_t most = 0;
    enum gqa_status st = GQA_OK;

    *out = (struct gqa_estimate){
        .step_tokens = stage->batch * stage->accumulate * stage->length};
    count_values(out, stage);
    for (size_t i = 0; i < n->n_stacks; i++)
        for (size_t j = 0; j < n->stacks[i].n_blocks && st == GQA_OK; j++) {
            struct gqa_layerwise_bytes b;

            st = gqa_layerwise_bytes(&b, stage, i, j);
            if (st != GQA_OK || b.weights + b.training + b.run <= most)
                continue;
            most = b.weights + b.training + b.run;
            out->weights = b.weights;
            out->training = b.training;
            out->run = out->fast = b.run;
        }
    return st;
}
