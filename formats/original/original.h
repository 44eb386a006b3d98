/*
 * The layout in which Meta and Mistral give their models out: their own names
 * of tensors, rows of queries and keys in the pairs that RoPE turns, and
 * params.json beside them.
 */
#ifndef GQA_FORMATS_ORIGINAL_ORIGINAL_H
#define GQA_FORMATS_ORIGINAL_ORIGINAL_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/original/params.h"
#include "formats/source.h"

/* Whether the tensors have such names. */
bool gqa_original_is(const struct gqa_source *source);

/*
 * Give the tensors Hugging Face's names and order of rows, and a configuration
 * made of params, which is params.json's content, unless another is given
 * (has_config). *source is the caller's on entry and after: it is replaced by
 * one that holds it.
 *
 * Errors GQA_ERR_FORMAT: params that say no heads, or a value that is none of
 * its key; GQA_ERR_UNSUPPORTED: one of several parts of a model, a key that is
 * not known or has no word here; GQA_ERR_NOMEM.
 * *source is unchanged then.
 */
GQA_MUST_USE
enum gqa_status gqa_original_wrap(struct gqa_source **source,
                                  const json_t *params, bool has_config);

#endif
