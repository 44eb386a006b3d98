/*
 * The other files of a checkpoint's folder, which come along: tokenizer,
 * generation config, README and so on.
 */
#ifndef GQA_FORMATS_FOLDER_COMPANIONS_H
#define GQA_FORMATS_FOLDER_COMPANIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/atomic.h"
#include "common/status.h"
#include "formats/folder/manifest.h"

struct gqa_companions {
    char *folder; /* owned */
    int fd;       /* of the folder */
    char **names; /* [n], owned, sorted */
    size_t n;
    uint64_t n_bytes;    /* of all files */
    uint64_t name_bytes; /* of all names */
};

/*
 * Find them: regular files, also behind symbolic links, that are not
 * hidden, no weights, no index, not config.json and not gqa-manifest.json.
 * Sub-folders are told of and left out.
 *
 * folder  NULL for none.
 * out     receives the list on GQA_OK; end it with gqa_companions_free().
 * Errors  GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_companions_create(struct gqa_companions **out,
                                      const char *folder);
void gqa_companions_free(struct gqa_companions *companions);

/*
 * Copy all into the target, bring them to the device and add them to the
 * manifest. path: the target's, for messages.
 * Errors GQA_ERR_IO, GQA_ERR_INTERRUPTED, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_companions_copy(const struct gqa_companions *companions,
                                    struct gqa_atomic *target, const char *path,
                                    struct gqa_folder_manifest *manifest);

/* Whether a file of n_bytes is the companion of that name, byte for byte. */
bool gqa_companions_equal(const struct gqa_companions *companions,
                          const char *name, int fd, uint64_t n_bytes);

/* The same as copying one, for a small file of which this is the text. */
GQA_MUST_USE
enum gqa_status gqa_small_file_write(struct gqa_atomic *target,
                                     const char *path, const char *name,
                                     const char *text,
                                     struct gqa_folder_manifest *manifest);

#endif
