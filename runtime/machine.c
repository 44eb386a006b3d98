#include "runtime/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/checked.h"

/*
 * The value of the first line of a file of the system's that begins with key,
 * which is near its start; false: none. Needs no memory, so that a lack of it
 * is not taken for that.
 */
static bool find_line(char *out, size_t size, const char *path, const char *key)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[4096];
    ssize_t n = -1;

    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
    }
    if (n < 0)
        return false;
    text[n] = '\0';
    for (const char *line = text; *line; line += *line == '\n') {
        const size_t length = strcspn(line, "\n");
        const char *value = line + strlen(key);

        if (strncmp(line, key, strlen(key)) == 0) {
            value += strspn(value, " \t:");
            snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
            return true;
        }
        line += length;
    }
    return false;
}

void gqa_machine_name(char *out, size_t size)
{
    struct utsname system;

    if (!find_line(out, size, "/proc/cpuinfo", "model name"))
        snprintf(out, size, "%s",
                 uname(&system) == 0 ? system.machine : "processor");
}

/* The number that a text begins with; false: none. */
static bool take_number(uint64_t *out, const char *text)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return end > text && errno == 0;
}

/* A size in KiB of /proc/meminfo as bytes; 0: not said. */
static uint64_t memory_of(const char *key)
{
    char text[64];
    uint64_t n;

    if (!find_line(text, sizeof text, "/proc/meminfo", key) ||
        !take_number(&n, text) || !gqa_mul_u64(n, 1024, &n))
        return 0;
    return n;
}

/* A number of the control group that limits us; false: none, or "max". */
static bool group_memory(uint64_t *out, const char *path)
{
    char text[64];

    return find_line(text, sizeof text, path, "") && take_number(out, text);
}

/* Where /proc cannot be read; what the cache could give back is not in it. */
static void ask_for_memory(uint64_t *total, uint64_t *free)
{
    struct sysinfo info;

    if (sysinfo(&info) != 0)
        return;
    *total = (uint64_t)info.totalram * info.mem_unit;
    *free = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
}

void gqa_machine_memory(uint64_t *total, uint64_t *free)
{
    uint64_t limit, used;

    *total = memory_of("MemTotal");
    *free = memory_of("MemAvailable");
    if (*total == 0 || *free == 0)
        ask_for_memory(total, free);
    if (!group_memory(&limit, "/sys/fs/cgroup/memory.max") ||
        !group_memory(&used, "/sys/fs/cgroup/memory.current"))
        return;
    if (limit < *total)
        *total = limit;
    if (used > limit)
        used = limit;
    if (limit - used < *free)
        *free = limit - used;
}
