/* The vocabulary of a GGUF file, and what its model is called. */
#ifndef GQA_FORMATS_GGUF_VOCABULARY_H
#define GQA_FORMATS_GGUF_VOCABULARY_H

#include "formats/gguf/draft.h"

/*
 * Give the draft, whose keys are there, what its source has: a GGUF file's as
 * it is, over keys of the draft, or a folder's (tokens.h). Where there is none,
 * the draft says so. Errors GQA_ERR_UNSUPPORTED: more than is taken;
 * GQA_ERR_FORMAT, GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_vocabulary_add(struct gqa_gguf_draft *draft,
                                        const struct gqa_output *output);

#endif
