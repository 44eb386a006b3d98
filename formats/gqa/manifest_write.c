#include "formats/gqa/manifest_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/gqa/layout.h"

/* One digest over the header's and the tensors', in data order. */
static enum gqa_status digest_stream(unsigned char *digest,
                                     const unsigned char *header_sha256,
                                     const struct gqa_digest *digests, size_t n)
{
    struct gqa_sha256 *sha256 = NULL;
    enum gqa_status st;

    if ((st = gqa_sha256_create(&sha256)) != GQA_OK)
        return st;
    st = gqa_sha256_update(sha256, header_sha256, GQA_SHA256_BYTES);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = gqa_sha256_update(sha256, digests[i].bytes,
                               sizeof digests[i].bytes);
    if (st == GQA_OK)
        st = gqa_sha256_finish(sha256, digest);
    gqa_sha256_free(sha256);
    return st;
}

static json_t *list_tensors(const struct gqa_digest *digests,
                            const struct gqa_output_tensor *tensors,
                            const size_t *order, size_t n)
{
    json_t *list = json_array();
    char hex[GQA_SHA256_DIGITS + 1];

    for (size_t i = 0; i < n; i++) {
        gqa_sha256_format(hex, digests[i].bytes);
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "name",
                                        tensors[order[i]].name, "sha256", hex));
    }
    return list;
}

/*
 * The manifest's digest of itself is taken with its digits all 0, and put
 * in their place, which is the end of the text: ...000"}
 */
static enum gqa_status sign(char *text, size_t n)
{
    enum gqa_status st;
    unsigned char digest[GQA_SHA256_BYTES];
    char hex[GQA_SHA256_DIGITS + 1];

    if ((st = gqa_sha256(digest, text, n)) != GQA_OK)
        return st;
    gqa_sha256_format(hex, digest);
    memcpy(text + n - 2 - GQA_SHA256_DIGITS, hex, GQA_SHA256_DIGITS);
    return GQA_OK;
}

enum gqa_status gqa_manifest_create(char **out, size_t *n_bytes,
                                    uint64_t content_bytes,
                                    const unsigned char *header_sha256,
                                    const struct gqa_digest *digests,
                                    const struct gqa_output_tensor *tensors,
                                    const size_t *order, size_t n)
{
    enum gqa_status st;
    unsigned char stream[GQA_SHA256_BYTES];
    char header_hex[GQA_SHA256_DIGITS + 1];
    char stream_hex[GQA_SHA256_DIGITS + 1];
    char zeros[GQA_SHA256_DIGITS + 1];
    json_t *root, *list;
    char *text;

    if ((st = digest_stream(stream, header_sha256, digests, n)) != GQA_OK)
        return st;
    gqa_sha256_format(header_hex, header_sha256);
    gqa_sha256_format(stream_hex, stream);
    memset(zeros, '0', GQA_SHA256_DIGITS);
    zeros[GQA_SHA256_DIGITS] = '\0';
    list = list_tensors(digests, tensors, order, n);
    root = json_pack(
        "{s:i, s:I, s:s, s:o, s:s, s:s}", "gqa.manifest", GQA_MANIFEST_VERSION,
        "content_bytes", (json_int_t)content_bytes, "header_sha256", header_hex,
        "tensors", list, "stream_digest", stream_hex, "manifest_sha256", zeros);
    st = gqa_json_dump(&text, root, JSON_COMPACT);
    json_decref(root);
    if (st != GQA_OK)
        return st;
    *n_bytes = strlen(text);
    if ((st = sign(text, *n_bytes)) != GQA_OK) {
        free(text);
        return st;
    }
    *out = text;
    return GQA_OK;
}
