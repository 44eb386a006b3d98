/* Spans (tensor.h): checked against a size, and read from a file. */
#ifndef GQA_FORMATS_SPAN_H
#define GQA_FORMATS_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/tensor.h"

/* Whether all pieces lie within n_bytes, and their sum in a size_t. */
bool gqa_span_fits(const struct gqa_span *span, uint64_t n_bytes);

/*
 * The same bytes in as few pieces as possible: pieces that touch become one,
 * no bytes become no pieces. The span must fit somewhere.
 */
struct gqa_span gqa_span_simplify(struct gqa_span span);

/*
 * Read a span of content that lies at byte `base` of a file. Small pieces
 * with small gaps between them are read together. Errors GQA_ERR_IO,
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_span_pread(int fd, uint64_t base,
                               const struct gqa_span *span, void *buf);

#endif
