/* A file of safetensors, by itself or as a shard. */
#ifndef GQA_FORMATS_SAFETENSORS_WRITE_H
#define GQA_FORMATS_SAFETENSORS_WRITE_H

#include "formats/write/weights.h"

/* Its size is known beforehand, and it has a digest if one is asked for. */
extern const struct gqa_weights_form gqa_safetensors_form;

#endif
