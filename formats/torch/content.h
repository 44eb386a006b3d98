/*
 * A file of torch.save(): what its pickle says, and where in the file the
 * storages lie that it refers to. There are two forms, a zip archive and, from
 * before PyTorch 1.6, pickles with the storages behind them.
 */
#ifndef GQA_FORMATS_TORCH_CONTENT_H
#define GQA_FORMATS_TORCH_CONTENT_H

#include "formats/torch/values.h"

struct gqa_torch_content {
    struct gqa_pickle_values values;
    uint32_t root;
};

/*
 * Zero-initialised, content->values receives the values, and those storages
 * the place that are in the file; on an error, too, the caller clears it.
 * Errors GQA_ERR_FORMAT: damaged, or it contradicts itself;
 * GQA_ERR_UNSUPPORTED: other byte order, code, compression, what the pickle
 * refers to; GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_torch_read_archive(struct gqa_torch_content *content,
                                       int fd, uint64_t size);
GQA_MUST_USE
enum gqa_status gqa_torch_read_pickles(struct gqa_torch_content *content,
                                       int fd, uint64_t size);

#endif
