/*
 * Reading a Keras archive (.keras), as model.save() writes it: its weights are
 * an HDF5 file, which is copied into $TMPDIR and read there.
 */
#ifndef GQA_FORMATS_KERAS_READER_H
#define GQA_FORMATS_KERAS_READER_H

#include "formats/source.h"

/* See struct gqa_format. */
GQA_MUST_USE
enum gqa_status gqa_keras_open(struct gqa_source **out,
                               const struct gqa_file_handle *file);

#endif
