#include "trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 4096 };

_Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
            strerror(errno));
    exit(2);
}

void append(struct bytes *to, const void *data, size_t n)
{
    to->data = realloc(to->data, to->n + n + 1);
    if (!to->data)
        die("realloc");
    memcpy(to->data + to->n, data, n);
    to->n += n;
    to->data[to->n] = '\0';
}

void append_file(struct bytes *to, int folder, const char *name)
{
    const int fd = openat(folder, name, O_RDONLY);
    char buf[ROOM];
    ssize_t got;

    if (fd < 0)
        die(name);
    append(to, "", 0);
    while ((got = read(fd, buf, sizeof buf)) > 0)
        append(to, buf, (size_t)got);
    close(fd);
}

void append_folder(struct bytes *to, int parent, const char *name,
                   bool (*is_wanted)(const char *name))
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY);
    struct dirent **entries;
    const int n = fd < 0 ? -1 : scandirat(fd, ".", &entries, NULL, alphasort);

    if (n < 0)
        die(name);
    append(to, "", 0);
    for (int i = 0; i < n; i++) {
        const char *entry = entries[i]->d_name;
        struct stat info;

        if (strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0 &&
            (!is_wanted || is_wanted(entry))) {
            if (fstatat(fd, entry, &info, AT_SYMLINK_NOFOLLOW) != 0)
                die(entry);
            append(to, entry, strlen(entry) + 1);
            if (S_ISDIR(info.st_mode))
                append_folder(to, fd, entry, is_wanted);
            else
                append_file(to, fd, entry);
        }
        free(entries[i]);
    }
    free(entries);
    close(fd);
}

static void empty_folder(int parent, const char *name)
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir)
        die(name);
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0)
            continue;
        empty_folder(fd, entry->d_name);
        if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0)
            die(entry->d_name);
    }
    closedir(dir);
}

void prepare_folder(const char *folder, const char *seed)
{
    char from[ROOM];
    int status;
    pid_t pid;

    empty_folder(AT_FDCWD, folder);
    if (!seed)
        return;
    snprintf(from, sizeof from, "%s/.", seed);
    pid = fork();
    if (pid == 0) {
        execlp("cp", "cp", "-a", from, folder, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("cp");
}

bool same(const struct bytes *a, const struct bytes *b)
{
    return a->n == b->n && memcmp(a->data, b->data, a->n) == 0;
}

bool has(const struct bytes *text, const char *words)
{
    return memmem(text->data, text->n, words, strlen(words)) != NULL;
}

void send_to(int fd, const char *path)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (file < 0 || dup2(file, fd) < 0)
        die(path);
    close(file);
}
