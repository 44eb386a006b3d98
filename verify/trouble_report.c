#include "verify/trouble_report.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/strings.h"
#include "verify/companions_check.h"

static const char option[] = "--report";

const char *gqa_trouble_report_path(int argc, char **argv)
{
    const size_t n = strlen(option);
    const char *path = NULL;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strncmp(argv[i], option, n) == 0 && argv[i][n] == '=')
            path = argv[i] + n + 1;
        else if (strcmp(argv[i], option) == 0 && i + 1 < argc)
            path = argv[++i];
    return path;
}

/* By what each form of it begins with. */
static bool is_report(const char *path)
{
    char start[512] = "";
    FILE *in = fopen(path, "re");
    bool is_one;

    if (!in)
        return false;
    start[fread(start, 1, sizeof start - 1, in)] = '\0';
    fclose(in);
    is_one = *start == '\0' || strncmp(start, "## gqa-verify", 13) == 0 ||
             strstr(start, "\"tool\": \"gqa-verify ") ||
             strstr(start, "<testsuite name=\"gqa-verify\"");
    return is_one;
}

/* What a checkpoint may consist of, and a report be called too. */
static bool has_name_of_checkpoint(const char *name)
{
    return strcmp(name, "config.json") == 0 ||
           gqa_ends_with(name, ".index.json") || gqa_is_companion(name) ||
           strcmp(name, "gqa-manifest.json") == 0;
}

static bool is_same(const struct stat *info, const char *path)
{
    struct stat other;

    return stat(path, &other) == 0 && other.st_dev == info->st_dev &&
           other.st_ino == info->st_ino;
}

/* How many arguments, or values of options, are this file or folder. */
static size_t count_named(const struct stat *info, int argc, char **argv)
{
    size_t n = 0;

    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');

        if (is_same(info, argv[i]) || (value && is_same(info, value + 1)) ||
            (argv[i][0] == '-' && argv[i][1] && is_same(info, argv[i] + 2)))
            n++;
    }
    return n;
}

static bool may_be_read(const struct stat *file, const char *path, int argc,
                        char **argv)
{
    char *copy = strdup(path);
    char *name = strdup(path);
    struct stat folder;
    bool may = true;

    /* Once it is the value of --report. */
    if (copy && name)
        may = count_named(file, argc, argv) > 1 ||
              has_name_of_checkpoint(basename(name)) ||
              stat(dirname(copy), &folder) != 0 ||
              count_named(&folder, argc, argv) > 0;
    free(name);
    free(copy);
    return may;
}

void gqa_trouble_report_save(const char *path, const struct gqa_report *report,
                             int argc, char **argv)
{
    enum gqa_report_format format;
    struct stat info;
    bool exists;

    if (gqa_report_format_of(&format, path) != GQA_OK)
        return;
    exists = stat(path, &info) == 0;
    if (exists ? !S_ISREG(info.st_mode) : errno != ENOENT)
        return;
    if (exists && !is_report(path) && may_be_read(&info, path, argc, argv))
        return;
    if (gqa_report_save(path, report) != GQA_OK && exists)
        (void)unlink(path);
}
