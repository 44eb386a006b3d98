/* The weights that a plan would write, for running them: made as they are
 * asked for, and stored nowhere. */
#ifndef GQA_CONVERT_CONVERTED_H
#define GQA_CONVERT_CONVERTED_H

#include "convert/produce.h"
#include "runtime/runtime.h"

struct gqa_converted;

/* plan is in place, of the model that is run; all is lent. */
GQA_MUST_USE
enum gqa_status gqa_converted_create(struct gqa_converted **out,
                                     const struct gqa_plan *plan,
                                     struct gqa_checkpoint *checkpoint,
                                     unsigned n_threads);
void gqa_converted_free(struct gqa_converted *converted);

/* May be read by n_threads threads at once. */
struct gqa_weight_source gqa_converted_weights(struct gqa_converted *converted);

#endif
