/* A checkpoint on standard input, which may be a pipe. */
#ifndef GQA_FORMATS_STANDARD_INPUT_H
#define GQA_FORMATS_STANDARD_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

/* The operand that means it. */
#define GQA_STANDARD_INPUT "-"

/* Its name in messages, and a path that leads to the same file. */
#define GQA_STANDARD_INPUT_PATH "/dev/stdin"

/*
 * Readers look here and there, so that what comes through a pipe is copied
 * into a temporary file first; a regular file is read where it lies. What its
 * beginning shows to be no checkpoint is refused before more is read.
 *
 * fd        receives the descriptor, which the caller closes.
 * size      receives the length in bytes: that which came.
 * is_copy   whether it is such a file, which nobody else can change.
 * Errors    GQA_ERR_USAGE: a terminal; GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED:
 *           nothing came, or nothing that is read; GQA_ERR_IO;
 *           GQA_ERR_INTERRUPTED; GQA_ERR_NOMEM. The message begins with the
 *           path.
 */
GQA_MUST_USE
enum gqa_status gqa_standard_input_open(int *fd, uint64_t *size, bool *is_copy);

/* GQA_ERR_UNSUPPORTED: it is an index. */
enum gqa_status gqa_standard_input_refuse_index(void);

#endif
