/* What files and folders that appear at once have in common. */
#ifndef GQA_COMMON_ATOMIC_TARGET_H
#define GQA_COMMON_ATOMIC_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/entries.h"
#include "common/status.h"

enum {
    GQA_MAX_NAME_PART = 200, /* of the target's name in one made from it */
    GQA_BESIDE_BYTES = GQA_MAX_NAME_PART + 32,
    GQA_BESIDE_LETTERS = 6, /* at random, behind it */
};

struct gqa_atomic {
    char *path; /* as given, for messages */
    char *name; /* within the parent */
    int parent;
    int fd;
    bool is_folder, force;
    bool exists;                   /* something to replace */
    struct stat old;               /* what that is */
    int old_fd;                    /* of it, or -1 */
    char hidden[GQA_BESIDE_BYTES]; /* the name it has meanwhile, or "" */
    struct gqa_atomic *next;       /* of those that are not committed */

    /* Of a folder alone. */
    const char *others;             /* as its judge calls them */
    struct gqa_entries old_entries; /* what that holds */
    int journal;                    /* of the new one; or -1 */
    struct gqa_entry *created;      /* [n_created], in the new one */
    size_t n_created;
};

extern const char gqa_beside_letters[];

/*
 * A new name for each call: the target's with `before` in front, `after` and
 * six letters behind. Errors GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_name_beside(const struct gqa_atomic *atomic,
                                       char name[GQA_BESIDE_BYTES],
                                       const char *before, const char *after);
#define gqa_atomic_name_hidden(atomic, name) \
    gqa_atomic_name_beside((atomic), (name), ".", ".partial-")

/* Split the path into the folder, opened, and the name in it. */
GQA_MUST_USE
enum gqa_status gqa_atomic_begin(struct gqa_atomic **out, const char *path,
                                 bool is_folder, bool force);

/* The ends of creating one, which the caller gets where all went well, and of
 * trying to, which needs a folder to create it in. st: so far. */
GQA_MUST_USE
enum gqa_status gqa_atomic_hand_over(struct gqa_atomic **out,
                                     struct gqa_atomic *atomic,
                                     enum gqa_status st);
GQA_MUST_USE
enum gqa_status gqa_atomic_end_try(struct gqa_atomic *atomic,
                                   enum gqa_status st);

/*
 * What is there now; atomic->exists becomes false where it has gone. Errors
 * GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_atomic_look(struct gqa_atomic *atomic, struct stat *info);

/*
 * Rename the hidden entry to the target's name unless that exists; 0, or -1
 * and errno.
 */
int gqa_atomic_rename_new(const struct gqa_atomic *atomic);

/* Let the hidden entry and the target change places; 0, or -1 and errno. */
int gqa_atomic_exchange(const struct gqa_atomic *atomic);

/*
 * Once more, as what was there is not what was looked at. Where that fails,
 * it gets a name that no run takes for litter, and is told of.
 */
void gqa_atomic_change_back(struct gqa_atomic *atomic);

/* Messages by errno: it cannot be begun; it cannot appear. */
enum gqa_status gqa_atomic_fail_create(const struct gqa_atomic *atomic);
enum gqa_status gqa_atomic_fail_appear(const struct gqa_atomic *atomic);
enum gqa_status gqa_atomic_fail_changed(const struct gqa_atomic *atomic);

/*
 * What exists under hidden names, and what we know of it, is changed between
 * these, so that gqa_atomic_clean() finds both the same. Where that has done
 * its work, lock() does not return: the process is about to end.
 */
void gqa_atomic_lock(void);
void gqa_atomic_unlock(void);

/* From now on gqa_atomic_clean() knows of it; with the lock, no longer. */
void gqa_atomic_note(struct gqa_atomic *atomic);
void gqa_atomic_forget(const struct gqa_atomic *atomic);

/* gqa_atomic_commit() of a folder. */
GQA_MUST_USE
enum gqa_status gqa_atomic_commit_folder(struct gqa_atomic *atomic);

/*
 * Remove the hidden entry, but nothing that has taken its name. False and
 * errno: a folder is left. Fit for a signal handler.
 */
bool gqa_atomic_discard(const struct gqa_atomic *atomic);
bool gqa_atomic_discard_folder(const struct gqa_atomic *atomic);

#endif
