/* The model card of a folder: README.md. */
#ifndef GQA_UPTRAIN_CARD_H
#define GQA_UPTRAIN_CARD_H

#include "formats/checkpoint.h"
#include "uptrain/history.h"

/* out: receives the text; the caller owns it. recipe: of the output. Errors
 * GQA_ERR_NOMEM, GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_trained_card(char **out,
                                 const struct gqa_checkpoint *source,
                                 const json_t *recipe,
                                 const struct gqa_history *history);

#endif
