/* A checkpoint's tensor by its name. */
#ifndef GQA_TESTS_FIND_TENSOR_H
#define GQA_TESTS_FIND_TENSOR_H

#include <string.h>

#include "formats/checkpoint.h"

/* False where there is none of this name. */
static inline bool find_tensor(const struct gqa_checkpoint *checkpoint,
                               const char *name, size_t *index)
{
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(checkpoint); i++)
        if (strcmp(gqa_checkpoint_tensor(checkpoint, i)->name, name) == 0) {
            *index = i;
            return true;
        }
    return false;
}

#endif
