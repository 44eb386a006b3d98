#include "formats/writers.h"

#include <stdio.h>

#include "common/memory_stream.h"
#include "formats/formats.h"

const struct gqa_writer *const gqa_writers[] = {
#define LINE(name) &gqa_writer_##name,
    GQA_WRITERS(LINE)
#undef LINE
};

const size_t gqa_n_writers = sizeof gqa_writers / sizeof *gqa_writers;

static bool takes(const struct gqa_writer *writer, const char *output)
{
    if (!writer->names)
        return true;
    for (const char *const *pattern = writer->names; *pattern; pattern++)
        if (gqa_name_fits(output, *pattern))
            return true;
    return false;
}

/* "a, b or c" */
static enum gqa_status fail_unwritten(const char *output)
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
        st = gqa_fail(GQA_ERR_USAGE,
                      "%s: cannot write files of this kind; an output is %s",
                      output, list.text);
    gqa_memory_stream_free(&list);
    return st;
}

enum gqa_status gqa_writer_find(const struct gqa_writer **out,
                                const char *output)
{
    /* Names that nobody gives a folder. */
    static const char *const others[] = {"*.h5",  "*.hdf5", "*.bin",  "*.pt",
                                         "*.pth", "*.gguf", "*.json", "*.npz",
                                         "*.zst", "*.keras"};
    size_t i = 0;

    for (size_t j = 0; j < sizeof others / sizeof *others; j++)
        if (gqa_name_fits(output, others[j]))
            return fail_unwritten(output);
    while (!takes(gqa_writers[i], output))
        i++; /* the last takes all */
    *out = gqa_writers[i];
    return GQA_OK;
}
