/* What KerasHub calls the parameters of each family. */
#ifndef GQA_FORMATS_FAMILIES_KERAS_TABLES_H
#define GQA_FORMATS_FAMILIES_KERAS_TABLES_H

#include "formats/families/family.h"

extern const struct gqa_keras_names gqa_keras_t5;
extern const struct gqa_keras_names gqa_keras_llama;
extern const struct gqa_keras_names gqa_keras_gpt2;
extern const struct gqa_keras_names gqa_keras_gpt_neox;

#endif
