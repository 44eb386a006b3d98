/*
 * The parameters of a runtime that are trained: wide master copies on the
 * device, from which the runtime's own weights follow.
 */
#ifndef GQA_RUNTIME_BACK_MASTERS_H
#define GQA_RUNTIME_BACK_MASTERS_H

#include "runtime/runtime.h"

/*
 * One parameter. Its master is the runtime's weight itself where the device
 * computes in wide numbers (CPU; CUDA with F32); else the runtime's weight is
 * `copy`, of the device's real type, which an optimiser writes beside the
 * master (gqa_adamw_op). A table of the host's has no weight on the device:
 * see gqa_masters_settle().
 */
struct gqa_master {
    void *weights; /* device, wide [rows, cols]; NULL: not trained */
    void *copy;    /* device, copy_dtype, or NULL: none */
    enum gqa_dtype copy_dtype;
    uint64_t rows, cols, n; /* n elements */
};

struct gqa_masters;

/* Bytes of the device that masters and their copies take. */
uint64_t gqa_masters_bytes(const struct gqa_runtime *runtime,
                           const bool *trained);

/*
 * Masters of the parameters that are trained, with the values of the runtime's
 * weights, whose place they (or their copies) take: the runtime's own are
 * freed, another's (gqa_runtime_create_sharing()) left alone.
 *
 * runtime  lent; must outlive the masters, and cannot run without them
 * trained  [n_params of the network's model]: copied
 * Errors   GQA_ERR_NOMEM; GQA_ERR_UNSUPPORTED: the backend cannot train;
 *          GQA_ERR_USAGE: a parameter that the network does not use.
 */
GQA_MUST_USE
enum gqa_status gqa_masters_create(struct gqa_masters **out,
                                   struct gqa_runtime *runtime,
                                   const bool *trained);
void gqa_masters_free(struct gqa_masters *masters);

/* NULL where the parameter is not trained. */
const struct gqa_master *gqa_masters_of(const struct gqa_masters *masters,
                                        size_t param);

/*
 * After steps of an optimiser that wrote master and copy: what of the runtime
 * follows from masters on the host (tables of relative bias and constants of
 * xIELU, which tapes take anew with each batch, and sessions when they are
 * made). Waits, where there is any.
 */
GQA_MUST_USE
enum gqa_status gqa_masters_settle(struct gqa_masters *masters);

/* A master's n wide values to memory of the host; waits. */
GQA_MUST_USE
enum gqa_status gqa_masters_read(const struct gqa_masters *masters,
                                 size_t param, void *values);

/* And back; its copy and the runtime follow. */
GQA_MUST_USE
enum gqa_status gqa_masters_write(struct gqa_masters *masters, size_t param,
                                  const void *values);

#endif
