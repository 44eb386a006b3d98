/*
 * A Hugging Face folder: weights in shards with an index, config.json, and
 * the other files of the source's folder.
 */
#ifndef GQA_FORMATS_FOLDER_WRITE_H
#define GQA_FORMATS_FOLDER_WRITE_H

#include "formats/write/output.h"

/* gqa_output_write() of kind GQA_OUTPUT_FOLDER. */
GQA_MUST_USE
enum gqa_status gqa_folder_write(struct gqa_output_summary *summary,
                                 const char *path,
                                 const struct gqa_output_tensor *tensors,
                                 size_t n_tensors, gqa_produce_fn produce,
                                 void *produce_ctx,
                                 const struct gqa_output_options *options);

/* Whether that would refuse what is at path; of options kind, force and
 * copy_from count. */
GQA_MUST_USE
enum gqa_status gqa_folder_try(const char *path,
                               const struct gqa_output_options *options);

#endif
