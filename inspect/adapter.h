/* What lies beside an adapter's weights and says which model they are for. */
#ifndef GQA_INSPECT_ADAPTER_H
#define GQA_INSPECT_ADAPTER_H

#include <jansson.h>

#include "formats/checkpoint.h"

/*
 * *out    receives PEFT's adapter_config.json of a folder, which the caller
 *         owns; NULL: there is none that can be read
 * Errors  GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_adapter_config(json_t **out,
                                   const struct gqa_checkpoint *checkpoint);

#endif
