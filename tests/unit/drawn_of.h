/* The CPU's draws, for models in the runtime's place. */
#ifndef GQA_TESTS_UNIT_DRAWN_OF_H
#define GQA_TESTS_UNIT_DRAWN_OF_H

#include "runtime/runtime.h"

/* What sequence s, of which `seen` tokens were drawn, draws by its logits. */
int32_t drawn_of(const double *logits, uint64_t vocab_size,
                 const struct gqa_draw *draw, uint64_t s, uint64_t seen);

#endif
