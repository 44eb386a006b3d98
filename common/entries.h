/* What a folder holds, and whether an entry is still the one it was. */
#ifndef GQA_COMMON_ENTRIES_H
#define GQA_COMMON_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "common/status.h"

/* To be set by who judges; see gqa_atomic_create_folder(). */
enum gqa_entry_verdict {
    GQA_VERDICT_FOREIGN, /* not ours to delete */
    GQA_VERDICT_CHANGED, /* ours once, and not as we left it */
    GQA_VERDICT_OURS,
};

struct gqa_entry {
    char *name;       /* owned */
    struct stat info; /* of itself where it is a symbolic link */
    enum gqa_entry_verdict verdict;
};

/* Zero-initialise; gqa_entries_clear() frees what listing put in. */
struct gqa_entries {
    struct gqa_entry *list; /* [n], sorted by name */
    size_t n;
};

/*
 * All entries but `.` and `..`, hidden ones included, each
 * GQA_VERDICT_FOREIGN. entries is to be cleared also after a failure. Errors
 * GQA_ERR_IO, without a name in the message; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_entries_list(struct gqa_entries *entries, int folder_fd);
void gqa_entries_clear(struct gqa_entries *entries);

/* NULL: there is none of that name. Lent. */
const struct gqa_entry *gqa_entries_find(const struct gqa_entries *entries,
                                         const char *name);

/* The same file or folder, whatever became of it. */
bool gqa_is_same(const struct stat *a, const struct stat *b);

/* The same with the same content. */
bool gqa_is_unwritten(const struct stat *before, const struct stat *now);

/* Not even its name, links or permissions have changed. */
bool gqa_is_untouched(const struct stat *before, const struct stat *now);

#endif
