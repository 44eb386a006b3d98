#include "common/advice.h"

#include <stddef.h>

static const char *const *used;

void gqa_advice_use(const char *const words[])
{
    used = words;
}

const char *gqa_advice(enum gqa_advice which)
{
    return used && used[which] ? used[which] : "";
}
