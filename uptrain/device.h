/* Where both models run. */
#ifndef GQA_UPTRAIN_DEVICE_H
#define GQA_UPTRAIN_DEVICE_H

#include "runtime/backend.h"

/* In place of an enum gqa_dtype: bfloat16 on a GPU, float32 elsewhere. */
enum { GQA_TRAIN_DTYPE_AUTO = -1 };

struct gqa_train_device {
    const struct gqa_backend *backend;
    struct gqa_device *device; /* NULL: not open */
    struct gqa_device *beside; /* the same, for work at the same time; or NULL:
                                  it has no use for that */
    struct gqa_device_info info;
};

/*
 * asked: enum gqa_learning_device; ordinal: of GPUs; dtype: of activations and
 * products, masters being float32 or float64. out: zeroed; end it with
 * gqa_train_device_close(), also after an error. Errors those of backends;
 * GQA_ERR_UNSUPPORTED: it cannot train.
 */
GQA_MUST_USE
enum gqa_status gqa_train_device_open(struct gqa_train_device *out, int asked,
                                      unsigned ordinal, int dtype,
                                      unsigned n_threads);
void gqa_train_device_close(struct gqa_train_device *device);

#endif
