/*
 * A file that is written from front to back, past the page cache where the
 * file system allows it: pages that nobody will read soon are not worth the
 * processor time of filling them, nor what they push out.
 */
#ifndef GQA_FORMATS_WRITE_SINK_H
#define GQA_FORMATS_WRITE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/*
 * Bytes that the caller leaves before data that lies in place, and the
 * alignment of everything written directly.
 */
enum { GQA_SINK_ALIGN = 4096 };

struct gqa_sink;

/*
 * fd         an empty file, or anything that is written where it stands: lent.
 * is_stream  the latter.
 * path       its name in messages, lent.
 * n_bytes    its size in the end where that is known, else 0; for messages.
 */
GQA_MUST_USE
enum gqa_status gqa_sink_create(struct gqa_sink **out, int fd, bool is_stream,
                                const char *path, uint64_t n_bytes);
void gqa_sink_free(struct gqa_sink *sink);

/* Bytes given to the sink so far: where the next ones go. */
uint64_t gqa_sink_offset(const struct gqa_sink *sink);

/*
 * Append n bytes. Errors GQA_ERR_IO: a full disk, a limit, a fault of the
 * device; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_sink_write(struct gqa_sink *sink, const void *data,
                               size_t n);

/*
 * The same for data with GQA_SINK_ALIGN bytes before it that the sink may
 * overwrite. Nothing is copied when data lies as far behind a multiple of
 * GQA_SINK_ALIGN as its place in the file.
 */
GQA_MUST_USE
enum gqa_status gqa_sink_write_in_place(struct gqa_sink *sink, void *data,
                                        size_t n);

/* Write what is left and wait until all is on the device, where it goes to
 * one. Errors as above. */
GQA_MUST_USE
enum gqa_status gqa_sink_finish(struct gqa_sink *sink);

#endif
