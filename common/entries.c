#include "common/entries.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum gqa_status add(struct gqa_entries *entries, int fd,
                           const char *name)
{
    struct gqa_entry *list, *entry;
    struct stat info;

    if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        /* It may have gone since it was listed. */
        return errno == ENOENT ? GQA_OK : gqa_fail_errno("%s", name);
    list = realloc(entries->list, (entries->n + 1) * sizeof *list);
    if (!list)
        return gqa_fail_nomem();
    entries->list = list;
    entry = &list[entries->n];
    *entry = (struct gqa_entry){.name = strdup(name), .info = info};
    if (!entry->name)
        return gqa_fail_nomem();
    entries->n++;
    return GQA_OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct gqa_entry *)a)->name,
                  ((const struct gqa_entry *)b)->name);
}

enum gqa_status gqa_entries_list(struct gqa_entries *entries, int folder_fd)
{
    /* Of its own, since a descriptor's copies share where listing is. */
    const int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum gqa_status st = GQA_OK;
    struct dirent *entry;
    DIR *dir;

    if (fd < 0)
        return gqa_fail_errno("cannot open the folder");
    dir = fdopendir(fd);
    if (!dir) {
        st = gqa_fail_errno("cannot open the folder");
        close(fd);
        return st;
    }
    errno = 0;
    while (st == GQA_OK && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            st = add(entries, fd, entry->d_name);
        errno = 0;
    }
    if (st == GQA_OK && errno != 0)
        st = gqa_fail_errno("cannot list the folder");
    closedir(dir);
    if (entries->n > 1)
        qsort(entries->list, entries->n, sizeof *entries->list, compare);
    return st;
}

void gqa_entries_clear(struct gqa_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++)
        free(entries->list[i].name);
    free(entries->list);
    *entries = (struct gqa_entries){0};
}

const struct gqa_entry *gqa_entries_find(const struct gqa_entries *entries,
                                         const char *name)
{
    const struct gqa_entry key = {.name = (char *)name};

    if (entries->n == 0)
        return NULL;
    return bsearch(&key, entries->list, entries->n, sizeof key, compare);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool gqa_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool gqa_is_unwritten(const struct stat *before, const struct stat *now)
{
    return gqa_is_same(before, now) && before->st_mode == now->st_mode &&
           before->st_size == now->st_size &&
           same_time(&before->st_mtim, &now->st_mtim);
}

bool gqa_is_untouched(const struct stat *before, const struct stat *now)
{
    return gqa_is_unwritten(before, now) &&
           same_time(&before->st_ctim, &now->st_ctim);
}
