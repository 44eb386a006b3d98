/* Spans of datasets that lie in chunks. */
#ifndef GQA_FORMATS_HDF5_CHUNKS_H
#define GQA_FORMATS_HDF5_CHUNKS_H

#include "common/status.h"
#include "formats/hdf5/cache.h"
#include "formats/hdf5/table.h"
#include "formats/tensor.h"

struct gqa_h5_chunked {
    int fd;
    const struct gqa_h5_dataset *dataset;
    size_t index;                      /* of the dataset in its table */
    const struct gqa_h5_chunk *chunks; /* [dataset->n_chunks] */
    struct gqa_h5_cache *cache;
};

/*
 * Read a span into buf, little-endian. Memory is bounded whatever the span;
 * each chunk is decoded about once for a span of up to some MiB. Errors
 * GQA_ERR_IO, GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_chunked_read(const struct gqa_h5_chunked *source,
                                    const struct gqa_span *span,
                                    unsigned char *buf);

/* to[i] = what byte `at + i` of a tensor that was never written holds. */
void gqa_h5_fill(const struct gqa_h5_dataset *dataset, unsigned char *to,
                 uint64_t at, size_t n);

#endif
