/*
 * Tensors that do not lie row after row: transposed, a part of another,
 * repeated. Their content is put together as it is read.
 */
#ifndef GQA_FORMATS_TORCH_STRIDED_H
#define GQA_FORMATS_TORCH_STRIDED_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensor.h"

/* Elements at a distance from each other, in as few dimensions as say it. */
struct gqa_strided {
    uint64_t element_bytes;
    unsigned rank; /* at least 1 */
    uint64_t shape[GQA_MAX_RANK];
    uint64_t stride[GQA_MAX_RANK]; /* in elements */
};

/* rank, shape and stride as PyTorch has them; no dimension is 0. */
void gqa_strided_begin(struct gqa_strided *out, uint64_t element_bytes,
                       unsigned rank, const uint64_t *shape,
                       const uint64_t *stride);

/* Whether it lies row after row. */
bool gqa_strided_is_plain(const struct gqa_strided *strided);

/*
 * Read a span of the row-major content into buf. base: where in the file the
 * first element lies. The span fits. Errors GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_strided_read(const struct gqa_strided *strided, int fd,
                                 uint64_t base, const struct gqa_span *span,
                                 void *buf);

#endif
