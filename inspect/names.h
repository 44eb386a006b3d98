/* Stable words for enumerations: what JSON output spells. */
#ifndef GQA_INSPECT_NAMES_H
#define GQA_INSPECT_NAMES_H

#include "formats/model/model.h"
#include "formats/source.h"

const char *gqa_naming_word(enum gqa_naming naming);
const char *gqa_position_word(enum gqa_position_scheme scheme);
const char *gqa_layout_word(enum gqa_head_layout layout);
const char *gqa_axis_word(const struct gqa_slice *slice);

#endif
