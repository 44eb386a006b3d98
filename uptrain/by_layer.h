/*
 * The first stage alone, for models that the device need not hold: streams of
 * one layer after another, and measures layer by layer too.
 */
#ifndef GQA_UPTRAIN_BY_LAYER_H
#define GQA_UPTRAIN_BY_LAYER_H

#include "uptrain/data.h"
#include "uptrain/layerwise.h"

struct gqa_by_layer {
    /* Its sequences are left open; `trained` has nothing that it does not
     * train. Lent. */
    const struct gqa_layerwise *stage;
    const struct gqa_data_options *data; /* lent */
    double deadline_s; /* of gqa_clock_s(), or 0: by then all of it is over */
};

/* Elements, and bytes of a wide value, of all that is trained. */
size_t gqa_by_layer_bytes(const struct gqa_layerwise *stage);

/*
 * data     receives what was read and drawn; gqa_data_free() ends it.
 * history  gets a measure of the start and one of what came of it.
 * best     [gqa_by_layer_bytes()]: the nearer of both.
 * Errors   as gqa_layerwise_run(), GQA_ERR_INTERRUPTED also where the deadline
 * came before the start was measured, and gqa_data_create(); GQA_ERR_FORMAT: no
 *          logits are finite; GQA_ERR_NOMEM: the original is to draw sequences,
 *          and cannot be held as a whole.
 */
GQA_MUST_USE
enum gqa_status gqa_by_layer_run(const struct gqa_by_layer *run,
                                 struct gqa_data **data,
                                 struct gqa_history *history, void *best);

#endif
