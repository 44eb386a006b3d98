/*
 * Devices of several processes, one each, that add up what they have. A
 * backend has these in `collectives`, or NULL there: its memory is the host's,
 * and goes through sockets.
 *
 * All processes of a group make the same calls in the same order. They may run
 * behind the caller's back, in order with the device's other operations. What
 * comes of them has the same bits everywhere.
 */
#ifndef GQA_RUNTIME_COLLECTIVE_H
#define GQA_RUNTIME_COLLECTIVE_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "runtime/ops.h"

struct gqa_device;

/* A device's place in a group. */
struct gqa_communicator;

/* Of a group: made by one process, and given to all. */
struct gqa_group_id {
    unsigned char bytes[128];
};

/* Device memory: n of float32 or float64. */
struct gqa_summands {
    void *data;
    uint64_t n;
    enum gqa_dtype dtype;
};

struct gqa_collective_ops {
    /* Errors GQA_ERR_UNSUPPORTED: the library for this is not installed. */
    enum gqa_status (*make_id)(struct gqa_device *device,
                               struct gqa_group_id *out);
    /* Returns once all n have come. End it with leave(). */
    enum gqa_status (*join)(struct gqa_device *device,
                            struct gqa_communicator **out,
                            const struct gqa_group_id *id, unsigned rank,
                            unsigned n);
    /* Accepts NULL. */
    void (*leave)(struct gqa_communicator *communicator);
    /* Some process is gone: whatever waits for it is to wait no longer, and
     * fails. From any thread, until leave(). */
    void (*give_up)(struct gqa_communicator *communicator);
    /* Each of a list becomes the sum of what all processes have there. */
    enum gqa_status (*sum)(struct gqa_communicator *communicator,
                           const struct gqa_summands *list, size_t n);
    /* n_bytes become what they are in process 0. */
    enum gqa_status (*share)(struct gqa_communicator *communicator, void *data,
                             uint64_t n_bytes);
};

#endif
