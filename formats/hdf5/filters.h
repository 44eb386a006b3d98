/* From the bytes of a chunk in the file to its values. */
#ifndef GQA_FORMATS_HDF5_FILTERS_H
#define GQA_FORMATS_HDF5_FILTERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/hdf5/table.h"

/* Reverse the bytes of each element; n: whole elements of 1, 2, 4 or 8. */
void gqa_h5_swap(void *data, size_t n, unsigned element_bytes);

/* Room that each buffer of gqa_h5_decode() must have, in bytes. */
size_t gqa_h5_decode_room(const struct gqa_h5_dataset *dataset);

/*
 * Undo the filters of a chunk, last one first.
 *
 * skipped  bit i: filter i was not applied.
 * in       n bytes as stored, n <= room; overwritten.
 * other    a second buffer.
 * content  receives whichever of the two holds the dataset->chunk_bytes of
 *          the chunk, in the file's byte order.
 * Errors GQA_ERR_FORMAT: a checksum or a compressed stream is wrong.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_decode(const struct gqa_h5_dataset *dataset,
                              uint32_t skipped, unsigned char *in, size_t n,
                              unsigned char *other, unsigned char **content);

#endif
