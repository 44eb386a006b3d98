/* Whether a file that is drafted says what the configuration does. */
#ifndef GQA_FORMATS_GGUF_AGREE_H
#define GQA_FORMATS_GGUF_AGREE_H

#include "formats/gguf/draft.h"

/*
 * Read the draft's keys as those of a file, and compare what they mean with
 * the output's configuration. Errors GQA_ERR_UNSUPPORTED, naming what differs:
 * llama.cpp would compute something else; GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_agree(const struct gqa_gguf_draft *draft,
                               const struct gqa_output *output);

#endif
