/* What a configuration says that the description of its family does not obey,
 * or refuses: a model that would be run wrong is not run. */
#ifndef GQA_FORMATS_MODEL_NETWORK_REFUSED_H
#define GQA_FORMATS_MODEL_NETWORK_REFUSED_H

#include "formats/model/network_params.h"

/* What `refuse` says, and keys that change what is computed wherever they are
 * known. Errors GQA_ERR_UNSUPPORTED. */
GQA_MUST_USE
enum gqa_status gqa_check_refused(const struct gqa_network_builder *b);

/* Whether `refuse` says so of a key that is true or false, as those are that
 * add parameters or drop them; out: which, and why, in a clause. */
bool gqa_refused_flag(char *out, size_t size, const struct gqa_family *family,
                      const json_t *config);

/* That the window which was found for a layer, or none with 0, is what
 * layer_types says of it. Errors GQA_ERR_UNSUPPORTED. */
GQA_MUST_USE
enum gqa_status gqa_check_layer_type(const struct gqa_network_builder *b,
                                     const struct gqa_attention_rule *rule,
                                     size_t layer, uint64_t window);

#endif
