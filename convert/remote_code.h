/*
 * Folders that transformers loads grouped by a small Python module beside the
 * weights (--remote-code), where it has no grouped class of its own: the module
 * is the text of remote_code/modeling_grouped.py, with what the family's
 * description says of its attentions and classes behind it
 * (formats/families/remote_code.h); classes of a model that holds it beside
 * others are in formats/families/nested.c.
 */
#ifndef GQA_CONVERT_REMOTE_CODE_H
#define GQA_CONVERT_REMOTE_CODE_H

#include "convert/plan.h"

/* Whether there is a module for a model. */
bool gqa_has_remote_code(const struct gqa_model *model);

/* Whether there is one, and it is of use. Errors GQA_ERR_USAGE. */
GQA_MUST_USE
enum gqa_status gqa_remote_code_allow(const struct gqa_model *model);

/* Whether it is of use for the numbers of a plan: where words say how many KV
 * heads there are, the stock class may take them. Errors GQA_ERR_USAGE. */
GQA_MUST_USE
enum gqa_status gqa_remote_code_needed(const struct gqa_plan *plan);

/* Room for the name of a module's file. */
enum { GQA_REMOTE_CODE_FILE_MAX = 128 };

/* Of a model that has a module: "modeling_grouped_t5.py". */
void gqa_remote_code_file(char out[GQA_REMOTE_CODE_FILE_MAX],
                          const struct gqa_model *model);

/* What all modules begin with. */
extern const char gqa_remote_code_template[];

/* Its text, which is the same for all models of a type. The caller frees it.
 * Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_remote_code_text(char **out, const struct gqa_model *model);

/* What it reads of a configuration goes there: of the output of a plan. Of a
 * model within another, whole is that one's, and config is in it; else they are
 * the same. */
void gqa_remote_code_describe(json_t *whole, json_t *config,
                              const struct gqa_plan *plan);

/* The first of the source's architectures, where the module has no such class,
 * lent; else NULL. */
const char *gqa_remote_code_lacks(const struct gqa_model *model);

/* The Auto class that loads the first of a configuration's architectures by a
 * module, lent; "AutoModel" where the module has no such class. */
const char *gqa_remote_code_loader(const json_t *config);

#endif
