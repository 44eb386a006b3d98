/* A plan's choice in the words of gqa-convert --layer-groups. */
#ifndef GQA_INSPECT_LAYER_GROUPS_H
#define GQA_INSPECT_LAYER_GROUPS_H

#include <stdio.h>

#include "inspect/inspection.h"

/* Whether attentions of this kind keep a cache. */
bool gqa_layer_groups_has(const struct gqa_inspection *in,
                          enum gqa_attention_kind kind);

/* "0-3=8,4=2"; needs the trade-off. */
void gqa_layer_groups_put(FILE *out, const struct gqa_inspection *in,
                          enum gqa_attention_kind kind);

#endif
