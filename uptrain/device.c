#include "uptrain/device.h"

#include "align/learning.h"

static enum gqa_status open_cuda(struct gqa_train_device *d,
                                 struct gqa_device_options options, int dtype)
{
    enum gqa_status st = gqa_cuda_backend_load(&d->backend);

    if (st == GQA_OK && !d->backend->gradients)
        st = gqa_fail(GQA_ERR_UNSUPPORTED, "the plug-in for GPUs that was "
                                           "found cannot train");
    if (dtype == GQA_TRAIN_DTYPE_AUTO)
        options.real = GQA_BF16;
    return st == GQA_OK ? d->backend->open(&d->device, &options) : st;
}

enum gqa_status gqa_train_device_open(struct gqa_train_device *out, int asked,
                                      unsigned ordinal, int dtype,
                                      unsigned n_threads)
{
    const struct gqa_device_options options = {
        .real = dtype == GQA_TRAIN_DTYPE_AUTO ? GQA_F32 : (enum gqa_dtype)dtype,
        .n_threads = n_threads,
        .ordinal = ordinal};
    enum gqa_status st = GQA_ERR_UNSUPPORTED;

    if (asked != GQA_LEARN_CPU)
        st = open_cuda(out, options, dtype);
    if (st == GQA_ERR_UNSUPPORTED && asked != GQA_LEARN_CUDA) {
        out->backend = gqa_cpu_backend();
        st = out->backend->open(&out->device, &options);
    }
    if (st == GQA_OK)
        st = out->backend->describe(out->device, &out->info);
    if (st != GQA_OK || !out->backend->wait_for)
        return st;
    return out->backend->open(
        &out->beside, &(struct gqa_device_options){.real = out->info.real,
                                                   .n_threads = n_threads,
                                                   .ordinal = ordinal});
}

void gqa_train_device_close(struct gqa_train_device *d)
{
    if (d->beside)
        d->backend->close(d->beside);
    if (d->device)
        d->backend->close(d->device);
    d->beside = d->device = NULL;
}
