/*
 * The content of the frames of a .gqa. Frames are decompressed one at a
 * time, by as many threads as ask; the last few that were read in part are
 * kept.
 */
#ifndef GQA_FORMATS_GQA_FRAME_READER_H
#define GQA_FORMATS_GQA_FRAME_READER_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/gqa/frame_table.h"

struct gqa_frame_reader;
struct gqa_kept_frame;

/*
 * fd and table are lent until gqa_frame_reader_free(), and so is the memory
 * of table. The caller owns *out.
 */
GQA_MUST_USE
enum gqa_status gqa_frame_reader_create(struct gqa_frame_reader **out, int fd,
                                        const struct gqa_frame_table *table);
void gqa_frame_reader_free(struct gqa_frame_reader *reader);

/*
 * Decompress frame i (not 0, the header's) into buf, which has room for its
 * content. Any thread.
 *
 * Errors GQA_ERR_FORMAT: the frame is damaged, or is not as the table says;
 *        the message names frame and byte. GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_frame_reader_read(struct gqa_frame_reader *reader, size_t i,
                                      void *buf);

/*
 * As above, in memory that is shared: *content is lent until
 * gqa_frame_reader_release(reader, *kept).
 */
GQA_MUST_USE
enum gqa_status gqa_frame_reader_acquire(struct gqa_frame_reader *reader,
                                         size_t i, struct gqa_kept_frame **kept,
                                         const unsigned char **content);
void gqa_frame_reader_release(struct gqa_frame_reader *reader,
                              struct gqa_kept_frame *kept);

#endif
