/*
 * A file or a folder that appears under its name at once, complete and on
 * the device, or not at all.
 *
 * A file has no name until then where the system can do that, and a hidden
 * one (.NAME.partial-XXXXXX) elsewhere; a folder always has a hidden one.
 * A run that is killed can leave no more than such a hidden entry, which the
 * next one into the same place removes (atomic_litter.h).
 *
 * What is deleted is what was looked at when it was begun, and is still the
 * same: nothing that came or changed meanwhile.
 */
#ifndef GQA_COMMON_ATOMIC_H
#define GQA_COMMON_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/entries.h"
#include "common/status.h"

struct gqa_atomic;

/*
 * Begin a file. Whether it can be written at all is found out here: what
 * exists and may not be replaced, the folder missing or not writable.
 *
 * path   a symbolic link is followed; what it points to is replaced.
 * force  replace an existing regular file; nothing else is ever replaced.
 * out    receives the file on GQA_OK; end it with gqa_atomic_free().
 * Errors GQA_ERR_USAGE, GQA_ERR_IO, GQA_ERR_NOMEM; the message begins with
 *        the path.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_create_file(struct gqa_atomic **out,
                                       const char *path, bool force);

/* Who knows what a folder may hold and yet be replaced. */
struct gqa_atomic_judge {
    /* Set the verdict of each entry. */
    enum gqa_status (*judge)(void *ctx, int folder_fd,
                             struct gqa_entries *entries);
    void *ctx;
    /* What the entries are that are not ours, for messages: "what such and
     * such did not write". Lent until the folder is freed. */
    const char *others;
};

/*
 * Begin a folder. An empty folder is replaced always, another one with
 * force, if the judge finds GQA_VERDICT_OURS for all that it holds; entries
 * that are not ours are named in the message.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_create_folder(struct gqa_atomic **out,
                                         const char *path, bool force,
                                         const struct gqa_atomic_judge *judge);

/* Whether these would find anything to refuse; nothing is created. */
GQA_MUST_USE
enum gqa_status gqa_atomic_try_file(const char *path, bool force);
GQA_MUST_USE
enum gqa_status gqa_atomic_try_folder(const char *path, bool force,
                                      const struct gqa_atomic_judge *judge);

/* Of the file. Lent. */
int gqa_atomic_fd(const struct gqa_atomic *atomic);

/*
 * Create a file in the folder, for reading and writing; the caller closes
 * it. Errors GQA_ERR_IO, GQA_ERR_NOMEM; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_create_in(struct gqa_atomic *atomic, int *fd,
                                     const char *name);

/* GQA_ERR_IO when fewer than n_bytes are free there; both are named. */
GQA_MUST_USE
enum gqa_status gqa_atomic_check_space(const struct gqa_atomic *atomic,
                                       uint64_t n_bytes);

/*
 * Make it appear. The caller has brought a file's data to the device. On
 * an error what was there before is still there.
 * Errors GQA_ERR_USAGE: it has come to exist or has changed meanwhile;
 * GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_commit(struct gqa_atomic *atomic);

/* Free, and remove what was not committed. Accepts NULL. */
void gqa_atomic_free(struct gqa_atomic *atomic);

/*
 * For gqa_interrupt_catch(): remove all that is not committed. No thread gets
 * to change any of it after that. False, and nothing is done, where one is at
 * it right now: creating, committing or removing.
 */
bool gqa_atomic_clean(void);

#endif
