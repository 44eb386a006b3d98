/* Models that are none of ours, known by their parameters. */
#ifndef GQA_FORMATS_MODEL_KIND_H
#define GQA_FORMATS_MODEL_KIND_H

#include "formats/model/params.h"

/*
 * Refuse a model that no family has: say what it is, and what to do or why
 * there is nothing to be done. params may be empty, where names are none that
 * we know. has_family: there is one by the model type, and st says what is
 * wrong with the model, so that an encoder is none for being one.
 *
 * Errors GQA_ERR_UNSUPPORTED; st where it is nothing that we know, and the
 * message stays as it was.
 */
GQA_MUST_USE
enum gqa_status gqa_kind_refuse(enum gqa_status st,
                                const struct gqa_params *params,
                                const struct gqa_checkpoint *checkpoint,
                                bool has_family);

#endif
