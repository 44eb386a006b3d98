/*
 * gqa-manifest.json: what we have written into a folder, so that replacing it
 * later replaces that and nothing else.
 */
#ifndef GQA_FORMATS_FOLDER_MANIFEST_H
#define GQA_FORMATS_FOLDER_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sha256.h"
#include "formats/content_digest.h"

#define GQA_FOLDER_MANIFEST_NAME "gqa-manifest.json"

/* The longest one that is read: far more files than a folder is cut into. */
#define GQA_FOLDER_MANIFEST_MAX_BYTES ((size_t)16 << 20)

struct gqa_listed_file {
    char *name; /* owned */
    uint64_t n_bytes;
    /* Weights have a digest that takes no time beside writing them. */
    bool is_weights;
    char xxh3_128[GQA_CONTENT_DIGITS + 1];  /* of weights */
    unsigned char sha256[GQA_SHA256_BYTES]; /* of all others */
};

/* Zero-initialise; gqa_folder_manifest_clear() frees what came in. */
struct gqa_folder_manifest {
    struct gqa_listed_file *files; /* [n] */
    size_t n;
};

/*
 * Add a copy of file under the name, which need not be UTF-8.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_folder_manifest_add(struct gqa_folder_manifest *manifest,
                                        const char *name,
                                        const struct gqa_listed_file *file);
void gqa_folder_manifest_clear(struct gqa_folder_manifest *manifest);

/* What is to be written, sorted by name. tool: by what, one of ours. Owned; as
 * gqa_json_check() says. */
json_t *gqa_folder_manifest_describe(struct gqa_folder_manifest *manifest,
                                     const char *tool);

/* No less than what n_files with names of name_bytes in all will take. */
uint64_t gqa_folder_manifest_most_bytes(size_t n_files, uint64_t name_bytes);

/*
 * What a manifest says; sorted, no name twice, each the name of a file in
 * the folder and not a path. *is_sound false: it is damaged, or of another
 * version, and manifest is left empty. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_folder_manifest_parse(bool *is_sound,
                                          struct gqa_folder_manifest *manifest,
                                          const json_t *root);

/* Of a sorted one. NULL: it does not list that name. Lent. */
const struct gqa_listed_file *gqa_folder_manifest_find(
    const struct gqa_folder_manifest *manifest, const char *name);

#endif
