/* A fixed number of equal, aligned buffers. */
#ifndef GQA_FORMATS_WRITE_BUFFERS_H
#define GQA_FORMATS_WRITE_BUFFERS_H

#include <stddef.h>

#include "common/status.h"

struct gqa_buffers;

/*
 * n_buffers of at least buffer_bytes each. Memory is taken from the system
 * as buffers are first used. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_buffers_create(struct gqa_buffers **out, size_t n_buffers,
                                   size_t buffer_bytes);
void gqa_buffers_free(struct gqa_buffers *buffers);

/* Buffers that can be taken now. */
size_t gqa_buffers_n_left(const struct gqa_buffers *buffers);

/*
 * The one given back last, which caches may still hold, aligned to a page;
 * one must be left. Taking and giving are the caller's to serialise.
 */
void *gqa_buffers_take(struct gqa_buffers *buffers);
void gqa_buffers_give(struct gqa_buffers *buffers, void *buffer);

#endif
