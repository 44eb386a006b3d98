/* Reading HDF5: of TensorFlow, of Keras, and flat. */
#ifndef GQA_FORMATS_HDF5_READER_H
#define GQA_FORMATS_HDF5_READER_H

#include "formats/source.h"

/*
 * See struct gqa_format. The library parses the file in a sandboxed child
 * process; tensors are read by this one.
 */
GQA_MUST_USE
enum gqa_status gqa_hdf5_open(struct gqa_source **out,
                              const struct gqa_file_handle *file);

#endif
