/*
 * What the data of a checkpoint looks like: NaN and infinity counts, range,
 * and the norm of each K and V head. Reads everything once and K and V
 * twice, in blocks, on several threads; the numbers are the same for any
 * number of threads.
 */
#ifndef GQA_INSPECT_STATS_H
#define GQA_INSPECT_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/checkpoint.h"
#include "formats/model/model.h"

struct gqa_tensor_stats {
    bool is_float; /* else nothing was read */
    uint64_t n_nan, n_inf;
    uint64_t n_finite;
    double min, max; /* of the finite elements, if there are any */
};

/*
 * L2 norm of each head's rows (or columns) of the K and V weight; biases do
 * not count. NULL where the weight is not floating-point. NaN or infinite
 * where the head is, or where squares of F64 values leave their range.
 */
struct gqa_head_stats {
    double *k, *v; /* [n_kv_heads] */
};

struct gqa_stats {
    struct gqa_tensor_stats *tensors; /* [n_tensors], as stored */
    size_t n_tensors;
    struct gqa_head_stats *heads; /* [n_attentions] */
    size_t n_attentions;
    double *norms; /* what heads points into */
};

/*
 * model: NULL where it is not known; then there are no heads.
 * n_threads: at least 1; more than 8 are not used, to bound the memory.
 * Errors as gqa_checkpoint_read(), GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_stats_create(struct gqa_stats **out,
                                 struct gqa_checkpoint *checkpoint,
                                 const struct gqa_model *model,
                                 unsigned n_threads);
void gqa_stats_free(struct gqa_stats *stats);

#endif
