/* The ordinary source of weights: the parameters of a checkpoint. */
#ifndef GQA_RUNTIME_WEIGHTS_H
#define GQA_RUNTIME_WEIGHTS_H

#include "formats/model/model.h"
#include "runtime/runtime.h"

/* The parameters of a checkpoint as they are. */
struct gqa_checkpoint_weights {
    struct gqa_checkpoint *checkpoint; /* lent */
    const struct gqa_model *model;     /* lent */
};

/* Lent: as long as *weights. */
struct gqa_weight_source gqa_checkpoint_weight_source(
    struct gqa_checkpoint_weights *weights);

#endif
