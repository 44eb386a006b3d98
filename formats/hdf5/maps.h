/*
 * Where the chunks of datasets lie. Fetched from the parser's process when a
 * dataset is first read, and kept within bounds.
 */
#ifndef GQA_FORMATS_HDF5_MAPS_H
#define GQA_FORMATS_HDF5_MAPS_H

#include "common/status.h"
#include "formats/hdf5/child.h"
#include "formats/hdf5/table.h"

struct gqa_h5_maps;

/* child, table: lent, and used by these maps alone from now on. */
GQA_MUST_USE
enum gqa_status gqa_h5_maps_create(struct gqa_h5_maps **out,
                                   struct gqa_h5_child *child,
                                   const struct gqa_h5_table *table,
                                   uint64_t file_bytes);
void gqa_h5_maps_free(struct gqa_h5_maps *maps);

/*
 * The chunks of a dataset of the table, row-major; lent until given back.
 * Any thread. Errors as gqa_h5_child_chunks().
 */
GQA_MUST_USE
enum gqa_status gqa_h5_maps_get(struct gqa_h5_maps *maps,
                                const struct gqa_h5_chunk **chunks,
                                size_t dataset);
void gqa_h5_maps_give_back(struct gqa_h5_maps *maps, size_t dataset);

#endif
