#include "common/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

/*
 * EVP's functions (up to 3.0 at least) crash where the state that they share
 * could not be made.
 */
static bool library_is_ready(void)
{
    return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 &&
           OSSL_LIB_CTX_get0_global_default() != NULL;
}

enum gqa_status gqa_sha256(unsigned char *digest, const void *data, size_t n)
{
    if (!library_is_ready() ||
        EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL) != 1)
        return gqa_fail_nomem();
    return GQA_OK;
}

struct gqa_sha256 {
    EVP_MD_CTX *ctx;
};

enum gqa_status gqa_sha256_create(struct gqa_sha256 **out)
{
    struct gqa_sha256 *sha256 = calloc(1, sizeof *sha256);

    if (!sha256)
        return gqa_fail_nomem();
    if (library_is_ready())
        sha256->ctx = EVP_MD_CTX_new();
    if (!sha256->ctx ||
        EVP_DigestInit_ex(sha256->ctx, EVP_sha256(), NULL) != 1) {
        gqa_sha256_free(sha256);
        return gqa_fail_nomem();
    }
    *out = sha256;
    return GQA_OK;
}

void gqa_sha256_free(struct gqa_sha256 *sha256)
{
    if (!sha256)
        return;
    EVP_MD_CTX_free(sha256->ctx);
    free(sha256);
}

enum gqa_status gqa_sha256_update(struct gqa_sha256 *sha256, const void *data,
                                  size_t n)
{
    if (EVP_DigestUpdate(sha256->ctx, data, n) != 1)
        return gqa_fail_nomem();
    return GQA_OK;
}

enum gqa_status gqa_sha256_finish(struct gqa_sha256 *sha256,
                                  unsigned char *digest)
{
    if (EVP_DigestFinal_ex(sha256->ctx, digest, NULL) != 1)
        return gqa_fail_nomem();
    return GQA_OK;
}

void gqa_sha256_format(char *hex, const unsigned char *digest)
{
    for (size_t i = 0; i < GQA_SHA256_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[GQA_SHA256_DIGITS] = '\0';
}

bool gqa_sha256_parse(unsigned char *digest, const char *hex)
{
    if (strlen(hex) != GQA_SHA256_DIGITS ||
        strspn(hex, digits) != GQA_SHA256_DIGITS)
        return false;
    for (size_t i = 0; i < GQA_SHA256_BYTES; i++) {
        const char *high = strchr(digits, hex[2 * i]);
        const char *low = strchr(digits, hex[2 * i + 1]);

        digest[i] = (unsigned char)((high - digits) << 4 | (low - digits));
    }
    return true;
}
