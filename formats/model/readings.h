/*
 * What versions of transformers make of a checkpoint differently, without a
 * word of theirs: a configuration that two of them read in two ways, or tensors
 * that one uses and another drops. The runtime reads all as the latest does.
 */
#ifndef GQA_FORMATS_MODEL_READINGS_H
#define GQA_FORMATS_MODEL_READINGS_H

#include "formats/model/tied.h"

/*
 * *out receives a list of texts, one for each thing that is read in two ways;
 * often none. The caller owns it. rows: of matrices that are compared.
 * Errors as gqa_tied_text().
 */
GQA_MUST_USE
enum gqa_status gqa_readings_create(json_t **out,
                                    struct gqa_checkpoint *checkpoint,
                                    const struct gqa_model *model,
                                    enum gqa_tied_rows rows);

#endif
