/* Whether a model is whole enough to be converted. */
#ifndef GQA_CONVERT_CHECK_INVENTORY_H
#define GQA_CONVERT_CHECK_INVENTORY_H

#include "formats/model/inventory.h"

/*
 * Refuse what stock loaders would draw afresh or leave out: parameters that
 * are missing, of another shape than the configuration and the rest of the
 * model ask for, or left over. allow_extra: left-overs outside of attention
 * are warned of instead. of_encoder: attentions of the encoder are asked for,
 * so that it has none of another make. Errors GQA_ERR_FORMAT, with the likely
 * cause; GQA_ERR_UNSUPPORTED.
 */
GQA_MUST_USE
enum gqa_status gqa_check_inventory(const struct gqa_inventory *inventory,
                                    const struct gqa_model *model,
                                    bool allow_extra, bool of_encoder);

#endif
