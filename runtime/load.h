/*
 * Weights on their way to a device: several threads read them, while what
 * was read before is uploaded.
 */
#ifndef GQA_RUNTIME_LOAD_H
#define GQA_RUNTIME_LOAD_H

#include "runtime/runtime.h"

/* A parameter of the model, and where it goes: memory of the device, or
 * doubles on the host. */
struct gqa_load {
    size_t param;
    void *data;
    double *table;
};

struct gqa_loader;

/* model, device  lent; must outlive the loader.
 * Errors GQA_ERR_NOMEM; those of describe(). */
GQA_MUST_USE
enum gqa_status gqa_loader_create(struct gqa_loader **out,
                                  const struct gqa_model *model,
                                  const struct gqa_backend *backend,
                                  struct gqa_device *device);
void gqa_loader_free(struct gqa_loader *loader);

/*
 * Read n parameters and return when all of them are where they go. What it
 * needs for that, it keeps for the next call.
 *
 * Errors those of weights->read() and of the device; of several, that of the
 * rows that come first. GQA_ERR_INTERRUPTED after a signal.
 */
GQA_MUST_USE
enum gqa_status gqa_loader_run(struct gqa_loader *loader,
                               const struct gqa_weight_source *weights,
                               const struct gqa_load *loads, size_t n);

#endif
