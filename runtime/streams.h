/*
 * Residual streams between layers: rows of the device's dtype on the device
 * where half of its memory stays free beside them; else in memory of the host,
 * or in a file without a name where they are too many for it.
 */
#ifndef GQA_RUNTIME_STREAMS_H
#define GQA_RUNTIME_STREAMS_H

#include "runtime/backend.h"

struct gqa_streams;

/*
 * Room for n_rows of row_bytes each, of which at most `most` are moved at
 * once. In memory of the host while it takes no more than host_bytes.
 *
 * backend, device  lent.
 * Errors GQA_ERR_NOMEM; GQA_ERR_IO: no such file, with the bytes needed.
 */
GQA_MUST_USE
enum gqa_status gqa_streams_create(struct gqa_streams **out,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device, uint64_t n_rows,
                                   uint64_t row_bytes, uint64_t most,
                                   uint64_t host_bytes);
void gqa_streams_free(struct gqa_streams *streams);

/* Move rows [row, row + n) from and to memory of the device. */
GQA_MUST_USE
enum gqa_status gqa_streams_save(struct gqa_streams *streams, uint64_t row,
                                 uint64_t n, const void *src);
GQA_MUST_USE
enum gqa_status gqa_streams_load(struct gqa_streams *streams, uint64_t row,
                                 uint64_t n, void *dst);

#endif
