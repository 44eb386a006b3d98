#include "common/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/advice.h"
#include "common/atomic_litter.h"
#include "common/atomic_target.h"
#include "common/checked.h"
#include "common/log.h"

enum { N_TRIES = 100 };

const char gqa_beside_letters[] = "abcdefghijklmnopqrstuvwxyz012345";

enum gqa_status gqa_atomic_name_beside(const struct gqa_atomic *a,
                                       char name[GQA_BESIDE_BYTES],
                                       const char *before, const char *after)
{
    unsigned char random[GQA_BESIDE_LETTERS];
    char suffix[sizeof random + 1];
    size_t n = strlen(a->name);

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return gqa_fail_errno("%s: no random name", a->path);
    for (size_t i = 0; i < sizeof random; i++)
        suffix[i] = gqa_beside_letters[random[i] % 32];
    suffix[sizeof random] = '\0';
    if (n > GQA_MAX_NAME_PART) {
        n = GQA_MAX_NAME_PART;
        while (n > 0 && ((unsigned char)a->name[n] & 0xc0) == 0x80)
            n--; /* not in the middle of a UTF-8 character */
    }
    snprintf(name, GQA_BESIDE_BYTES, "%s%.*s%s%s", before, (int)n, a->name,
             after, suffix);
    return GQA_OK;
}

/* Split into the folder, opened, and the name in it. */
static enum gqa_status open_parent(struct gqa_atomic *a, char *path)
{
    size_t n = strlen(path);
    const char *folder = ".";
    char *slash;

    while (a->is_folder && n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    slash = strrchr(path, '/');
    a->name = strdup(slash ? slash + 1 : path);
    if (!a->name)
        return gqa_fail_nomem();
    if (*a->name == '\0' || strcmp(a->name, ".") == 0 ||
        strcmp(a->name, "..") == 0)
        return gqa_fail(GQA_ERR_USAGE, "'%s' does not name a %s", a->path,
                        a->is_folder ? "folder to create" : "file");
    if (strlen(a->name) > NAME_MAX)
        return gqa_fail(GQA_ERR_USAGE, "%s: the name is too long", a->path);
    if (slash) {
        *slash = '\0';
        folder = slash == path ? "/" : path;
    }
    a->parent = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->parent < 0 && errno == ENOENT)
        return gqa_fail(GQA_ERR_IO, "%s: there is no folder %s", a->path,
                        folder);
    if (a->parent < 0)
        return gqa_fail_errno("%s: cannot open folder %s", a->path, folder);
    return GQA_OK;
}

static enum gqa_status resolve(struct gqa_atomic *a)
{
    enum gqa_status st;
    struct stat info;
    char *path;

    /* What exists is replaced where it really lies. */
    path = realpath(a->path, NULL);
    if (!path && errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
        return gqa_fail_errno("%s", a->path);
    if (!path && lstat(a->path, &info) == 0 && S_ISLNK(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: a symbolic link that leads nowhere",
                        a->path);
    if (!path)
        path = strdup(a->path);
    if (!path)
        return gqa_fail_nomem();
    st = open_parent(a, path);
    free(path);
    return st;
}

enum gqa_status gqa_atomic_begin(struct gqa_atomic **out, const char *path,
                                 bool is_folder, bool force)
{
    struct gqa_atomic *a = calloc(1, sizeof *a);
    enum gqa_status st;

    if (!a)
        return gqa_fail_nomem();
    a->parent = a->fd = a->old_fd = a->journal = -1;
    a->is_folder = is_folder;
    a->force = force;
    a->path = strdup(path);
    st = a->path ? resolve(a) : gqa_fail_nomem();
    if (st != GQA_OK) {
        gqa_atomic_free(a);
        return st;
    }
    gqa_atomic_note(a);
    *out = a;
    return GQA_OK;
}

enum gqa_status gqa_atomic_hand_over(struct gqa_atomic **out,
                                     struct gqa_atomic *a, enum gqa_status st)
{
    if (st == GQA_OK)
        *out = a;
    else
        gqa_atomic_free(a);
    return st;
}

enum gqa_status gqa_atomic_end_try(struct gqa_atomic *a, enum gqa_status st)
{
    if (st == GQA_OK && faccessat(a->parent, ".", W_OK | X_OK, AT_EACCESS) != 0)
        st = gqa_atomic_fail_create(a);
    gqa_atomic_free(a);
    return st;
}

enum gqa_status gqa_atomic_look(struct gqa_atomic *a, struct stat *info)
{
    a->exists = fstatat(a->parent, a->name, info, AT_SYMLINK_NOFOLLOW) == 0;
    if (!a->exists && errno != ENOENT)
        return gqa_fail_errno("%s", a->path);
    return GQA_OK;
}

enum gqa_status gqa_atomic_fail_create(const struct gqa_atomic *a)
{
    if (errno == EACCES || errno == EPERM)
        return gqa_fail(GQA_ERR_IO, "%s: its folder is not writable", a->path);
    return gqa_fail_errno("%s: cannot create it", a->path);
}

enum gqa_status gqa_atomic_fail_appear(const struct gqa_atomic *a)
{
    if (errno == EEXIST || errno == ENOTEMPTY)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: has come to exist meanwhile, and is not replaced",
                        a->path);
    return gqa_fail_errno("%s: cannot give the result its name", a->path);
}

enum gqa_status gqa_atomic_fail_changed(const struct gqa_atomic *a)
{
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: was changed meanwhile, and is not replaced", a->path);
}

/*
 * A file without a name cannot stay behind, but needs /proc to be given one
 * later, and a file system that has such files. False where it has not.
 */
static bool create_unnamed(struct gqa_atomic *a)
{
    char link[64];

    a->fd = openat(a->parent, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (a->fd < 0)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", a->fd);
    if (access(link, F_OK) == 0)
        return true;
    close(a->fd);
    a->fd = -1;
    return false;
}

static enum gqa_status create_hidden_file(struct gqa_atomic *a)
{
    char hidden[GQA_BESIDE_BYTES];
    enum gqa_status st;

    for (int i = 0; i < N_TRIES; i++) {
        if ((st = gqa_atomic_name_hidden(a, hidden)) != GQA_OK)
            return st;
        a->fd = openat(a->parent, hidden, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
                       0666);
        if (a->fd >= 0 && gqa_atomic_hold(a->parent, hidden, a->fd)) {
            memcpy(a->hidden, hidden, sizeof hidden);
            return GQA_OK;
        }
        if (a->fd < 0 && errno != EEXIST)
            break;
        if (a->fd >= 0) {
            /* Where it has not gone, or is not about to. */
            (void)unlinkat(a->parent, hidden, 0);
            close(a->fd);
        }
        a->fd = -1;
    }
    return gqa_atomic_fail_create(a);
}

static enum gqa_status check_file_target(struct gqa_atomic *a)
{
    const enum gqa_status st = gqa_atomic_look(a, &a->old);

    if (st != GQA_OK || !a->exists)
        return st;
    if (S_ISDIR(a->old.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: is a folder", a->path);
    if (!S_ISREG(a->old.st_mode))
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: is not a regular file, and nothing else is "
                        "replaced",
                        a->path);
    if (!a->force)
        return gqa_fail(GQA_ERR_USAGE, "%s: exists%s", a->path,
                        gqa_advice(GQA_ADVICE_REPLACE));
    return GQA_OK;
}

static enum gqa_status create_file(struct gqa_atomic *a)
{
    enum gqa_status st;

    gqa_atomic_lock();
    st = create_unnamed(a) ? GQA_OK : create_hidden_file(a);
    gqa_atomic_unlock();
    /* The new file has the permissions of the one that it replaces. */
    if (st == GQA_OK && a->exists && fchmod(a->fd, a->old.st_mode & 0777) != 0)
        st = gqa_fail_errno("%s: cannot set permissions", a->path);
    return st;
}

enum gqa_status gqa_atomic_create_file(struct gqa_atomic **out,
                                       const char *path, bool force)
{
    struct gqa_atomic *a = NULL;
    enum gqa_status st = gqa_atomic_begin(&a, path, false, force);

    if (st == GQA_OK)
        st = check_file_target(a);
    if (st == GQA_OK)
        st = gqa_atomic_clean_litter(a, NULL);
    if (st == GQA_OK)
        st = create_file(a);
    return gqa_atomic_hand_over(out, a, st);
}

enum gqa_status gqa_atomic_try_file(const char *path, bool force)
{
    struct gqa_atomic *a = NULL;
    enum gqa_status st = gqa_atomic_begin(&a, path, false, force);

    if (st == GQA_OK)
        st = check_file_target(a);
    return gqa_atomic_end_try(a, st);
}

int gqa_atomic_fd(const struct gqa_atomic *atomic)
{
    return atomic->fd;
}

enum gqa_status gqa_atomic_check_space(const struct gqa_atomic *a,
                                       uint64_t n_bytes)
{
    struct statvfs info;
    uint64_t left;

    if (fstatvfs(a->fd, &info) != 0)
        return gqa_fail_errno("%s", a->path);
    if (gqa_mul_u64(info.f_bavail, info.f_frsize, &left) && left < n_bytes)
        return gqa_fail(
            GQA_ERR_IO, "%s: needs %llu bytes, but %llu are free there",
            a->path, (unsigned long long)n_bytes, (unsigned long long)left);
    return GQA_OK;
}

/*
 * Old kernels and some network file systems lack the flag. A hard link fails
 * just as well where the name is taken; and of all that there may be a
 * folder replaces an empty one alone.
 */
int gqa_atomic_rename_new(const struct gqa_atomic *a)
{
    if (renameat2(a->parent, a->hidden, a->parent, a->name, RENAME_NOREPLACE) ==
        0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (a->is_folder)
        return renameat(a->parent, a->hidden, a->parent, a->name);
    if (linkat(a->parent, a->hidden, a->parent, a->name, 0) != 0)
        return -1;
    return unlinkat(a->parent, a->hidden, 0);
}

int gqa_atomic_exchange(const struct gqa_atomic *a)
{
    return renameat2(a->parent, a->hidden, a->parent, a->name, RENAME_EXCHANGE);
}

/* Give a file without a name one. */
static int link_unnamed(const struct gqa_atomic *a, const char *name)
{
    char link[64];

    snprintf(link, sizeof link, "/proc/self/fd/%d", a->fd);
    return linkat(AT_FDCWD, link, a->parent, name, AT_SYMLINK_FOLLOW);
}

static enum gqa_status commit_new_file(struct gqa_atomic *a)
{
    if ((*a->hidden ? gqa_atomic_rename_new(a) : link_unnamed(a, a->name)) != 0)
        return gqa_atomic_fail_appear(a);
    return GQA_OK;
}

void gqa_atomic_change_back(struct gqa_atomic *a)
{
    char name[GQA_BESIDE_BYTES];
    int error;

    if (gqa_atomic_exchange(a) == 0)
        return;
    error = errno;
    if (gqa_atomic_name_beside(a, name, "", ".replaced-") == GQA_OK &&
        renameat(a->parent, a->hidden, a->parent, name) == 0)
        memcpy(a->hidden, name, sizeof name);
    gqa_alert("%s: what was there is %s beside it now: %s", a->path, a->hidden,
              strerror(error));
}

/* That what is now under the hidden name is the old file, not written to. */
static enum gqa_status check_replaced(const struct gqa_atomic *a)
{
    struct stat info;

    if (fstatat(a->parent, a->hidden, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return gqa_fail_errno("%s: cannot be replaced", a->path);
    /* Its new name is a change of its own, so that ctime says nothing. */
    return gqa_is_unwritten(&a->old, &info) ? GQA_OK
                                            : gqa_atomic_fail_changed(a);
}

static enum gqa_status replace_file(struct gqa_atomic *a)
{
    enum gqa_status st;

    if (gqa_atomic_exchange(a) != 0) {
        /* The target was looked at just now; nothing safer is to be had. */
        if ((errno != EINVAL && errno != ENOSYS) ||
            renameat(a->parent, a->hidden, a->parent, a->name) != 0)
            return gqa_atomic_fail_appear(a);
        return GQA_OK;
    }
    if ((st = check_replaced(a)) != GQA_OK)
        gqa_atomic_change_back(a);
    else if (unlinkat(a->parent, a->hidden, 0) != 0)
        gqa_alert("%s: the old file is left, as %s beside it: %s", a->path,
                  a->hidden, strerror(errno));
    return st;
}

/*
 * Whether both files are locked, so that no run takes one for litter: the old
 * one will have the hidden name for a moment, and must stay if it turns out to
 * be another.
 */
static bool hold_both(struct gqa_atomic *a)
{
    a->old_fd = openat(a->parent, a->name,
                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return a->old_fd >= 0 && flock(a->old_fd, LOCK_EX | LOCK_NB) == 0 &&
           flock(a->fd, LOCK_EX | LOCK_NB) == 0;
}

/*
 * A link cannot replace, a rename can. What is locked has a name by which the
 * next run cleans up should this one be killed; else none that is taken for
 * litter.
 */
static enum gqa_status give_hidden_name(struct gqa_atomic *a)
{
    const char *after = hold_both(a) ? ".partial-" : ".replaced-";
    char hidden[GQA_BESIDE_BYTES];
    enum gqa_status st = gqa_atomic_name_beside(a, hidden, ".", after);

    if (st != GQA_OK)
        return st;
    if ((*a->hidden ? renameat(a->parent, a->hidden, a->parent, hidden)
                    : link_unnamed(a, hidden)) != 0)
        return gqa_atomic_fail_appear(a);
    memcpy(a->hidden, hidden, sizeof hidden);
    return GQA_OK;
}

static enum gqa_status commit_file(struct gqa_atomic *a)
{
    struct stat now;
    enum gqa_status st;

    if (!a->exists)
        return commit_new_file(a);
    if ((st = gqa_atomic_look(a, &now)) != GQA_OK)
        return st;
    if (!a->exists)
        return commit_new_file(a);
    if (!gqa_is_untouched(&a->old, &now))
        return gqa_atomic_fail_changed(a);
    if ((st = give_hidden_name(a)) != GQA_OK)
        return st;
    return replace_file(a);
}

enum gqa_status gqa_atomic_commit(struct gqa_atomic *a)
{
    enum gqa_status st;

    gqa_atomic_lock();
    st = a->is_folder ? gqa_atomic_commit_folder(a) : commit_file(a);
    if (st == GQA_OK)
        *a->hidden = '\0';
    gqa_atomic_unlock();
    if (st != GQA_OK)
        return st;
    /* It is there; whether its name survives a power failure is open. */
    if (fsync(a->parent) != 0)
        gqa_warn("%s: fsync of its folder: %s", a->path, strerror(errno));
    return GQA_OK;
}

static void discard_file(const struct gqa_atomic *a)
{
    struct stat own, there;

    if (fstat(a->fd, &own) == 0 &&
        fstatat(a->parent, a->hidden, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        gqa_is_same(&own, &there))
        (void)unlinkat(a->parent, a->hidden, 0);
}

bool gqa_atomic_discard(const struct gqa_atomic *a)
{
    if (*a->hidden && a->is_folder)
        return gqa_atomic_discard_folder(a);
    if (*a->hidden)
        discard_file(a);
    return true;
}

void gqa_atomic_free(struct gqa_atomic *a)
{
    if (!a)
        return;
    gqa_atomic_lock();
    if (!gqa_atomic_discard(a))
        gqa_alert("%s: the folder %s beside it is left: %s", a->path, a->hidden,
                  strerror(errno));
    gqa_atomic_forget(a);
    gqa_atomic_unlock();
    gqa_entries_clear(&a->old_entries);
    for (size_t i = 0; i < a->n_created; i++)
        free(a->created[i].name);
    free(a->created);
    if (a->journal >= 0)
        close(a->journal);
    if (a->old_fd >= 0)
        close(a->old_fd);
    if (a->fd >= 0)
        close(a->fd);
    if (a->parent >= 0)
        close(a->parent);
    free(a->name);
    free(a->path);
    free(a);
}
