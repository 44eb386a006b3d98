/*
 * Who wrote an HDF5 file, which of its datasets are weights, and what they
 * are called. Runs in the parser's process.
 */
#ifndef GQA_FORMATS_HDF5_SURVEY_H
#define GQA_FORMATS_HDF5_SURVEY_H

#include "common/status.h"
#include "formats/hdf5/library/library.h"
#include "formats/hdf5/table.h"

/*
 * table: zero-initialised; to be cleared also after a failure.
 * Errors GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_survey(struct gqa_h5_table *table,
                              struct gqa_h5_file *file);

#endif
