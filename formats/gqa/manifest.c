#include "formats/gqa/manifest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/sha256.h"
#include "formats/gqa/layout.h"

static enum gqa_status get_digest(unsigned char *digest, const json_t *object,
                                  const char *key, const char *what)
{
    const char *hex = json_string_value(json_object_get(object, key));

    if (!hex || !gqa_sha256_parse(digest, hex))
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: %s is not a SHA-256 in 64 lower-case "
                        "hexadecimal digits",
                        what);
    return GQA_OK;
}

/* The manifest's digest is that of its text with 64 zeros in its place. */
static enum gqa_status check_itself(const json_t *root, char *text,
                                    size_t length)
{
    const json_t *value = json_object_get(root, "manifest_sha256");
    unsigned char stated[GQA_SHA256_BYTES], actual[GQA_SHA256_BYTES];
    enum gqa_status st;
    const char *hex;
    char *place, *rest;

    st = get_digest(stated, root, "manifest_sha256", "manifest_sha256");
    if (st != GQA_OK)
        return st;
    hex = json_string_value(value);
    place = memmem(text, length, hex, GQA_SHA256_DIGITS);
    rest = place ? place + GQA_SHA256_DIGITS : NULL;
    if (!place ||
        memmem(rest, length - (size_t)(rest - text), hex, GQA_SHA256_DIGITS))
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: the digits of manifest_sha256 do not occur "
                        "exactly once in its text");
    memset(place, '0', GQA_SHA256_DIGITS);
    if ((st = gqa_sha256(actual, text, length)) != GQA_OK)
        return st;
    if (memcmp(stated, actual, sizeof stated) != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: its text does not fit its own digest "
                        "(manifest_sha256); it is damaged");
    return GQA_OK;
}

static enum gqa_status check_version(const json_t *root)
{
    const json_t *value = json_object_get(root, "gqa.manifest");
    uint64_t version;

    if (!gqa_json_u64(value, &version))
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: no version (gqa.manifest) in it");
    if (version != GQA_MANIFEST_VERSION)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "manifest: version %" PRIu64 "; this tool reads "
                        "version %d, so a newer one is needed",
                        version, GQA_MANIFEST_VERSION);
    return GQA_OK;
}

static enum gqa_status check_header(const json_t *root,
                                    const struct gqa_manifest_subject *subject)
{
    unsigned char digest[GQA_SHA256_BYTES];
    enum gqa_status st;
    uint64_t n_bytes;

    if (!gqa_json_u64(json_object_get(root, "content_bytes"), &n_bytes))
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: content_bytes is not a number");
    if (n_bytes != subject->content_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: content_bytes is %" PRIu64 "; the header "
                        "makes it %" PRIu64,
                        n_bytes, subject->content_bytes);
    st = get_digest(digest, root, "header_sha256", "header_sha256");
    if (st != GQA_OK)
        return st;
    if (memcmp(digest, subject->header_sha256, sizeof digest) != 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: header_sha256 is not the header's digest; "
                        "the header was changed or is another file's");
    return GQA_OK;
}

/* digests: [n_tensors + 1][GQA_SHA256_BYTES]; the tensors' go behind [0]. */
static enum gqa_status check_tensors(unsigned char *digests, const json_t *root,
                                     const struct gqa_manifest_subject *subject)
{
    const json_t *list = json_object_get(root, "tensors");

    if (!json_is_array(list) || json_array_size(list) != subject->n_tensors)
        return gqa_fail(GQA_ERR_FORMAT,
                        "manifest: lists %zu tensors; the header has %zu",
                        json_array_size(list), subject->n_tensors);
    for (size_t i = 0; i < subject->n_tensors; i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        enum gqa_status st;

        if (!name || strcmp(name, subject->tensors[i].name) != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "manifest: tensor %zu is \"%.200s\"; in the data "
                            "it is %s",
                            i, name ? name : "", subject->tensors[i].name);
        st = get_digest(digests + (i + 1) * GQA_SHA256_BYTES, item, "sha256",
                        name);
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

static enum gqa_status check_digests(const json_t *root,
                                     const struct gqa_manifest_subject *subject)
{
    const size_t n_bytes = (subject->n_tensors + 1) * GQA_SHA256_BYTES;
    unsigned char stated[GQA_SHA256_BYTES], actual[GQA_SHA256_BYTES];
    unsigned char *digests = malloc(n_bytes);
    enum gqa_status st;

    if (!digests)
        return gqa_fail_nomem();
    memcpy(digests, subject->header_sha256, GQA_SHA256_BYTES);
    if ((st = check_tensors(digests, root, subject)) != GQA_OK)
        goto done;
    st = get_digest(stated, root, "stream_digest", "stream_digest");
    if (st != GQA_OK)
        goto done;
    if ((st = gqa_sha256(actual, digests, n_bytes)) != GQA_OK)
        goto done;
    if (memcmp(stated, actual, sizeof stated) != 0)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "manifest: stream_digest is not the digest of the "
                      "header's and the tensors' digests");
done:
    free(digests);
    return st;
}

enum gqa_status gqa_manifest_parse(json_t **manifest, char *text, size_t length,
                                   const struct gqa_manifest_subject *subject)
{
    enum gqa_status st;
    json_t *root;

    if ((st = gqa_json_parse_list(&root, text, length, "manifest")) != GQA_OK)
        return st;
    if ((st = check_version(root)) != GQA_OK)
        goto done;
    if ((st = check_itself(root, text, length)) != GQA_OK)
        goto done;
    if ((st = check_header(root, subject)) != GQA_OK)
        goto done;
    if ((st = check_digests(root, subject)) != GQA_OK)
        goto done;
    *manifest = json_incref(root);
done:
    json_decref(root);
    return st;
}
