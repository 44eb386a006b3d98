/* Of a GGUF file, how positions beyond those of training are turned. */
#ifndef GQA_FORMATS_GGUF_SCALING_READ_H
#define GQA_FORMATS_GGUF_SCALING_READ_H

#include "formats/gguf/architecture.h"

/* Give the configuration a `rope_scaling` where the keys say one. Errors
 * GQA_ERR_UNSUPPORTED: one that a configuration is asked for; GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_gguf_scaling_read(
    json_t *config, const struct gqa_gguf_architecture *architecture,
    const struct gqa_gguf_header *header);

#endif
