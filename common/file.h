/* Files opened for reading, and reads that are whole or an error. */
#ifndef GQA_COMMON_FILE_H
#define GQA_COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/*
 * Open a regular file for reading; a pipe, device or folder is refused, and
 * opening one does not hang. The caller closes *fd.
 *
 * size  receives the file's length in bytes.
 * Errors GQA_ERR_IO, GQA_ERR_FORMAT.
 */
GQA_MUST_USE
enum gqa_status gqa_file_open(int *fd, uint64_t *size, const char *path);

/*
 * Open a file for what is written to its end; it is made where there is none.
 * Of a pipe or a device what is written goes there, and one that nobody reads
 * is refused, not waited for. The caller closes *fd. Errors GQA_ERR_USAGE: such
 * a pipe; GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_file_append(int *fd, const char *path);

/*
 * Read n bytes at offset, all of them. Errors GQA_ERR_IO; a file that ends
 * before is "shrank while it was read". The message has no file name.
 */
GQA_MUST_USE
enum gqa_status gqa_file_read(int fd, void *buf, size_t n, uint64_t offset);

/* Write n bytes where the descriptor stands, all of them. False: errno says
 * why not. */
GQA_MUST_USE
bool gqa_file_write(int fd, const void *data, size_t n);

#endif
