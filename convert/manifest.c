#include "convert/manifest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { HEX_DIGITS = 2 * GQA_DIGEST_BYTES };

struct gqa_hash {
    EVP_MD_CTX *ctx;
};

struct gqa_hash *gqa_hash_create(void)
{
    struct gqa_hash *hash = calloc(1, sizeof *hash);

    if (!hash)
        return NULL;
    hash->ctx = EVP_MD_CTX_new();
    if (!hash->ctx || EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1) {
        gqa_hash_free(hash);
        return NULL;
    }
    return hash;
}

void gqa_hash_free(struct gqa_hash *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->ctx);
    free(hash);
}

static enum gqa_status fail_digest(void)
{
    return gqa_fail(GQA_ERR_IO, "libcrypto cannot compute SHA-256");
}

enum gqa_status gqa_hash_update(struct gqa_hash *hash, const void *data,
                                size_t n)
{
    return EVP_DigestUpdate(hash->ctx, data, n) == 1 ? GQA_OK : fail_digest();
}

enum gqa_status gqa_hash_finish(struct gqa_hash *hash,
                                struct gqa_digest *digest)
{
    if (EVP_DigestFinal_ex(hash->ctx, digest->bytes, NULL) != 1 ||
        EVP_DigestInit_ex(hash->ctx, NULL, NULL) != 1)
        return fail_digest();
    return GQA_OK;
}

enum gqa_status gqa_digest_of(struct gqa_digest *digest, const void *data,
                              size_t n)
{
    if (EVP_Digest(data, n, digest->bytes, NULL, EVP_sha256(), NULL) != 1)
        return fail_digest();
    return GQA_OK;
}

static void put_hex(char hex[HEX_DIGITS + 1], const struct gqa_digest *digest)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < GQA_DIGEST_BYTES; i++) {
        hex[2 * i] = digits[digest->bytes[i] >> 4];
        hex[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    hex[HEX_DIGITS] = '\0';
}

/* One digest over the header's and the tensors', in data order. */
static enum gqa_status digest_stream(struct gqa_digest *out,
                                     const struct gqa_digest *header,
                                     const struct gqa_digest *digests, size_t n)
{
    enum gqa_status st;
    struct gqa_hash *hash = gqa_hash_create();

    if (!hash)
        return gqa_fail_nomem();
    st = gqa_hash_update(hash, header->bytes, sizeof header->bytes);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = gqa_hash_update(hash, digests[i].bytes, sizeof digests[i].bytes);
    if (st == GQA_OK)
        st = gqa_hash_finish(hash, out);
    gqa_hash_free(hash);
    return st;
}

static json_t *list_tensors(const struct gqa_digest *digests,
                            const struct gqa_output_tensor *tensors,
                            const size_t *order, size_t n)
{
    json_t *list = json_array();
    char hex[HEX_DIGITS + 1];

    for (size_t i = 0; i < n; i++) {
        put_hex(hex, &digests[i]);
        if (json_array_append_new(list, json_pack("{s:s, s:s}", "name",
                                                  tensors[order[i]].name,
                                                  "sha256", hex)) != 0) {
            json_decref(list);
            return NULL;
        }
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
    struct gqa_digest digest;
    char hex[HEX_DIGITS + 1];

    if ((st = gqa_digest_of(&digest, text, n)) != GQA_OK)
        return st;
    put_hex(hex, &digest);
    memcpy(text + n - 2 - HEX_DIGITS, hex, HEX_DIGITS);
    return GQA_OK;
}

enum gqa_status gqa_manifest_create(char **out, size_t *n_bytes,
                                    uint64_t content_bytes,
                                    const struct gqa_digest *header,
                                    const struct gqa_digest *digests,
                                    const struct gqa_output_tensor *tensors,
                                    const size_t *order, size_t n)
{
    enum gqa_status st;
    struct gqa_digest stream;
    char header_hex[HEX_DIGITS + 1], stream_hex[HEX_DIGITS + 1];
    char zeros[HEX_DIGITS + 1];
    json_t *root, *list;
    char *text;

    if ((st = digest_stream(&stream, header, digests, n)) != GQA_OK)
        return st;
    put_hex(header_hex, header);
    put_hex(stream_hex, &stream);
    memset(zeros, '0', HEX_DIGITS);
    zeros[HEX_DIGITS] = '\0';
    list = list_tensors(digests, tensors, order, n);
    root = json_pack("{s:i, s:I, s:s, s:o, s:s, s:s}", "gqa.manifest", 1,
                     "content_bytes", (json_int_t)content_bytes,
                     "header_sha256", header_hex, "tensors", list,
                     "stream_digest", stream_hex, "manifest_sha256", zeros);
    text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return gqa_fail_nomem();
    *n_bytes = strlen(text);
    if ((st = sign(text, *n_bytes)) != GQA_OK) {
        free(text);
        return st;
    }
    *out = text;
    return GQA_OK;
}
