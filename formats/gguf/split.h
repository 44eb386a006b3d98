/*
 * A model in several files, as llama.cpp's gguf-split cuts one: the first has
 * all keys, each some of the tensors, in their order.
 */
#ifndef GQA_FORMATS_GGUF_SPLIT_H
#define GQA_FORMATS_GGUF_SPLIT_H

#include "formats/gguf/draft.h"

/* One of them. */
struct gqa_gguf_part {
    unsigned number, count; /* from 0 on; count 1: one file by itself */
    size_t first, n;        /* of the draft's tensors */
    uint64_t data_bytes;    /* of these, padded */
};

struct gqa_gguf_split {
    struct gqa_gguf_part *parts; /* [n], owned */
    size_t n;                    /* at least 1 */
};

/*
 * Cut the draft's tensors into files with at most `most` bytes of them each, a
 * larger tensor being a file of its own; 0: into one.
 *
 * Errors GQA_ERR_USAGE: more files than names can count or a process may have
 * open; GQA_ERR_NOMEM. The caller clears it on an error, too.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_split_create(struct gqa_gguf_split *split,
                                      const struct gqa_gguf_draft *draft,
                                      uint64_t most);
void gqa_gguf_split_clear(struct gqa_gguf_split *split);

/* Of a part of NAME.gguf, "NAME-00001-of-00003.gguf", or that name where there
 * is one. Owned; NULL when memory is short. */
char *gqa_gguf_part_path(const char *path, const struct gqa_gguf_part *part);

/* The same into out, as snprintf() does it. */
int gqa_gguf_part_name(char *out, size_t size, const char *path,
                       const struct gqa_gguf_part *part);

#endif
