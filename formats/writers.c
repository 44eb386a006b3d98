#include "formats/writers.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/memory_stream.h"
#include "common/strings.h"
#include "formats/formats.h"

const struct gqa_writer *const gqa_writers[] = {
#define LINE(name) &gqa_writer_##name,
    GQA_WRITERS(LINE)
#undef LINE
};

const size_t gqa_n_writers = sizeof gqa_writers / sizeof *gqa_writers;

static bool takes(const struct gqa_writer *writer, const char *output)
{
    for (const char *const *pattern = writer->names; pattern && *pattern;
         pattern++)
        if (gqa_name_fits(output, *pattern))
            return true;
    return false;
}

/* "a, b or c" */
static enum gqa_status fail_unwritten(const char *output, const char *why)
{
    struct gqa_memory_stream list;
    enum gqa_status st = gqa_memory_stream_open(&list);

    if (st != GQA_OK)
        return st;
    for (size_t i = 0; i < gqa_n_writers; i++)
        fprintf(list.out, "%s%s",
                i == 0                   ? ""
                : i + 1 == gqa_n_writers ? " or "
                                         : ", ",
                gqa_writers[i]->form);
    if ((st = gqa_memory_stream_flush(&list)) == GQA_OK)
        st = gqa_fail(GQA_ERR_USAGE, "%s: %s; an output is %s", output, why,
                      list.text);
    gqa_memory_stream_free(&list);
    return st;
}

/* Names of checkpoints, which nobody gives a folder. */
static bool is_other_kind(const char *output)
{
    static const char *const others[] = {"*.h5",  "*.hdf5", "*.bin",
                                         "*.pt",  "*.pth",  "*.json",
                                         "*.npz", "*.zst",  "*.keras"};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (gqa_name_fits(output, others[i]))
            return true;
    return false;
}

/* "-00001-of-00003", behind which the name ends but for ".gguf" or the like: of
 * one of several files, which readers look for. NULL: it is none. */
static const char *find_part(const char *output)
{
    static const char form[] = "-00000-of-00000";
    const char *dot = strrchr(output, '.');
    const char *part;

    if (!dot || dot - output < (ptrdiff_t)sizeof form)
        return NULL;
    part = dot - (sizeof form - 1);
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? part[i] < '0' || part[i] > '9'
                           : part[i] != form[i])
            return NULL;
    return part;
}

static enum gqa_status check_part(const struct gqa_writer *writer,
                                  const char *output)
{
    const char *part = find_part(output);

    if (!part)
        return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: the name of one of several files, and an output is "
                    "named by the whole; write '%.*s%s'%s",
                    output, (int)(part - output), output, strrchr(output, '.'),
                    writer->settings & GQA_SETTING_SHARDS
                        ? ", of which --shard-size makes such files"
                        : "");
}

enum gqa_status gqa_writer_find(const struct gqa_writer **out,
                                const char *output)
{
    struct stat info;

    for (size_t i = 0; i < gqa_n_writers; i++)
        if (takes(gqa_writers[i], output)) {
            *out = gqa_writers[i];
            return check_part(*out, output);
        }
    *out = &gqa_writer_folder;
    if (gqa_ends_with(output, "/"))
        return GQA_OK;
    if (stat(output, &info) == 0)
        return S_ISDIR(info.st_mode)
                   ? GQA_OK
                   : fail_unwritten(output, "is there, and no folder");
    if (errno != ENOENT && errno != ENOTDIR)
        return gqa_fail_errno("%s", output);
    if (is_other_kind(output))
        return fail_unwritten(output, "cannot write files of this kind");
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: none of NAME.gqa, NAME.safetensors and NAME.gguf, and "
                    "no folder is there; for a new folder write '%s/'",
                    output, output);
}

void gqa_output_first(char out[PATH_MAX], const struct gqa_writer *writer,
                      const char *path, size_t n_files)
{
    if (writer->first && n_files > 1)
        writer->first(out, path, n_files);
    else
        snprintf(out, PATH_MAX, "%s", path);
}
