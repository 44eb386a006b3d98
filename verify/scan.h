/* Every byte of a checkpoint's tensors read once: digests and NaN. */
#ifndef GQA_VERIFY_SCAN_H
#define GQA_VERIFY_SCAN_H

#include "common/progress.h"
#include "common/sha256.h"
#include "formats/checkpoint.h"

struct gqa_tensor_scan {
    uint64_t n_nan, n_inf; /* 0 where the dtype is not a float */
    unsigned char sha256[GQA_SHA256_BYTES]; /* where asked for */
};

/*
 * Read all tensors, on several threads, in blocks of fixed size.
 *
 * scans     [n_tensors], filled in.
 * progress  of all bytes; may be NULL.
 * Errors as gqa_checkpoint_read(): GQA_ERR_FORMAT is damage, and the message
 *        names the tensor. GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_scan(struct gqa_tensor_scan *scans,
                         struct gqa_checkpoint *checkpoint, bool with_digests,
                         unsigned n_threads, struct gqa_progress *progress);

#endif
