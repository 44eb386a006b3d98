#include "formats/folder/companions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/entries.h"
#include "common/file.h"
#include "common/interrupt.h"
#include "common/strings.h"
#include "formats/transforms.h"

enum { COPY_BYTES = 1 << 20 };

/* Hidden, or made anew by whoever writes one. */
static bool is_of_the_folder(const char *name)
{
    return *name == '.' || strcmp(name, "config.json") == 0 ||
           strcmp(name, GQA_FOLDER_MANIFEST_NAME) == 0 ||
           strcmp(name, GQA_TRANSFORMS_FILE) == 0;
}

static enum gqa_status add(struct gqa_companions *c, const char *name,
                           uint64_t size)
{
    char **names = realloc(c->names, (c->n + 1) * sizeof *names);

    if (!names)
        return gqa_fail_nomem();
    c->names = names;
    c->names[c->n] = strdup(name);
    if (!c->names[c->n])
        return gqa_fail_nomem();
    c->n++;
    c->name_bytes += strlen(name);
    c->n_bytes += size;
    return GQA_OK;
}

/* Nothing but the regular file that it was; and no waiting otherwise. */
static int open_companion(const struct gqa_companions *c, const char *name)
{
    return openat(c->fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static enum gqa_status leave_out(struct gqa_companions *c, const char *name,
                                 const char *reason)
{
    struct gqa_left_out *list =
        realloc(c->left_out, (c->n_left_out + 1) * sizeof *list);

    if (!list)
        return gqa_fail_nomem();
    c->left_out = list;
    list[c->n_left_out] = (struct gqa_left_out){strdup(name), reason};
    if (!list[c->n_left_out].name)
        return gqa_fail_nomem();
    c->n_left_out++;
    return GQA_OK;
}

/* By what stands in a file; what cannot be read is found out by copying. */
static enum gqa_status look_into(const char **reason,
                                 const struct gqa_companions *c,
                                 const char *name, uint64_t size,
                                 const struct gqa_companion_rules *rules)
{
    enum gqa_status st;
    const int fd = open_companion(c, name);

    *reason = NULL;
    if (fd < 0)
        return GQA_OK;
    st = gqa_left_out_by_content(reason, fd, size, name, rules);
    close(fd);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s/%s", c->folder, name);
}

static enum gqa_status consider(struct gqa_companions *c, const char *name,
                                const struct gqa_companion_rules *rules)
{
    const char *reason;
    enum gqa_status st;
    struct stat info;

    if (is_of_the_folder(name))
        return GQA_OK;
    if (fstatat(c->fd, name, &info, 0) != 0) {
        /* A link that leads nowhere, or where we may not go; else the disk. */
        if (errno != ENOENT && errno != ELOOP && errno != EACCES)
            return gqa_fail_errno("cannot read %s/%s", c->folder, name);
        return leave_out(c, name, "cannot be read");
    }
    if (!S_ISREG(info.st_mode))
        return leave_out(
            c, name, S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    reason = gqa_left_out_by_name(name, rules);
    if (!reason && rules) {
        st = look_into(&reason, c, name, (uint64_t)info.st_size, rules);
        if (st != GQA_OK)
            return st;
    }
    return reason ? leave_out(c, name, reason)
                  : add(c, name, (uint64_t)info.st_size);
}

static int compare_left_out(const void *a, const void *b)
{
    return strcmp(((const struct gqa_left_out *)a)->name,
                  ((const struct gqa_left_out *)b)->name);
}

static enum gqa_status list_folder(struct gqa_companions *c,
                                   const struct gqa_companion_rules *rules)
{
    enum gqa_status st = GQA_OK;
    struct dirent *entry;
    DIR *dir = opendir(c->folder);

    if (!dir || (c->fd = dup(dirfd(dir))) < 0) {
        st = gqa_fail_errno("cannot open folder %s", c->folder);
        if (dir)
            closedir(dir);
        return st;
    }
    errno = 0;
    while (st == GQA_OK && (entry = readdir(dir))) {
        st = consider(c, entry->d_name, rules);
        errno = 0;
    }
    if (st == GQA_OK && errno != 0)
        st = gqa_fail_errno("cannot list folder %s", c->folder);
    closedir(dir);
    if (c->n > 1)
        qsort(c->names, c->n, sizeof *c->names, gqa_compare_strings);
    if (c->n_left_out > 1)
        qsort(c->left_out, c->n_left_out, sizeof *c->left_out,
              compare_left_out);
    return st;
}

enum gqa_status gqa_companions_create(struct gqa_companions **out,
                                      const char *folder,
                                      const struct gqa_companion_rules *rules)
{
    struct gqa_companions *c = calloc(1, sizeof *c);
    enum gqa_status st = GQA_OK;

    if (!c)
        return gqa_fail_nomem();
    c->fd = -1;
    if (folder) {
        c->folder = strdup(folder);
        st = c->folder ? list_folder(c, rules) : gqa_fail_nomem();
    }
    if (st != GQA_OK) {
        gqa_companions_free(c);
        return st;
    }
    *out = c;
    return GQA_OK;
}

void gqa_companions_free(struct gqa_companions *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        free(c->names[i]);
    free(c->names);
    for (size_t i = 0; i < c->n_left_out; i++)
        free(c->left_out[i].name);
    free(c->left_out);
    free(c->folder);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

/* What went wrong with `name` of the target, errno saying why. */
static enum gqa_status fail_target(const char *target, const char *name)
{
    return gqa_fail_errno("%s: cannot write %s", target, name);
}

/* That all of it was read, and nothing written to it meanwhile. */
static enum gqa_status check_whole(const struct gqa_companions *c,
                                   const char *name, int fd,
                                   const struct stat *before, uint64_t n_bytes)
{
    struct stat now;

    if (fstat(fd, &now) != 0)
        return gqa_fail_errno("cannot read %s/%s", c->folder, name);
    if ((uint64_t)now.st_size == n_bytes && gqa_is_unwritten(before, &now))
        return GQA_OK;
    return gqa_fail(GQA_ERR_IO, "%s/%s: changed while it was read", c->folder,
                    name);
}

/* file: receives length and digest of what was copied. */
static enum gqa_status copy_bytes(const struct gqa_companions *c,
                                  const char *name, int from, int to,
                                  const char *target,
                                  struct gqa_listed_file *file)
{
    struct gqa_sha256 *sha256 = NULL;
    char *buf = malloc(COPY_BYTES);
    enum gqa_status st = buf ? gqa_sha256_create(&sha256) : gqa_fail_nomem();
    ssize_t got = 1;

    while (st == GQA_OK && got != 0) {
        if (gqa_interrupt_pending()) {
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            break;
        }
        got = read(from, buf, COPY_BYTES);
        if (got < 0 && errno != EINTR)
            st = gqa_fail_errno("cannot read %s/%s", c->folder, name);
        if (got <= 0)
            continue;
        if (!gqa_file_write(to, buf, (size_t)got))
            st = fail_target(target, name);
        else
            st = gqa_sha256_update(sha256, buf, (size_t)got);
        file->n_bytes += (uint64_t)got;
    }
    if (st == GQA_OK)
        st = gqa_sha256_finish(sha256, file->sha256);
    gqa_sha256_free(sha256);
    free(buf);
    return st;
}

static enum gqa_status copy_one(const struct gqa_companions *c,
                                const char *name, struct gqa_atomic *target,
                                const char *path,
                                struct gqa_folder_manifest *manifest)
{
    struct gqa_listed_file file = {0};
    enum gqa_status st;
    struct stat before;
    const int from = open_companion(c, name);
    int to;

    if (from < 0 || fstat(from, &before) != 0) {
        st = gqa_fail_errno("cannot read %s/%s", c->folder, name);
        if (from >= 0)
            close(from);
        return st;
    }
    if ((st = gqa_atomic_create_in(target, &to, name)) != GQA_OK) {
        close(from);
        return st;
    }
    st = copy_bytes(c, name, from, to, path, &file);
    if (st == GQA_OK)
        st = check_whole(c, name, from, &before, file.n_bytes);
    if (st == GQA_OK && fsync(to) != 0)
        st = fail_target(path, name);
    if (st == GQA_OK)
        st = gqa_folder_manifest_add(manifest, name, &file);
    close(to);
    close(from);
    return st;
}

enum gqa_status gqa_companions_copy(const struct gqa_companions *c,
                                    struct gqa_atomic *target, const char *path,
                                    struct gqa_folder_manifest *manifest)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < c->n && st == GQA_OK; i++)
        st = copy_one(c, c->names[i], target, path, manifest);
    return st;
}

static bool equal_bytes(int a, int b, uint64_t n_bytes)
{
    char *bytes = malloc(2 * (size_t)COPY_BYTES);
    bool equal = bytes != NULL;

    for (uint64_t at = 0; at < n_bytes && equal;) {
        const size_t n =
            n_bytes - at < COPY_BYTES ? (size_t)(n_bytes - at) : COPY_BYTES;

        equal = !gqa_interrupt_pending() &&
                gqa_file_read(a, bytes, n, at) == GQA_OK &&
                gqa_file_read(b, bytes + COPY_BYTES, n, at) == GQA_OK &&
                memcmp(bytes, bytes + COPY_BYTES, n) == 0;
        at += n;
    }
    free(bytes);
    return equal;
}

bool gqa_companions_equal(const struct gqa_companions *c, const char *name,
                          int fd, uint64_t n_bytes)
{
    struct stat info;
    bool equal;
    int own;

    if (c->n == 0 ||
        !bsearch(&name, c->names, c->n, sizeof *c->names,
                 gqa_compare_strings) ||
        (own = open_companion(c, name)) < 0)
        return false;
    equal = fstat(own, &info) == 0 && S_ISREG(info.st_mode) &&
            (uint64_t)info.st_size == n_bytes && equal_bytes(own, fd, n_bytes);
    close(own);
    return equal;
}

enum gqa_status gqa_small_file_write(struct gqa_atomic *target,
                                     const char *path, const char *name,
                                     const char *text,
                                     struct gqa_folder_manifest *manifest)
{
    struct gqa_listed_file file = {.n_bytes = strlen(text)};
    enum gqa_status st = gqa_sha256(file.sha256, text, strlen(text));
    int fd;

    if (st != GQA_OK ||
        (st = gqa_atomic_create_in(target, &fd, name)) != GQA_OK)
        return st;
    if (!gqa_file_write(fd, text, strlen(text)) || fsync(fd) != 0)
        st = fail_target(path, name);
    else
        st = gqa_folder_manifest_add(manifest, name, &file);
    close(fd);
    return st;
}
