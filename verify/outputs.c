#include "verify/outputs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/atomic.h"
#include "verify/companions_check.h"

/* False where nothing is there. What cannot be told is an error, never "no". */
static enum gqa_status is_same_file(bool *same, const char *a, const char *b)
{
    struct stat x, y;

    *same = false;
    if (stat(a, &x) != 0)
        return errno == ENOENT ? GQA_OK : gqa_fail_errno("%s", a);
    if (stat(b, &y) != 0)
        return errno == ENOENT ? GQA_OK : gqa_fail_errno("%s", b);
    *same = x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    return GQA_OK;
}

/* Where a file of the output's name would lie in the folder; false: it could
 * be none of tokenizer or generation. */
static bool companion(char path[PATH_MAX], const char *output,
                      const struct gqa_checkpoint *checkpoint)
{
    const char *slash = output ? strrchr(output, '/') : NULL;
    const char *name = slash ? slash + 1 : output;

    return output && gqa_checkpoint_is_folder(checkpoint) &&
           gqa_is_companion(name) &&
           snprintf(path, PATH_MAX, "%s/%s", gqa_checkpoint_folder(checkpoint),
                    name) < PATH_MAX;
}

/* input: NULL: none. */
static enum gqa_status refuse_same(const struct gqa_verify_options *options,
                                   const char *input)
{
    const struct {
        const char *option, *path;
    } outputs[] = {{"--report", options->report_path},
                   {"--dump-logits", options->run.dump_path}};

    enum gqa_status st = GQA_OK;

    for (size_t i = 0;
         st == GQA_OK && input && i < sizeof outputs / sizeof *outputs; i++) {
        bool same = false;

        if (outputs[i].path)
            st = is_same_file(&same, outputs[i].path, input);
        if (st == GQA_OK && same)
            st = gqa_fail(GQA_ERR_USAGE, "%s would replace %s, which is read",
                          outputs[i].option, input);
    }
    return st;
}

enum gqa_status gqa_outputs_try(const struct gqa_verify_options *options)
{
    const char *report = options->report_path, *dump = options->run.dump_path;
    const char *const inputs[] = {
        options->config_path, options->original_config_path,
        options->run.tokens_path, options->run.text_path};
    enum gqa_status st = GQA_OK;
    bool same = false;

    if (report && dump && !(same = strcmp(report, dump) == 0))
        st = is_same_file(&same, report, dump);
    if (st == GQA_OK && same)
        return gqa_fail(GQA_ERR_USAGE,
                        "--report and --dump-logits are one file, %s", dump);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs && st == GQA_OK; i++)
        st = refuse_same(options, inputs[i]);
    if (st == GQA_OK && report)
        st = gqa_atomic_try_file(report, true);
    if (st == GQA_OK && dump)
        st = gqa_atomic_try_file(dump, true);
    return st;
}

enum gqa_status gqa_outputs_keep_apart(const struct gqa_verify_options *options,
                                       const struct gqa_subject *subject)
{
    const char *const outputs[] = {options->report_path,
                                   options->run.dump_path};
    char path[PATH_MAX];
    enum gqa_status st = GQA_OK;

    if (!subject->checkpoint)
        return GQA_OK;
    for (size_t i = 0;
         i < gqa_checkpoint_n_sources(subject->checkpoint) && st == GQA_OK; i++)
        st = refuse_same(options,
                         gqa_checkpoint_source(subject->checkpoint, i)->path);
    for (size_t i = 0; i < 2 && st == GQA_OK; i++)
        if (companion(path, outputs[i], subject->checkpoint))
            st = refuse_same(options, path);
    if (st != GQA_OK)
        return st;
    return refuse_same(options,
                       gqa_checkpoint_config_path(subject->checkpoint));
}

enum gqa_status gqa_outputs_clear(const struct gqa_verify_options *options)
{
    const char *report = options->report_path;

    if (report && unlink(report) != 0 && errno != ENOENT)
        return gqa_fail_errno("%s: cannot be replaced", report);
    return GQA_OK;
}
