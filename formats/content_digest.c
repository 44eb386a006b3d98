#include "formats/content_digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef GQA_XXHASH_DISPATCHES
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

struct gqa_content_digest {
    XXH3_state_t *state;
};

enum gqa_status gqa_content_digest_create(struct gqa_content_digest **out)
{
    struct gqa_content_digest *digest = malloc(sizeof *digest);

    if (!digest)
        return gqa_fail_nomem();
    digest->state = XXH3_createState();
    if (!digest->state) {
        free(digest);
        return gqa_fail_nomem();
    }
    (void)XXH3_128bits_reset(digest->state);
    *out = digest;
    return GQA_OK;
}

void gqa_content_digest_free(struct gqa_content_digest *digest)
{
    if (!digest)
        return;
    (void)XXH3_freeState(digest->state);
    free(digest);
}

void gqa_content_digest_update(struct gqa_content_digest *digest,
                               const void *bytes, size_t n)
{
    (void)XXH3_128bits_update(digest->state, bytes, n);
}

void gqa_content_digest_format(char hex[GQA_CONTENT_DIGITS + 1],
                               const struct gqa_content_digest *digest)
{
    const XXH128_hash_t hash = XXH3_128bits_digest(digest->state);

    snprintf(hex, GQA_CONTENT_DIGITS + 1, "%016" PRIx64 "%016" PRIx64,
             hash.high64, hash.low64);
}

bool gqa_content_digest_parse(char hex[GQA_CONTENT_DIGITS + 1],
                              const char *text)
{
    if (strlen(text) != GQA_CONTENT_DIGITS ||
        strspn(text, "0123456789abcdef") != GQA_CONTENT_DIGITS)
        return false;
    memcpy(hex, text, GQA_CONTENT_DIGITS + 1);
    return true;
}
