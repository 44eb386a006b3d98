/*
 * The other files of a checkpoint's folder, which come along: tokenizer,
 * generation config, README and so on.
 */
#ifndef GQA_FORMATS_FOLDER_COMPANIONS_H
#define GQA_FORMATS_FOLDER_COMPANIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

struct gqa_companions {
    char *folder; /* owned */
    int fd;       /* of the folder */
    char **names; /* [n], owned, sorted */
    size_t n;
    uint64_t n_bytes; /* of all files */
};

/*
 * Find them: regular files, also behind symbolic links, that are not
 * hidden, no weights, no index and not config.json. Sub-folders are told
 * of and left out.
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
 * Copy all into the folder of fd and bring them to the device.
 * target: that folder's name for messages.
 * Errors GQA_ERR_IO, GQA_ERR_INTERRUPTED, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_companions_copy(const struct gqa_companions *companions,
                                    int fd, const char *target);

/*
 * Whether the entry of a folder may be replaced by a new checkpoint: a file
 * of a kind that checkpoints have, or one that comes along.
 */
bool gqa_companions_may_replace(const struct gqa_companions *companions,
                                int folder_fd, const char *name);

/* Write a small file into the folder of fd, to the device. */
GQA_MUST_USE
enum gqa_status gqa_small_file_write(int folder_fd, const char *target,
                                     const char *name, const char *text,
                                     size_t n);

#endif
