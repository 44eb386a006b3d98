#include "formats/formats.h"

#include "common/strings.h"

#include <string.h>

const struct gqa_format *const gqa_formats[] = {
#define LINE(name) &gqa_format_##name,
    GQA_FORMATS(LINE)
#undef LINE
};

const size_t gqa_n_formats = sizeof gqa_formats / sizeof *gqa_formats;

bool gqa_name_fits(const char *name, const char *pattern)
{
    return pattern[0] == '*' ? gqa_has_ending(name, pattern + 1)
                             : strcmp(name, pattern) == 0;
}

const struct gqa_format *gqa_format_next_preferred(
    const struct gqa_format *last)
{
    const struct gqa_format *next = NULL;

    for (size_t i = 0; i < gqa_n_formats; i++) {
        const struct gqa_format *f = gqa_formats[i];

        if (f->names && f->preference > (last ? last->preference : 0) &&
            (!next || f->preference < next->preference))
            next = f;
    }
    return next;
}
