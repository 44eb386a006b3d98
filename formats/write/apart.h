/* An output must be none of the files that are read for it. */
#ifndef GQA_FORMATS_WRITE_APART_H
#define GQA_FORMATS_WRITE_APART_H

#include <stdbool.h>

#include "formats/checkpoint.h"

/*
 * That the output is neither a file of the checkpoint, nor its folder, nor one
 * in which a file of it really lies.
 *
 * path       of the output; of standard output a name for messages.
 * to_stdout  the output is standard output.
 * other      a file beside the checkpoint that is read too, or NULL.
 * Errors     GQA_ERR_USAGE; GQA_ERR_IO: it cannot be told.
 */
GQA_MUST_USE
enum gqa_status gqa_output_check_apart(const char *path, bool to_stdout,
                                       const struct gqa_checkpoint *source,
                                       const char *other);

/* Whether two names are of one place, where nothing need be yet. Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_output_is_place(bool *same, const char *a, const char *b);

#endif
