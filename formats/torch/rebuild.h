/* What comes of the calls that a pickle of PyTorch asks for. */
#ifndef GQA_FORMATS_TORCH_REBUILD_H
#define GQA_FORMATS_TORCH_REBUILD_H

#include "formats/torch/values.h"

/*
 * The value that "calling" a global on these arguments stands for. Errors
 * GQA_ERR_FORMAT: a tensor that reaches beyond its storage, arguments that do
 * not fit; GQA_ERR_UNSUPPORTED: what may not be called, elements of a type
 * that we do not read, too many dimensions; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_pickle_call(uint32_t *out, struct gqa_pickle_values *values,
                                uint32_t callable, uint32_t arguments);

/* The storage that a persistent id tells of; errors alike. */
GQA_MUST_USE
enum gqa_status gqa_pickle_find_storage(uint32_t *out,
                                        struct gqa_pickle_values *values,
                                        uint32_t id);

#endif
