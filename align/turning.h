/* RoPE of whole sequences on a device, and the way back. */
#ifndef GQA_ALIGN_TURNING_H
#define GQA_ALIGN_TURNING_H

#include "formats/model/network.h"
#include "runtime/backend.h"

/* Tables as rotate() takes them, of so many positions: what turns heads, and
 * the transposed of that, for gradients. NULL: nothing turns. */
struct gqa_turning {
    const struct gqa_rope *rope; /* lent; NULL: none */
    void *forth, *back;
};

/* Whether frequencies are those of one table, however long sequences are. */
bool gqa_turns_by_table(const struct gqa_rope *rope);

/* Frequencies are those of short sequences. Errors those of the device,
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_turning_create(struct gqa_turning *out,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device,
                                   enum gqa_dtype real,
                                   const struct gqa_rope *rope,
                                   uint64_t n_positions);
void gqa_turning_clear(struct gqa_turning *turning,
                       const struct gqa_backend *backend,
                       struct gqa_device *device);

#endif
