#include "formats/watch.h"

#include <stdlib.h>
#include <string.h>

enum gqa_status gqa_watch_add(struct gqa_watch *watch, const char *path, int fd)
{
    struct gqa_entry *files =
        realloc(watch->files, (watch->n + 1) * sizeof *files);
    struct gqa_entry *file;

    if (!files)
        return gqa_fail_nomem();
    watch->files = files;
    file = &files[watch->n];
    *file = (struct gqa_entry){0};
    if (fstat(fd, &file->info) != 0)
        return gqa_fail_errno("%s", path);
    file->name = strdup(path);
    if (!file->name)
        return gqa_fail_nomem();
    watch->n++;
    return GQA_OK;
}

/* Permissions and other names that it gets meanwhile are no matter. */
static bool is_unwritten(const struct stat *before, const struct stat *now)
{
    return gqa_is_same(before, now) && before->st_size == now->st_size &&
           before->st_mtim.tv_sec == now->st_mtim.tv_sec &&
           before->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

enum gqa_status gqa_watch_check(const struct gqa_watch *watch)
{
    for (size_t i = 0; i < watch->n; i++) {
        const struct gqa_entry *file = &watch->files[i];
        struct stat now;

        if (stat(file->name, &now) != 0)
            return gqa_fail_errno("%s: has gone while it was read", file->name);
        if (!is_unwritten(&file->info, &now))
            return gqa_fail(GQA_ERR_IO,
                            "%s: %s while it was read, so that what was read "
                            "may be neither; try again when it is at rest",
                            file->name,
                            gqa_is_same(&file->info, &now) ? "was written to"
                                                           : "was replaced");
    }
    return GQA_OK;
}

void gqa_watch_clear(struct gqa_watch *watch)
{
    for (size_t i = 0; i < watch->n; i++)
        free(watch->files[i].name);
    free(watch->files);
    *watch = (struct gqa_watch){0};
}
