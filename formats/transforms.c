#include "formats/transforms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const size_t prefix_length = sizeof GQA_TRANSFORMS_PREFIX - 1;

bool gqa_is_transform(const char *tensor)
{
    return strncmp(tensor, GQA_TRANSFORMS_PREFIX, prefix_length) == 0;
}

uint64_t gqa_transform_step(const char *tensor)
{
    const char *digits = tensor + prefix_length;
    uint64_t step = 0;

    if (!gqa_is_transform(tensor))
        return 0;
    for (; *digits >= '0' && *digits <= '9' && step < 1000; digits++)
        step = 10 * step + (uint64_t)(*digits - '0');
    return *digits == '.' ? step : 0;
}

const char *gqa_transform_name(char out[GQA_TRANSFORM_NAME_MAX], uint64_t step,
                               const struct gqa_attention *a, char part)
{
    snprintf(out, GQA_TRANSFORM_NAME_MAX,
             GQA_TRANSFORMS_PREFIX "%" PRIu64 ".%s.%s.%" PRIu64 ".%c", step,
             gqa_stack_name(a->stack), gqa_attention_kind_name(a->kind),
             a->layer, part);
    return out;
}
