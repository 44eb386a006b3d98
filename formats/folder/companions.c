#include "formats/folder/companions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/log.h"
#include "common/strings.h"

enum { COPY_BYTES = 1 << 20 };

static const char *const weight_suffixes[] = {
    ".safetensors", ".h5",   ".bin", ".gqa",  ".gguf",  ".pt",  ".pth",
    ".msgpack",     ".onnx", ".ot",  ".ckpt", ".keras", ".npz",
};

/* Of the files beside weights, those that every checkpoint folder has. */
static const char *const known_suffixes[] = {".json", ".jinja", ".model",
                                             ".tiktoken"};
static const char *const known_names[] = {"merges.txt", "vocab.txt",
                                          "README.md",  "LICENSE",
                                          "LICENSE.md", "LICENSE.txt"};

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);

    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static bool is_weights(const char *name)
{
    for (size_t i = 0; i < sizeof weight_suffixes / sizeof *weight_suffixes;
         i++)
        if (has_suffix(name, weight_suffixes[i]))
            return true;
    /* Indices: Hugging Face's and Keras's. */
    return has_suffix(name, ".index.json") || has_suffix(name, ".weights.json");
}

static bool is_known(const char *name)
{
    if (is_weights(name))
        return true;
    for (size_t i = 0; i < sizeof known_suffixes / sizeof *known_suffixes; i++)
        if (has_suffix(name, known_suffixes[i]))
            return true;
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++)
        if (strcmp(name, known_names[i]) == 0)
            return true;
    return false;
}

static bool is_companion(const char *name)
{
    return *name != '.' && strcmp(name, "config.json") != 0 &&
           !is_weights(name);
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
    c->n_bytes += size;
    return GQA_OK;
}

static enum gqa_status consider(struct gqa_companions *c, const char *name)
{
    struct stat info;

    if (!is_companion(name))
        return GQA_OK;
    if (fstatat(c->fd, name, &info, 0) != 0) {
        gqa_info("%s/%s: not copied: %s", c->folder, name, strerror(errno));
        return GQA_OK;
    }
    if (S_ISREG(info.st_mode))
        return add(c, name, (uint64_t)info.st_size);
    gqa_info("%s/%s: not copied: %s", c->folder, name,
             S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    return GQA_OK;
}

static enum gqa_status list_folder(struct gqa_companions *c)
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
        st = consider(c, entry->d_name);
        errno = 0;
    }
    if (st == GQA_OK && errno != 0)
        st = gqa_fail_errno("cannot list folder %s", c->folder);
    closedir(dir);
    if (c->n > 1)
        qsort(c->names, c->n, sizeof *c->names, gqa_compare_strings);
    return st;
}

enum gqa_status gqa_companions_create(struct gqa_companions **out,
                                      const char *folder)
{
    struct gqa_companions *c = calloc(1, sizeof *c);
    enum gqa_status st = GQA_OK;

    if (!c)
        return gqa_fail_nomem();
    c->fd = -1;
    if (folder) {
        c->folder = strdup(folder);
        st = c->folder ? list_folder(c) : gqa_fail_nomem();
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

static bool write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        const ssize_t put = write(fd, data, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        data += put;
        n -= (size_t)put;
    }
    return true;
}

static int create_in(int folder_fd, const char *name)
{
    return openat(folder_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
                  0666);
}

static enum gqa_status copy_bytes(const struct gqa_companions *c,
                                  const char *name, int from, int to,
                                  const char *target)
{
    char *buf = malloc(COPY_BYTES);
    enum gqa_status st = GQA_OK;
    ssize_t got = 1;

    if (!buf)
        return gqa_fail_nomem();
    while (st == GQA_OK && got != 0) {
        if (gqa_interrupt_pending()) {
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            break;
        }
        got = read(from, buf, COPY_BYTES);
        if (got < 0 && errno != EINTR)
            st = gqa_fail_errno("cannot read %s/%s", c->folder, name);
        if (got > 0 && !write_all(to, buf, (size_t)got))
            st = fail_target(target, name);
    }
    free(buf);
    return st;
}

static enum gqa_status copy_one(const struct gqa_companions *c,
                                const char *name, int fd, const char *target)
{
    enum gqa_status st;
    /* Nothing but the regular file that it was; and no waiting otherwise. */
    const int from = openat(c->fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int to;

    if (from < 0)
        return gqa_fail_errno("cannot read %s/%s", c->folder, name);
    to = create_in(fd, name);
    if (to < 0) {
        st = fail_target(target, name);
        close(from);
        return st;
    }
    st = copy_bytes(c, name, from, to, target);
    if (st == GQA_OK && fsync(to) != 0)
        st = fail_target(target, name);
    close(to);
    close(from);
    return st;
}

enum gqa_status gqa_companions_copy(const struct gqa_companions *c, int fd,
                                    const char *target)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < c->n && st == GQA_OK; i++)
        st = copy_one(c, c->names[i], fd, target);
    return st;
}

bool gqa_companions_may_replace(const struct gqa_companions *c, int folder_fd,
                                const char *name)
{
    struct stat info;

    if (fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)))
        return false;
    return is_known(name) ||
           (c->n > 0 && bsearch(&name, c->names, c->n, sizeof *c->names,
                                gqa_compare_strings));
}

enum gqa_status gqa_small_file_write(int folder_fd, const char *target,
                                     const char *name, const char *text,
                                     size_t n)
{
    const int fd = create_in(folder_fd, name);
    enum gqa_status st = GQA_OK;

    if (fd < 0)
        return fail_target(target, name);
    if (!write_all(fd, text, n) || fsync(fd) != 0)
        st = fail_target(target, name);
    close(fd);
    return st;
}
