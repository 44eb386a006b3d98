#include "common/atomic_litter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"

enum { MAX_JOURNAL_BYTES = 64 << 20 };

static bool leads_to(int parent, const char *name, int fd)
{
    struct stat own, there;

    return fstat(fd, &own) == 0 &&
           fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           gqa_is_same(&own, &there);
}

bool gqa_atomic_hold(int parent, const char *name, int fd)
{
    /* Where there are no locks nobody gets one, and nothing is removed. */
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return false;
    return leads_to(parent, name, fd);
}

/* Names, each ended by NUL; *text is the caller's. */
static enum gqa_status read_journal(char **text, size_t *n, int folder)
{
    const int fd = openat(folder, GQA_ATOMIC_JOURNAL,
                          O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    enum gqa_status st = GQA_OK;
    struct stat info;

    if (fd < 0)
        return GQA_OK;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size <= MAX_JOURNAL_BYTES) {
        *text = malloc((size_t)info.st_size + 1);
        if (!*text)
            st = gqa_fail_nomem();
        else if (gqa_file_read(fd, *text, (size_t)info.st_size, 0) == GQA_OK)
            *n = (size_t)info.st_size;
    }
    close(fd);
    return st;
}

static bool is_listed(const char *text, size_t n, const char *name)
{
    const size_t length = strlen(name) + 1;

    for (const char *at = text, *end; n > 0;
         n -= (size_t)(end - at), at = end) {
        end = memchr(at, '\0', n);
        if (!end)
            return false; /* cut off: nothing was created after it */
        end++;
        if ((size_t)(end - at) == length && memcmp(at, name, length) == 0)
            return true;
    }
    return false;
}

static enum gqa_status judge_by_journal(struct gqa_entries *entries, int folder)
{
    char *text = NULL;
    size_t n = 0;
    const enum gqa_status st = read_journal(&text, &n, folder);

    for (size_t i = 0; i < entries->n && st == GQA_OK; i++) {
        struct gqa_entry *e = &entries->list[i];

        if (S_ISREG(e->info.st_mode) &&
            (strcmp(e->name, GQA_ATOMIC_JOURNAL) == 0 ||
             is_listed(text, n, e->name)))
            e->verdict = GQA_VERDICT_OURS;
    }
    free(text);
    return st;
}

static bool all_ours(const struct gqa_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++)
        if (entries->list[i].verdict != GQA_VERDICT_OURS)
            return false;
    return true;
}

/* The journal last: should this be ended, too, it tells the next run. */
static void empty_folder(int folder, const struct gqa_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++)
        if (strcmp(entries->list[i].name, GQA_ATOMIC_JOURNAL) != 0)
            (void)unlinkat(folder, entries->list[i].name, 0);
    (void)unlinkat(folder, GQA_ATOMIC_JOURNAL, 0);
}

static enum gqa_status remove_folder(const struct gqa_atomic *a,
                                     const char *name, int folder,
                                     const struct gqa_atomic_judge *judge)
{
    struct gqa_entries entries = {0};
    enum gqa_status st = gqa_entries_list(&entries, folder);

    if (st == GQA_OK)
        st = judge_by_journal(&entries, folder);
    if (st == GQA_OK && judge && !all_ours(&entries)) {
        st = judge->judge(judge->ctx, folder, &entries);
        if (st == GQA_OK)
            st = judge_by_journal(&entries, folder);
    }
    if (st == GQA_OK && all_ours(&entries)) {
        empty_folder(folder, &entries);
        (void)unlinkat(a->parent, name, AT_REMOVEDIR);
    }
    gqa_entries_clear(&entries);
    return st;
}

/* .NAME.partial-abcdef */
static bool is_hidden_name(const struct gqa_atomic *a, const char *name)
{
    char ours[GQA_BESIDE_BYTES];
    size_t n;

    if (gqa_atomic_name_hidden(a, ours) != GQA_OK)
        return false;
    n = strlen(ours);
    return strlen(name) == n &&
           strncmp(ours, name, n - GQA_BESIDE_LETTERS) == 0 &&
           strspn(name + n - GQA_BESIDE_LETTERS, gqa_beside_letters) ==
               GQA_BESIDE_LETTERS;
}

static enum gqa_status remove_dead(const struct gqa_atomic *a, const char *name,
                                   const struct gqa_atomic_judge *judge)
{
    const int fd =
        openat(a->parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    enum gqa_status st = GQA_OK;
    struct stat info;

    if (fd < 0)
        return GQA_OK;
    if (fstat(fd, &info) == 0 && info.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && leads_to(a->parent, name, fd)) {
        if (S_ISDIR(info.st_mode))
            st = remove_folder(a, name, fd, judge);
        else if (S_ISREG(info.st_mode) && info.st_nlink == 1)
            (void)unlinkat(a->parent, name, 0);
        if (st == GQA_OK && leads_to(a->parent, name, fd))
            gqa_warn("%s: %s beside it is left of a run that was killed, and "
                     "may hold what that did not write; delete it yourself",
                     a->path, name);
        else if (st == GQA_OK)
            gqa_info("%s: removed %s beside it, left of a run that was killed",
                     a->path, name);
    }
    close(fd);
    return st;
}

enum gqa_status gqa_atomic_clean_litter(const struct gqa_atomic *a,
                                        const struct gqa_atomic_judge *judge)
{
    struct gqa_entries entries = {0};
    enum gqa_status st = gqa_entries_list(&entries, a->parent);

    /* A folder that cannot be listed may still be written to. */
    if (st != GQA_OK && st != GQA_ERR_NOMEM)
        st = GQA_OK;
    for (size_t i = 0; i < entries.n && st == GQA_OK; i++)
        if (is_hidden_name(a, entries.list[i].name))
            st = remove_dead(a, entries.list[i].name, judge);
    gqa_entries_clear(&entries);
    return st;
}
