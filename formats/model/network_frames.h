/* What a stack reads that reads frames. */
#ifndef GQA_FORMATS_MODEL_NETWORK_FRAMES_H
#define GQA_FORMATS_MODEL_NETWORK_FRAMES_H

#include "formats/model/network_params.h"

/* GQA_ERR_UNSUPPORTED where the description does not say how frames become
 * rows. */
GQA_MUST_USE
enum gqa_status gqa_check_frames(const struct gqa_network_builder *b,
                                 const struct gqa_frames_rule *rule);

/* Errors GQA_ERR_UNSUPPORTED: the description says not how frames become
 * rows, or they do by convolutions that are not run; as gqa_take_param(). */
GQA_MUST_USE
enum gqa_status gqa_take_frames(struct gqa_frames *out,
                                const struct gqa_network_builder *b,
                                const struct gqa_frames_rule *rule);

#endif
