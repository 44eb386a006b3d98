/*
 * The other files of a checkpoint's folder, which come along: tokenizer,
 * generation config, licence and so on.
 */
#ifndef GQA_FORMATS_FOLDER_COMPANIONS_H
#define GQA_FORMATS_FOLDER_COMPANIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/atomic.h"
#include "common/status.h"
#include "formats/folder/left_out.h"
#include "formats/folder/manifest.h"

struct gqa_left_out {
    char *name;         /* owned */
    const char *reason; /* in a few words */
};

struct gqa_companions {
    char *folder; /* owned */
    int fd;       /* of the folder */
    char **names; /* [n], owned, sorted */
    size_t n;
    uint64_t n_bytes;              /* of all files */
    uint64_t name_bytes;           /* of all names */
    struct gqa_left_out *left_out; /* [n_left_out], sorted by name: what does
                                      not come along, but for hidden files,
                                      config.json and gqa-manifest.json */
    size_t n_left_out;
};

/*
 * Find them: regular files, also behind symbolic links, that are not
 * hidden, not config.json and not gqa-manifest.json, and that nothing is
 * against (left_out.h).
 *
 * folder  NULL for none.
 * rules   what holds for a conversion; NULL: of a folder as it is only weights
 *         and indices are left out.
 * out     receives the list on GQA_OK; end it with gqa_companions_free().
 * Errors  GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_companions_create(struct gqa_companions **out,
                                      const char *folder,
                                      const struct gqa_companion_rules *rules);
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
