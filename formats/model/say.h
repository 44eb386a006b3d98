/* What was read and what it was taken for, in lines at GQA_LOG_INFO. */
#ifndef GQA_FORMATS_MODEL_SAY_H
#define GQA_FORMATS_MODEL_SAY_H

#include "formats/model/model.h"

/* The kind, the files and the configuration. */
void gqa_say_checkpoint(const struct gqa_checkpoint *checkpoint);

/*
 * The family, and for each attention, or run of layers that are alike, its
 * heads, how they lie, positions and type.
 */
void gqa_say_model(const struct gqa_model *model,
                   const struct gqa_checkpoint *checkpoint);

#endif
