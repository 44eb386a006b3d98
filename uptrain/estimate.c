#include "uptrain/estimate.h"

/* Master, gradient: float32 each. */
enum { WIDE = 4, N_COPIES = 2 };

static uint64_t teacher_bytes(const struct gqa_pair *pair)
{
    const struct gqa_model *model = pair->teacher.model;
    uint64_t n = 0;

    for (size_t i = 0; i < model->n_params; i++)
        n += model->params[i].n_bytes;
    return n;
}

struct gqa_estimate gqa_estimate_of(const struct gqa_uptrain_options *o,
                                    const struct gqa_pair *pair,
                                    const bool *trained,
                                    const struct gqa_backend *backend)
{
    const struct gqa_model *model = pair->student.model;
    struct gqa_estimate e = {
        .weights = teacher_bytes(pair),
        .logits = gqa_loss_bytes(pair->student.network, backend, GQA_F32),
        .step_tokens = o->batch * o->accumulate * o->length};

    for (size_t i = 0; i < model->n_params; i++) {
        const struct gqa_param *p = &model->params[i];
        const bool is_matrix = p->rows > 1 && p->cols > 1;

        e.n_elements += p->n_elements;
        if (trained[i]) {
            e.n_trained += p->n_elements;
            e.n_params++;
            e.training +=
                N_COPIES * WIDE * p->n_elements +
                gqa_optimiser_bytes((enum gqa_optimiser_kind)o->optimiser,
                                    is_matrix ? p->rows : 1,
                                    is_matrix ? p->cols : p->n_elements, WIDE);
        } else if (pair->same[i] == GQA_NO_PARAM) {
            e.weights += p->n_bytes;
        }
    }
    return e;
}
