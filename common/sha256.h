/* SHA-256 through libcrypto, and its spelling in hexadecimal. */
#ifndef GQA_COMMON_SHA256_H
#define GQA_COMMON_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

enum { GQA_SHA256_BYTES = 32, GQA_SHA256_DIGITS = 64 };

/* digest: [GQA_SHA256_BYTES]. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_sha256(unsigned char *digest, const void *data, size_t n);

/* The same for data that comes piece by piece. */
struct gqa_sha256;

/* Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_sha256_create(struct gqa_sha256 **out);
void gqa_sha256_free(struct gqa_sha256 *sha256);
GQA_MUST_USE
enum gqa_status gqa_sha256_update(struct gqa_sha256 *sha256, const void *data,
                                  size_t n);
/* The digest of all pieces; there can be no more. */
GQA_MUST_USE
enum gqa_status gqa_sha256_finish(struct gqa_sha256 *sha256,
                                  unsigned char *digest);

/* hex: [GQA_SHA256_DIGITS + 1], lower case, with its NUL. */
void gqa_sha256_format(char *hex, const unsigned char *digest);

/* False unless hex is GQA_SHA256_DIGITS lower-case digits and no more. */
bool gqa_sha256_parse(unsigned char *digest, const char *hex);

#endif
