#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/advice.h"
#include "common/atomic.h"
#include "common/atomic_litter.h"
#include "common/atomic_target.h"
#include "common/file.h"
#include "common/log.h"
#include "common/memory_stream.h"

enum {
    N_TRIES = 100,
    MAX_NAMED = 6,         /* of what is in the way */
    MAX_NAMED_BYTES = 600, /* a line has room for */
    N_SWEEPS = 3,
};

/* "a, b (changed since) and 3 more": what is not ours. */
static void list_in_the_way(FILE *out, const struct gqa_entries *entries)
{
    size_t n = 0, n_named = 0, n_bytes = 0;

    for (size_t i = 0; i < entries->n; i++) {
        const struct gqa_entry *e = &entries->list[i];

        if (e->verdict == GQA_VERDICT_OURS)
            continue;
        if (n++ > n_named || n_named == MAX_NAMED ||
            n_bytes + strlen(e->name) > MAX_NAMED_BYTES)
            continue;
        n_named++;
        n_bytes += strlen(e->name);
        fprintf(out, "%s%s%s", n > 1 ? ", " : "", e->name,
                e->verdict == GQA_VERDICT_CHANGED ? " (changed since)" : "");
    }
    if (n > n_named)
        fprintf(out, " and %zu more", n - n_named);
}

static enum gqa_status check_verdicts(const struct gqa_atomic *a)
{
    struct gqa_memory_stream list;
    enum gqa_status st;
    size_t i = 0;

    while (i < a->old_entries.n &&
           a->old_entries.list[i].verdict == GQA_VERDICT_OURS)
        i++;
    if (i == a->old_entries.n)
        return GQA_OK;
    if ((st = gqa_memory_stream_open(&list)) != GQA_OK)
        return st;
    list_in_the_way(list.out, &a->old_entries);
    if ((st = gqa_memory_stream_flush(&list)) == GQA_OK)
        st = gqa_fail(GQA_ERR_USAGE,
                      "%s: not replaced, as it holds %s there: %s; move that "
                      "away, or choose another name",
                      a->path, a->others, list.text);
    gqa_memory_stream_free(&list);
    return st;
}

static enum gqa_status check_folder_target(struct gqa_atomic *a,
                                           const struct gqa_atomic_judge *judge)
{
    enum gqa_status st = gqa_atomic_look(a, &a->old);

    if (st != GQA_OK || !a->exists)
        return st;
    if (!S_ISDIR(a->old.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: exists and is not a folder",
                        a->path);
    a->old_fd = openat(a->parent, a->name,
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (a->old_fd < 0 || fstat(a->old_fd, &a->old) != 0)
        return gqa_fail_errno("%s: cannot open folder", a->path);
    if ((st = gqa_entries_list(&a->old_entries, a->old_fd)) != GQA_OK)
        return gqa_fail_prefix(st, "%s", a->path);
    if (a->old_entries.n == 0)
        return GQA_OK;
    if (!a->force)
        return gqa_fail(GQA_ERR_USAGE, "%s: exists and is not empty%s", a->path,
                        gqa_advice(GQA_ADVICE_REPLACE));
    a->others = judge->others;
    st = judge->judge(judge->ctx, a->old_fd, &a->old_entries);
    if (st == GQA_ERR_IO)
        return gqa_fail_prefix(st, "%s: cannot tell what it holds", a->path);
    return st == GQA_OK ? check_verdicts(a) : st;
}

/*
 * A name is in the journal before its file is there: what the journal of a
 * folder that is left does not name, this did not create.
 */
static enum gqa_status note_in_journal(struct gqa_atomic *a, const char *name)
{
    if (a->journal < 0 || gqa_file_write(a->journal, name, strlen(name) + 1))
        return GQA_OK;
    return gqa_fail_errno("%s: cannot create %s", a->path, name);
}

static enum gqa_status create_in(struct gqa_atomic *a, int *fd,
                                 const char *name)
{
    struct gqa_entry *created =
        realloc(a->created, (a->n_created + 1) * sizeof *created);
    struct gqa_entry *entry;
    enum gqa_status st;

    if (!created)
        return gqa_fail_nomem();
    a->created = created;
    if ((st = note_in_journal(a, name)) != GQA_OK)
        return st;
    entry = &created[a->n_created];
    *entry = (struct gqa_entry){.name = strdup(name)};
    if (!entry->name)
        return gqa_fail_nomem();
    *fd = openat(a->fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    if (*fd < 0 || fstat(*fd, &entry->info) != 0) {
        st = gqa_fail_errno("%s: cannot create %s", a->path, name);
        if (*fd >= 0) {
            (void)unlinkat(a->fd, name, 0);
            close(*fd);
        }
        free(entry->name);
        return st;
    }
    a->n_created++;
    return GQA_OK;
}

static enum gqa_status begin_journal(struct gqa_atomic *a)
{
    return create_in(a, &a->journal, GQA_ATOMIC_JOURNAL);
}

/* The result is complete, and holds no more than it should. */
static enum gqa_status end_journal(const struct gqa_atomic *a)
{
    return unlinkat(a->fd, GQA_ATOMIC_JOURNAL, 0) == 0
               ? GQA_OK
               : gqa_fail_errno("%s: cannot remove %s", a->path,
                                GQA_ATOMIC_JOURNAL);
}

static enum gqa_status create_hidden_folder(struct gqa_atomic *a)
{
    char hidden[GQA_BESIDE_BYTES];
    enum gqa_status st;

    for (int i = 0; i < N_TRIES; i++) {
        if ((st = gqa_atomic_name_hidden(a, hidden)) != GQA_OK)
            return st;
        if (mkdirat(a->parent, hidden, 0777) == 0) {
            a->fd = openat(a->parent, hidden,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (a->fd < 0 && errno == ENOENT)
                continue; /* a run took it for litter, just now */
            if (a->fd < 0) {
                st = gqa_fail_errno("%s: cannot open its folder", a->path);
                (void)unlinkat(a->parent, hidden, AT_REMOVEDIR);
                return st;
            }
            if (gqa_atomic_hold(a->parent, hidden, a->fd)) {
                memcpy(a->hidden, hidden, sizeof hidden);
                return begin_journal(a);
            }
            /* Where it has not gone, or is not about to. */
            (void)unlinkat(a->parent, hidden, AT_REMOVEDIR);
            close(a->fd);
            a->fd = -1;
        } else if (errno != EEXIST) {
            break;
        }
    }
    return gqa_atomic_fail_create(a);
}

enum gqa_status gqa_atomic_create_folder(struct gqa_atomic **out,
                                         const char *path, bool force,
                                         const struct gqa_atomic_judge *judge)
{
    struct gqa_atomic *a = NULL;
    enum gqa_status st = gqa_atomic_begin(&a, path, true, force);

    if (st == GQA_OK)
        st = check_folder_target(a, judge);
    if (st == GQA_OK)
        st = gqa_atomic_clean_litter(a, judge);
    if (st == GQA_OK) {
        gqa_atomic_lock();
        st = create_hidden_folder(a);
        gqa_atomic_unlock();
    }
    return gqa_atomic_hand_over(out, a, st);
}

enum gqa_status gqa_atomic_try_folder(const char *path, bool force,
                                      const struct gqa_atomic_judge *judge)
{
    struct gqa_atomic *a = NULL;
    enum gqa_status st = gqa_atomic_begin(&a, path, true, force);

    if (st == GQA_OK)
        st = check_folder_target(a, judge);
    return gqa_atomic_end_try(a, st);
}

enum gqa_status gqa_atomic_create_in(struct gqa_atomic *a, int *fd,
                                     const char *name)
{
    enum gqa_status st;

    gqa_atomic_lock();
    st = create_in(a, fd, name);
    gqa_atomic_unlock();
    return st;
}

/*
 * That the target is the folder which was looked at, and holds nothing that
 * is new or has changed.
 */
static enum gqa_status check_untouched(const struct gqa_atomic *a)
{
    struct gqa_entries now = {0};
    enum gqa_status st = gqa_entries_list(&now, a->old_fd);

    if (st != GQA_OK)
        st = gqa_fail_prefix(st, "%s", a->path);
    for (size_t i = 0; i < now.n && st == GQA_OK; i++) {
        const struct gqa_entry *before =
            gqa_entries_find(&a->old_entries, now.list[i].name);

        if (!before || !gqa_is_untouched(&before->info, &now.list[i].info))
            st = gqa_fail(GQA_ERR_USAGE,
                          "%s: not replaced, as %s in it %s meanwhile", a->path,
                          now.list[i].name,
                          before ? "was changed" : "has come to exist");
    }
    gqa_entries_clear(&now);
    return st;
}

/*
 * The folder that was replaced is emptied by the next run where this one is
 * killed at it, or cannot: a journal tells that run what may go. Where there
 * is no room for one, that goes by what else it knows.
 */
static int begin_old_journal(const struct gqa_atomic *a)
{
    int fd = openat(a->old_fd, GQA_ATOMIC_JOURNAL,
                    O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    for (size_t i = 0; fd >= 0 && i < a->old_entries.n; i++) {
        const char *name = a->old_entries.list[i].name;

        if (gqa_file_write(fd, name, strlen(name) + 1))
            continue;
        (void)unlinkat(a->old_fd, GQA_ATOMIC_JOURNAL, 0);
        close(fd);
        fd = -1;
    }
    return fd;
}

/*
 * Delete a file of the folder that was replaced if it is still what was
 * looked at. Under a name that nobody else knows nobody can put another one
 * in its place between the look and the deletion.
 */
static void delete_entry(const struct gqa_atomic *a, const struct gqa_entry *e,
                         int journal)
{
    char aside[GQA_BESIDE_BYTES];
    struct stat now;

    if (fstatat(a->old_fd, e->name, &now, AT_SYMLINK_NOFOLLOW) != 0 ||
        !gqa_is_untouched(&e->info, &now) ||
        gqa_atomic_name_beside(a, aside, "", ".kept-") != GQA_OK)
        return;
    if (journal >= 0)
        (void)!gqa_file_write(journal, aside, strlen(aside) + 1);
    if (renameat2(a->old_fd, e->name, a->old_fd, aside, RENAME_NOREPLACE) != 0)
        return;
    /* Its new name is a change of its own, so that ctime says nothing. */
    if (fstatat(a->old_fd, aside, &now, AT_SYMLINK_NOFOLLOW) != 0 ||
        !gqa_is_unwritten(&e->info, &now) || unlinkat(a->old_fd, aside, 0) != 0)
        (void)renameat2(a->old_fd, aside, a->old_fd, e->name, RENAME_NOREPLACE);
}

/* Whether it is one of those that were looked at, under whatever name. */
static bool is_looked_at(const struct gqa_atomic *a, const struct stat *info)
{
    for (size_t i = 0; i < a->old_entries.n; i++)
        if (gqa_is_unwritten(&a->old_entries.list[i].info, info))
            return true;
    return false;
}

/*
 * What has not been looked at came at the very last moment. n_left: receives
 * how many of those are left that were; false and errno: cannot be told.
 */
static bool move_to_new_folder(const struct gqa_atomic *a, size_t *n_left)
{
    struct gqa_entries now = {0};
    const enum gqa_status st = gqa_entries_list(&now, a->old_fd);

    *n_left = 0;
    for (size_t i = 0; st == GQA_OK && i < now.n; i++) {
        const char *name = now.list[i].name;

        if (strcmp(name, GQA_ATOMIC_JOURNAL) == 0)
            continue;
        if (is_looked_at(a, &now.list[i].info))
            ++*n_left;
        else if (renameat2(a->old_fd, name, a->fd, name, RENAME_NOREPLACE) == 0)
            gqa_alert("%s: %s has come to exist in it meanwhile, and is kept",
                      a->path, name);
    }
    gqa_entries_clear(&now);
    return st == GQA_OK;
}

/* Under a name that is seen: somebody may miss what is in it. */
static void show_old_folder(const struct gqa_atomic *a)
{
    char name[GQA_BESIDE_BYTES];

    if (gqa_atomic_name_beside(a, name, "", ".replaced-") != GQA_OK ||
        renameat(a->parent, a->hidden, a->parent, name) != 0)
        memcpy(name, a->hidden, sizeof name);
    gqa_alert("%s: replaced; %s is kept in %s beside it", a->path, a->others,
              name);
}

/* False: it holds what this may not delete. */
static bool sweep_old_folder(const struct gqa_atomic *a, int journal)
{
    for (int i = 0; i < N_SWEEPS; i++) {
        size_t n_left;

        for (size_t j = 0; j < a->old_entries.n; j++)
            delete_entry(a, &a->old_entries.list[j], journal);
        if (!move_to_new_folder(a, &n_left) || n_left > 0) {
            gqa_warn("%s: replaced, but not all of the old folder could be "
                     "deleted: the next run into this place will try again to "
                     "remove %s beside it",
                     a->path, a->hidden);
            return true;
        }
        (void)unlinkat(a->old_fd, GQA_ATOMIC_JOURNAL, 0);
        if (unlinkat(a->parent, a->hidden, AT_REMOVEDIR) == 0)
            return true;
    }
    return false;
}

static void clear_old_folder(const struct gqa_atomic *a)
{
    const int journal = begin_old_journal(a);

    if (!sweep_old_folder(a, journal))
        show_old_folder(a);
    if (journal >= 0)
        close(journal);
}

static bool hidden_is(const struct gqa_atomic *a, int fd)
{
    struct stat own, there;

    return fstat(fd, &own) == 0 &&
           fstatat(a->parent, a->hidden, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           gqa_is_same(&own, &there);
}

/* That the folder which is now under the hidden name was looked at. */
static enum gqa_status check_replaced(const struct gqa_atomic *a)
{
    struct stat own, there;

    if (fstat(a->old_fd, &own) != 0 ||
        fstatat(a->parent, a->hidden, &there, AT_SYMLINK_NOFOLLOW) != 0)
        return gqa_fail_errno("%s: cannot be replaced", a->path);
    return gqa_is_same(&own, &there) ? GQA_OK : gqa_atomic_fail_changed(a);
}

static enum gqa_status replace_folder(struct gqa_atomic *a)
{
    enum gqa_status st;

    /* It gets a name that others clean up, and is ours to empty. */
    (void)flock(a->old_fd, LOCK_EX | LOCK_NB);
    if (gqa_atomic_exchange(a) != 0) {
        if (errno == EINVAL || errno == ENOSYS)
            return gqa_fail(GQA_ERR_IO,
                            "%s: not replaced, as its file system cannot let "
                            "two folders change places; remove it first, or "
                            "choose another name",
                            a->path);
        return gqa_atomic_fail_appear(a);
    }
    st = check_replaced(a);
    if (st == GQA_OK)
        clear_old_folder(a);
    else
        gqa_atomic_change_back(a);
    return st;
}

static enum gqa_status commit_new_folder(const struct gqa_atomic *a)
{
    return gqa_atomic_rename_new(a) == 0 ? GQA_OK : gqa_atomic_fail_appear(a);
}

enum gqa_status gqa_atomic_commit_folder(struct gqa_atomic *a)
{
    struct stat now;
    enum gqa_status st;

    /* Set-group-ID may be more than we are allowed to give. */
    if (a->exists && fchmod(a->fd, a->old.st_mode & 07777) != 0 &&
        fchmod(a->fd, a->old.st_mode & 0777) != 0)
        return gqa_fail_errno("%s: cannot set permissions", a->path);
    if ((st = end_journal(a)) != GQA_OK)
        return st;
    if (fsync(a->fd) != 0)
        return gqa_fail_errno("%s", a->path);
    if (!a->exists)
        return commit_new_folder(a);
    if ((st = gqa_atomic_look(a, &now)) != GQA_OK)
        return st;
    if (!a->exists)
        return commit_new_folder(a);
    if (!gqa_is_same(&a->old, &now))
        return gqa_atomic_fail_changed(a);
    if ((st = check_untouched(a)) != GQA_OK)
        return st;
    /* rename() replaces an empty folder, and no other. */
    if (renameat(a->parent, a->hidden, a->parent, a->name) == 0)
        return GQA_OK;
    if (a->old_entries.n == 0 || (errno != ENOTEMPTY && errno != EEXIST))
        return gqa_atomic_fail_appear(a);
    return replace_folder(a);
}

/* Nothing but what was created here, and the folder if that was all. */
bool gqa_atomic_discard_folder(const struct gqa_atomic *a)
{
    struct stat there;

    for (size_t i = 0; i < a->n_created; i++)
        if (fstatat(a->fd, a->created[i].name, &there, AT_SYMLINK_NOFOLLOW) ==
                0 &&
            gqa_is_same(&a->created[i].info, &there))
            (void)unlinkat(a->fd, a->created[i].name, 0);
    return !hidden_is(a, a->fd) ||
           unlinkat(a->parent, a->hidden, AT_REMOVEDIR) == 0;
}
