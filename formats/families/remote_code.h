/*
 * Folders that transformers loads grouped by a small Python module beside the
 * weights: what their configuration says for it. `auto_map` names its classes,
 * which are the stock ones with "Grouped" before their names, `architectures`
 * too, and `key_value_heads` has how many KV heads there are: a number, or one
 * for each layer, by kind of attention ("encoder", "self", "cross"). Of a model
 * within another (nested.h) it stands in the inner configuration.
 */
#ifndef GQA_FORMATS_FAMILIES_REMOTE_CODE_H
#define GQA_FORMATS_FAMILIES_REMOTE_CODE_H

#include <stdbool.h>

#include "common/json.h"
#include "formats/model/model.h"

/* A module's file is that, a model type, and ".py". */
#define GQA_REMOTE_CODE_MODULE "modeling_grouped_"
/* Before the names of stock classes. */
#define GQA_REMOTE_CODE_CLASS "Grouped"
/* The key of the configuration. */
#define GQA_REMOTE_CODE_HEADS "key_value_heads"

/* Whether text can be a name in Python, and has no other characters. */
bool gqa_is_identifier(const char *text);

/* Whether a file of this name is such a module. */
bool gqa_remote_code_is_file(const char *name);

/* A class of such a module that the configuration of the whole names, as
 * "modeling_grouped_t5.GroupedT5Model", lent; or NULL. */
const char *gqa_remote_code_class(const json_t *config);

/* Take what loads a model or a configuration out of its `auto_map`: beside such
 * a module no other code does. What loads a tokenizer stays. */
void gqa_remote_code_supersede(json_t *config);

/* Make it the configuration of a model without such a module: of the whole, or
 * of the part that has the heads. */
void gqa_remote_code_forget(json_t *config);

/* The word for attentions of a kind. */
const char *gqa_remote_code_kind(enum gqa_stack stack,
                                 enum gqa_attention_kind kind);

#endif
