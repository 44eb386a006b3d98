/*
 * Meta's models in several files: consolidated.00.pth, consolidated.01.pth and
 * so on hold each a part of every matrix, as it lay on one device of several.
 */
#ifndef GQA_FORMATS_ORIGINAL_PARTS_H
#define GQA_FORMATS_ORIGINAL_PARTS_H

#include <stdbool.h>

#include "formats/source.h"

enum { GQA_ORIGINAL_MAX_PARTS = 100 };

/* Whether the file's name is that of the first part. */
bool gqa_original_is_first_part(const char *path);

/* The name of another part's file beside it; the caller's, NULL: no memory.
 * i: up to GQA_ORIGINAL_MAX_PARTS. */
char *gqa_original_part_path(const char *first, size_t i);

/*
 * *out receives a source of whole tensors, which closes the parts then: rows
 * one below the other (queries, keys, values, the way into a feed-forward,
 * logits), columns side by side (the ways out of both, and an embedding that is
 * cut so), or one of what all have (norms). A tensor that one part alone has is
 * taken as it is.
 *
 * parts   [n], in their order; the caller's where it fails.
 * Errors  GQA_ERR_FORMAT: parts of a tensor that are not alike;
 *         GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_original_join(struct gqa_source **out,
                                  struct gqa_source *const *parts, size_t n);

/*
 * Whether one of them is there twice, which reads a piece of each, and all of
 * two that are alike. joined: from gqa_original_join(). Errors GQA_ERR_FORMAT:
 * every matrix that is cut is the same in two parts; GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_original_parts_differ(struct gqa_source *joined);

#endif
