/*
 * A folder that transformers loads by a Python module beside its weights
 * (formats/families/remote_code.h): whether the module is there, and is told
 * the KV heads that the tensors have.
 */
#ifndef GQA_VERIFY_MODULE_CHECK_H
#define GQA_VERIFY_MODULE_CHECK_H

#include "verify/clauses.h"
#include "verify/subject.h"

/*
 * *module receives a text that the caller frees: "modeling_grouped_t5.py"; NULL
 * where the configuration names none, of which nothing is to be checked. What
 * was found goes to list, as that of gqa_loader_check(). Errors
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_module_check(char **module, json_t *list,
                                 const struct gqa_subject *subject);

#endif
