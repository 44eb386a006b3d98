/*
 * A digest of many bytes, as fast as memory: XXH3, 128 bits. It tells whether
 * somebody has changed a file, not whether somebody did so to deceive.
 */
#ifndef GQA_FORMATS_CONTENT_DIGEST_H
#define GQA_FORMATS_CONTENT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"

enum { GQA_CONTENT_DIGITS = 32 };

struct gqa_content_digest;

/* Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_content_digest_create(struct gqa_content_digest **out);
void gqa_content_digest_free(struct gqa_content_digest *digest);

void gqa_content_digest_update(struct gqa_content_digest *digest,
                               const void *bytes, size_t n);

/* In lower-case hexadecimal, as xxhsum -H2 prints it. */
void gqa_content_digest_format(char hex[GQA_CONTENT_DIGITS + 1],
                               const struct gqa_content_digest *digest);

/* Copy what looks like one; false: it does not. */
bool gqa_content_digest_parse(char hex[GQA_CONTENT_DIGITS + 1],
                              const char *text);

#endif
