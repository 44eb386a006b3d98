/* Files without a name, for what is too large for memory. */
#ifndef GQA_COMMON_TEMPORARY_H
#define GQA_COMMON_TEMPORARY_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/*
 * A file in $TMPDIR, or /tmp, that is gone once *fd is closed, with n_bytes
 * reserved, so that a full disk is found before anything is computed.
 *
 * what    it is for, said in the message: "what the model gives"
 * Errors  GQA_ERR_IO with the folder and the bytes needed.
 */
GQA_MUST_USE
enum gqa_status gqa_temporary_open(int *fd, uint64_t n_bytes, const char *what);

/* Write n bytes at offset, all of them. Errors GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_temporary_write(int fd, const void *bytes, size_t n,
                                    uint64_t offset);

#endif
