/* The manifest of a .gqa: digests of all that is in it. */
#ifndef GQA_FORMATS_GQA_MANIFEST_WRITE_H
#define GQA_FORMATS_GQA_MANIFEST_WRITE_H

#include "common/sha256.h"
#include "formats/write/output.h"

struct gqa_digest {
    unsigned char bytes[GQA_SHA256_BYTES];
};

/*
 * The manifest's text.
 *
 * content_bytes  length of the safetensors stream.
 * header_sha256  digest of its length and header.
 * digests        [n], in data order; tensors[order[i]] is the i-th.
 * out            receives *n_bytes bytes on GQA_OK; the caller frees them.
 * Errors         GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_manifest_create(char **out, size_t *n_bytes,
                                    uint64_t content_bytes,
                                    const unsigned char *header_sha256,
                                    const struct gqa_digest *digests,
                                    const struct gqa_output_tensor *tensors,
                                    const size_t *order, size_t n);

#endif
