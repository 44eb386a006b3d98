/*
 * SHA-256 of output tensors whose values follow from nothing else that is kept,
 * since they were fitted or trained: a recipe records them
 * (docs/gqa-format.md), so that a change of them is found in any container.
 */
#ifndef GQA_FORMATS_WRITE_DIGESTS_H
#define GQA_FORMATS_WRITE_DIGESTS_H

#include "formats/write/output.h"

/*
 * *out: an object of strings, "F32 5a2b...", the type and the SHA-256 by name,
 * owned by the caller: of those of n tensors that are wanted [n], the bytes as
 * they are produced; NULL: none is wanted.
 * Errors those of produce; GQA_ERR_NOMEM, GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_output_digests(json_t **out,
                                   const struct gqa_output_tensor *tensors,
                                   const bool *wanted, size_t n,
                                   gqa_produce_fn produce, void *produce_ctx,
                                   unsigned n_threads);

#endif
