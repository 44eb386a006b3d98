#include "formats/formats.h"

const struct gqa_format *const gqa_formats[] = {
#define LINE(name) &gqa_format_##name,
    GQA_FORMATS(LINE)
#undef LINE
};

const size_t gqa_n_formats = sizeof gqa_formats / sizeof *gqa_formats;
