/* What the plan decides, in lines at GQA_LOG_INFO. */
#ifndef GQA_CONVERT_SAY_H
#define GQA_CONVERT_SAY_H

#include "convert/options.h"

/* What becomes of the attentions and the tensors, and what is written. */
void gqa_say_plan(const struct gqa_plan *plan,
                  const struct gqa_convert_options *options);

#endif
