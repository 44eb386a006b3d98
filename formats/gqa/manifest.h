/*
 * The manifest of a .gqa: digests of the header, of each tensor's content
 * and of both together, and of itself.
 */
#ifndef GQA_FORMATS_GQA_MANIFEST_H
#define GQA_FORMATS_GQA_MANIFEST_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/tensor.h"

/* What the rest of the file says, to hold the manifest against. */
struct gqa_manifest_subject {
    uint64_t content_bytes;             /* of the whole stream */
    const unsigned char *header_sha256; /* [GQA_SHA256_BYTES] */
    const struct gqa_tensor *tensors;   /* [n_tensors] in data order */
    size_t n_tensors;
};

/*
 * Parse a manifest and check all of it that can be checked without reading
 * the tensors.
 *
 * manifest  receives the object on GQA_OK; the caller owns it.
 * text      [length]; changed: the manifest's own digest is blanked, as it
 *           was when the digest was made.
 * Errors    GQA_ERR_FORMAT: damaged, or of another file; GQA_ERR_UNSUPPORTED:
 *           of a later version; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_manifest_parse(json_t **manifest, char *text, size_t length,
                                   const struct gqa_manifest_subject *subject);

#endif
