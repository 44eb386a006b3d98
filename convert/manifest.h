/* SHA-256 digests, and the manifest that lists them. */
#ifndef GQA_CONVERT_MANIFEST_H
#define GQA_CONVERT_MANIFEST_H

#include "common/status.h"
#include "convert/output.h"

enum { GQA_DIGEST_BYTES = 32 };

struct gqa_digest {
    unsigned char bytes[GQA_DIGEST_BYTES];
};

/* A digest that content is fed to piece by piece. */
struct gqa_hash;

/* NULL when out of memory. */
struct gqa_hash *gqa_hash_create(void);
void gqa_hash_free(struct gqa_hash *hash);

/* Errors GQA_ERR_IO: the cryptographic library failed. */
GQA_MUST_USE
enum gqa_status gqa_hash_update(struct gqa_hash *hash, const void *data,
                                size_t n);

/* The digest of all since the start, which begins anew. Errors as above. */
GQA_MUST_USE
enum gqa_status gqa_hash_finish(struct gqa_hash *hash,
                                struct gqa_digest *digest);

GQA_MUST_USE
enum gqa_status gqa_digest_of(struct gqa_digest *digest, const void *data,
                              size_t n);

/*
 * The manifest's text.
 *
 * content_bytes  length of the safetensors stream.
 * header         digest of its length and header.
 * digests        [n], in data order; tensors[order[i]] is the i-th.
 * out            receives *n_bytes bytes on GQA_OK; the caller frees them.
 * Errors         GQA_ERR_NOMEM, GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_manifest_create(char **out, size_t *n_bytes,
                                    uint64_t content_bytes,
                                    const struct gqa_digest *header,
                                    const struct gqa_digest *digests,
                                    const struct gqa_output_tensor *tensors,
                                    const size_t *order, size_t n);

#endif
