#include "convert/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/log.h"

enum {
    MAX_NAME_PART = 200, /* of the target's name in a hidden one */
    HIDDEN_BYTES = MAX_NAME_PART + 32,
    N_TRIES = 100,
};

struct gqa_atomic {
    char *path; /* as given, for messages */
    char *name; /* within the parent */
    int parent;
    int fd;
    DIR *entries; /* of a folder, to delete them without new memory */
    bool is_folder, force;
    bool exists;               /* something to replace */
    mode_t mode;               /* its permissions */
    char hidden[HIDDEN_BYTES]; /* the name it has meanwhile, or "" */
    bool (*may_replace)(void *ctx, int folder_fd, const char *name);
    void *may_replace_ctx;
};

static enum gqa_status fail_exists(const struct gqa_atomic *a)
{
    return gqa_fail(GQA_ERR_USAGE, "%s: exists; --force would replace it",
                    a->path);
}

/* A new name for each call. */
static enum gqa_status choose_hidden(struct gqa_atomic *a,
                                     char hidden[HIDDEN_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    unsigned char random[6];
    char suffix[sizeof random + 1];
    size_t n = strlen(a->name);

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return gqa_fail_errno("%s: no random name", a->path);
    for (size_t i = 0; i < sizeof random; i++)
        suffix[i] = letters[random[i] % 32];
    suffix[sizeof random] = '\0';
    if (n > MAX_NAME_PART) {
        n = MAX_NAME_PART;
        while (n > 0 && ((unsigned char)a->name[n] & 0xc0) == 0x80)
            n--; /* not in the middle of a UTF-8 character */
    }
    snprintf(hidden, HIDDEN_BYTES, ".%.*s.partial-%s", (int)n, a->name, suffix);
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
    if (!path && errno == ENOMEM)
        return gqa_fail_nomem();
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

static enum gqa_status begin(struct gqa_atomic **out, const char *path,
                             bool is_folder, bool force)
{
    struct gqa_atomic *a = calloc(1, sizeof *a);
    enum gqa_status st;

    if (!a)
        return gqa_fail_nomem();
    a->parent = a->fd = -1;
    a->is_folder = is_folder;
    a->force = force;
    a->path = strdup(path);
    st = a->path ? resolve(a) : gqa_fail_nomem();
    if (st != GQA_OK) {
        gqa_atomic_free(a);
        return st;
    }
    *out = a;
    return GQA_OK;
}

static enum gqa_status fail_create(const struct gqa_atomic *a)
{
    if (errno == EACCES || errno == EPERM)
        return gqa_fail(GQA_ERR_IO, "%s: its folder is not writable", a->path);
    return gqa_fail_errno("%s: cannot create it", a->path);
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
    char hidden[HIDDEN_BYTES];
    enum gqa_status st;

    for (int i = 0; i < N_TRIES; i++) {
        if ((st = choose_hidden(a, hidden)) != GQA_OK)
            return st;
        a->fd = openat(a->parent, hidden, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
                       0666);
        if (a->fd >= 0) {
            memcpy(a->hidden, hidden, sizeof hidden);
            return GQA_OK;
        }
        if (errno != EEXIST)
            break;
    }
    return fail_create(a);
}

static enum gqa_status check_file_target(struct gqa_atomic *a)
{
    struct stat info;

    if (fstatat(a->parent, a->name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return GQA_OK;
        return gqa_fail_errno("%s", a->path);
    }
    if (S_ISDIR(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: is a folder", a->path);
    if (!S_ISREG(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: is not a regular file, and nothing else is "
                        "replaced",
                        a->path);
    if (!a->force)
        return fail_exists(a);
    a->exists = true;
    a->mode = info.st_mode & 0777;
    return GQA_OK;
}

enum gqa_status gqa_atomic_create_file(struct gqa_atomic **out,
                                       const char *path, bool force)
{
    struct gqa_atomic *a = NULL;
    enum gqa_status st;

    if ((st = begin(&a, path, false, force)) != GQA_OK)
        return st;
    if ((st = check_file_target(a)) != GQA_OK)
        goto fail;
    if (!create_unnamed(a) && (st = create_hidden_file(a)) != GQA_OK)
        goto fail;
    /* The new file has the permissions of the one that it replaces. */
    if (a->exists && fchmod(a->fd, a->mode) != 0) {
        st = gqa_fail_errno("%s: cannot set permissions", a->path);
        goto fail;
    }
    *out = a;
    return GQA_OK;
fail:
    gqa_atomic_free(a);
    return st;
}

/* Entries of the folder `name` in the parent, one by one; see below. */
static enum gqa_status for_each_entry(
    struct gqa_atomic *a, const char *name,
    enum gqa_status (*fn)(struct gqa_atomic *a, int fd, const char *entry))
{
    enum gqa_status st = GQA_OK;
    struct dirent *entry;
    DIR *dir;
    const int fd = openat(a->parent, name,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return gqa_fail_errno("%s: cannot open folder", a->path);
    dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return gqa_fail_nomem();
    }
    errno = 0;
    while (st == GQA_OK && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            st = fn(a, dirfd(dir), entry->d_name);
        errno = 0;
    }
    if (st == GQA_OK && errno != 0)
        st = gqa_fail_errno("%s: cannot list folder", a->path);
    closedir(dir);
    return st;
}

static enum gqa_status check_entry(struct gqa_atomic *a, int fd,
                                   const char *entry)
{
    if (!a->force)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: exists and is not empty; --force would replace it",
                        a->path);
    if (!a->may_replace(a->may_replace_ctx, fd, entry))
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: not replaced, as it holds %s, which is no part "
                        "of a checkpoint",
                        a->path, entry);
    return GQA_OK;
}

static enum gqa_status check_folder_target(struct gqa_atomic *a)
{
    struct stat info;

    if (fstatat(a->parent, a->name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return GQA_OK;
        return gqa_fail_errno("%s", a->path);
    }
    if (!S_ISDIR(info.st_mode))
        return gqa_fail(GQA_ERR_USAGE, "%s: exists and is not a folder",
                        a->path);
    a->exists = true;
    a->mode = info.st_mode & 0777;
    return for_each_entry(a, a->name, check_entry);
}

static enum gqa_status open_entries(struct gqa_atomic *a)
{
    const int fd = openat(a->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return gqa_fail_errno("%s: cannot open its folder", a->path);
    a->entries = fdopendir(fd);
    if (!a->entries) {
        close(fd);
        return gqa_fail_nomem();
    }
    return GQA_OK;
}

static enum gqa_status create_hidden_folder(struct gqa_atomic *a)
{
    char hidden[HIDDEN_BYTES];
    enum gqa_status st;

    for (int i = 0; i < N_TRIES; i++) {
        if ((st = choose_hidden(a, hidden)) != GQA_OK)
            return st;
        if (mkdirat(a->parent, hidden, 0777) == 0) {
            memcpy(a->hidden, hidden, sizeof hidden);
            a->fd = openat(a->parent, hidden,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (a->fd < 0)
                return gqa_fail_errno("%s: cannot open its folder", a->path);
            return open_entries(a);
        }
        if (errno != EEXIST)
            break;
    }
    return fail_create(a);
}

enum gqa_status gqa_atomic_create_folder(
    struct gqa_atomic **out, const char *path, bool force,
    bool (*may_replace)(void *ctx, int folder_fd, const char *name), void *ctx)
{
    struct gqa_atomic *a = NULL;
    enum gqa_status st;

    if ((st = begin(&a, path, true, force)) != GQA_OK)
        return st;
    a->may_replace = may_replace;
    a->may_replace_ctx = ctx;
    if ((st = check_folder_target(a)) != GQA_OK ||
        (st = create_hidden_folder(a)) != GQA_OK) {
        gqa_atomic_free(a);
        return st;
    }
    *out = a;
    return GQA_OK;
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
 * Rename the hidden entry to the target's name unless that exists. Old
 * kernels and some network file systems lack the flag; a hard link fails
 * just as well where the name is taken.
 */
static int rename_new(const struct gqa_atomic *a)
{
    if (renameat2(a->parent, a->hidden, a->parent, a->name, RENAME_NOREPLACE) ==
        0)
        return 0;
    if ((errno != EINVAL && errno != ENOSYS) || a->is_folder)
        return -1;
    if (linkat(a->parent, a->hidden, a->parent, a->name, 0) != 0)
        return -1;
    return unlinkat(a->parent, a->hidden, 0);
}

/* Give a file without a name one. */
static int link_unnamed(const struct gqa_atomic *a, const char *name)
{
    char link[64];

    snprintf(link, sizeof link, "/proc/self/fd/%d", a->fd);
    return linkat(AT_FDCWD, link, a->parent, name, AT_SYMLINK_FOLLOW);
}

static enum gqa_status fail_appear(const struct gqa_atomic *a)
{
    if (errno == EEXIST || errno == ENOTEMPTY)
        return gqa_fail(GQA_ERR_USAGE, "%s: has come to exist meanwhile",
                        a->path);
    return gqa_fail_errno("%s: cannot give the result its name", a->path);
}

static enum gqa_status commit_file(struct gqa_atomic *a)
{
    char hidden[HIDDEN_BYTES];
    enum gqa_status st;

    if (!a->force) {
        if ((*a->hidden ? rename_new(a) : link_unnamed(a, a->name)) != 0)
            return fail_appear(a);
        return GQA_OK;
    }
    if (!*a->hidden) {
        /* A link cannot replace, a rename can. */
        if ((st = choose_hidden(a, hidden)) != GQA_OK)
            return st;
        if (link_unnamed(a, hidden) != 0)
            return fail_appear(a);
        memcpy(a->hidden, hidden, sizeof hidden);
    }
    if (renameat(a->parent, a->hidden, a->parent, a->name) != 0)
        return fail_appear(a);
    return GQA_OK;
}

static enum gqa_status delete_entry(struct gqa_atomic *a, int fd,
                                    const char *entry)
{
    if (!a->may_replace(a->may_replace_ctx, fd, entry))
        return gqa_fail(GQA_ERR_USAGE, "%s is no part of a checkpoint", entry);
    if (unlinkat(fd, entry, 0) != 0)
        return gqa_fail_errno("%s", entry);
    return GQA_OK;
}

/*
 * Remove the hidden folder and the files in it. Nothing depends on it any
 * more, so that what resists is only told of.
 */
static void delete_hidden_folder(struct gqa_atomic *a)
{
    enum gqa_status st = for_each_entry(a, a->hidden, delete_entry);

    if (st == GQA_OK && unlinkat(a->parent, a->hidden, AT_REMOVEDIR) != 0)
        st = gqa_fail_errno("cannot remove it");
    if (st != GQA_OK)
        gqa_warn("%s: the folder %s beside it is left: %s", a->path, a->hidden,
                 gqa_error_message());
}

static enum gqa_status commit_folder(struct gqa_atomic *a)
{
    if (a->exists && fchmod(a->fd, a->mode) != 0)
        return gqa_fail_errno("%s: cannot set permissions", a->path);
    if (fsync(a->fd) != 0)
        return gqa_fail_errno("%s", a->path);
    if (!a->exists)
        return rename_new(a) == 0 ? GQA_OK : fail_appear(a);
    /* rename() replaces an empty folder, and no other. */
    if (renameat(a->parent, a->hidden, a->parent, a->name) == 0)
        return GQA_OK;
    if (!a->force || (errno != ENOTEMPTY && errno != EEXIST))
        return fail_appear(a);
    if (renameat2(a->parent, a->hidden, a->parent, a->name, RENAME_EXCHANGE) !=
        0)
        return fail_appear(a);
    delete_hidden_folder(a);
    return GQA_OK;
}

enum gqa_status gqa_atomic_commit(struct gqa_atomic *a)
{
    const enum gqa_status st = a->is_folder ? commit_folder(a) : commit_file(a);

    if (st != GQA_OK)
        return st;
    *a->hidden = '\0';
    /* It is there; whether its name survives a power failure is open. */
    if (fsync(a->parent) != 0)
        gqa_warn("%s: fsync of its folder: %s", a->path, strerror(errno));
    return GQA_OK;
}

static void delete_own_entries(struct gqa_atomic *a)
{
    const struct dirent *entry;

    if (!a->entries)
        return;
    rewinddir(a->entries);
    while ((entry = readdir(a->entries)))
        (void)unlinkat(a->fd, entry->d_name, 0);
}

void gqa_atomic_free(struct gqa_atomic *a)
{
    if (!a)
        return;
    if (*a->hidden && a->is_folder) {
        delete_own_entries(a);
        (void)unlinkat(a->parent, a->hidden, AT_REMOVEDIR);
    } else if (*a->hidden) {
        (void)unlinkat(a->parent, a->hidden, 0);
    }
    if (a->entries)
        closedir(a->entries);
    if (a->fd >= 0)
        close(a->fd);
    if (a->parent >= 0)
        close(a->parent);
    free(a->name);
    free(a->path);
    free(a);
}
