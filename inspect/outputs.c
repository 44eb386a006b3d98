#include "inspect/outputs.h"

#include <string.h>
#include <sys/stat.h>

#include "inspect/figure.h"
#include "inspect/page.h"

enum gqa_status gqa_inspect_outputs_begin(
    struct gqa_inspect_outputs *outputs,
    const struct gqa_inspect_options *options)
{
    enum gqa_status st = GQA_OK;

    *outputs = (struct gqa_inspect_outputs){0};
    if (options->page_path)
        st = gqa_whole_file_begin(&outputs->page, options->page_path,
                                  options->force);
    if (st == GQA_OK && options->figure_path)
        st = gqa_whole_file_begin(&outputs->figure, options->figure_path,
                                  options->force);
    return st;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* With --force a slip of the keyboard would replace a checkpoint. */
static enum gqa_status check_not_read(const struct gqa_whole_file *file,
                                      const struct gqa_inspection *in)
{
    const char *config = gqa_checkpoint_config_path(in->checkpoint);
    const size_t n = gqa_checkpoint_n_sources(in->checkpoint);

    for (size_t i = 0; file->stream && i < n + (config != NULL); i++)
        if (is_same_file(file->path,
                         i < n ? gqa_checkpoint_source(in->checkpoint, i)->path
                               : config))
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: is part of what is inspected, and is not "
                            "replaced",
                            file->path);
    return GQA_OK;
}

enum gqa_status gqa_inspect_outputs_write(
    struct gqa_inspect_outputs *outputs,
    const struct gqa_inspection *inspection)
{
    enum gqa_status st = check_not_read(&outputs->page, inspection);

    if (st == GQA_OK)
        st = check_not_read(&outputs->figure, inspection);
    if (st == GQA_OK && outputs->page.stream)
        st = gqa_page_put(outputs->page.stream, inspection);
    if (st == GQA_OK && outputs->figure.stream)
        st = gqa_figure_put(outputs->figure.stream, inspection);
    return st;
}

enum gqa_status gqa_inspect_outputs_end(struct gqa_inspect_outputs *outputs,
                                        enum gqa_status st)
{
    st = gqa_whole_file_end(&outputs->page, st);
    return gqa_whole_file_end(&outputs->figure, st);
}
