/*
 * Weights read into memory of the host by a thread of their own, while the
 * device is busy with others. What could not be read ahead (for lack of
 * memory, or since reading failed) is read when it is asked for: nothing
 * fails here that would not fail without.
 */
#ifndef GQA_RUNTIME_READ_AHEAD_H
#define GQA_RUNTIME_READ_AHEAD_H

#include "runtime/runtime.h"
#include "runtime/uses.h"

struct gqa_read_ahead;

/* source, model: lent; source is read from another thread. */
GQA_MUST_USE
enum gqa_status gqa_read_ahead_create(struct gqa_read_ahead **out,
                                      const struct gqa_weight_source *source,
                                      const struct gqa_model *model);
void gqa_read_ahead_free(struct gqa_read_ahead *ahead);

/* Forget what was read, and begin to read the parameters of `uses` that go
 * to the device. */
void gqa_read_ahead_begin(struct gqa_read_ahead *ahead,
                          const enum gqa_use *uses);

/* Wait until what was begun is there. */
void gqa_read_ahead_wait(struct gqa_read_ahead *ahead);

/* Wait, and forget it. */
void gqa_read_ahead_drop(struct gqa_read_ahead *ahead);

/* Gives what was read ahead from memory, all else from the source. Lent; not
 * to be read before gqa_read_ahead_wait(). */
struct gqa_weight_source gqa_read_ahead_source(struct gqa_read_ahead *ahead);

#endif
