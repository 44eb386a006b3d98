/* Contents of a GGUF file's tensors, from those that a model is produced in. */
#ifndef GQA_FORMATS_GGUF_CONTENT_H
#define GQA_FORMATS_GGUF_CONTENT_H

#include "formats/gguf/draft.h"

struct gqa_gguf_content;

/*
 * draft and output are lent and must outlive it. Memory: about a MiB for each
 * of the output's threads. The caller ends it with gqa_gguf_content_free().
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_content_create(struct gqa_gguf_content **out,
                                        const struct gqa_gguf_draft *draft,
                                        const struct gqa_output *output);
void gqa_gguf_content_free(struct gqa_gguf_content *content);

/* gqa_produce_fn of the draft's tensors, each with its padding. */
GQA_MUST_USE
enum gqa_status gqa_gguf_content_produce(void *content, unsigned worker,
                                         size_t tensor, uint64_t offset,
                                         size_t n, void *buf);

#endif
