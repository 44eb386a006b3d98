#include "uptrain/convert_first.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"

enum { MAX_ARGUMENTS = 24, MAX_TEXT = 32 };

/* What there is to say is said when all is done. */
static enum gqa_status say_nothing(const struct gqa_conversion *c)
{
    (void)c;
    return GQA_OK;
}

static enum gqa_status convert(const struct gqa_uptrain_options *o,
                               char *output)
{
    static const char *const backends[] = {
        [GQA_LEARN_AUTO] = "auto",
        [GQA_LEARN_CPU] = "cpu",
        [GQA_LEARN_CUDA] = "cuda",
    };
    const char *method = gqa_uptrain_methods[o->method].name;
    const bool aligned = strcmp(method, "aligned") == 0;
    char groups[MAX_TEXT], threads[MAX_TEXT], seed[MAX_TEXT];
    char *arguments[MAX_ARGUMENTS] = {(char *)gqa_convert_tool.name};
    struct gqa_convert_options options;
    struct gqa_conversion c;
    int n = 1;
    enum gqa_status st;

    snprintf(groups, sizeof groups, "--groups=%" PRIu64, o->groups);
    snprintf(threads, sizeof threads, "--threads=%u", o->common.n_threads);
    snprintf(seed, sizeof seed, "--seed=%" PRIu64, o->seed);
    arguments[n++] = groups;
    arguments[n++] = threads;
    arguments[n++] = "--method";
    arguments[n++] = (char *)method;
    arguments[n++] = "--force";
    if (aligned || strcmp(method, "random") == 0)
        arguments[n++] = seed;
    if (aligned) {
        arguments[n++] = "--backend";
        arguments[n++] = (char *)backends[o->device];
        /* What loaders of folders may not read, a .gqa would have. */
        if (o->writer->needs_config)
            arguments[n++] = "--no-free-pairs";
    }
    if (o->family_path) {
        arguments[n++] = "--family";
        arguments[n++] = (char *)o->family_path;
    }
    if (o->common.unsafe_hdf5)
        arguments[n++] = "--unsafe-hdf5";
    for (enum gqa_log_level l = GQA_LOG_WARN; l < o->common.log_level; l++)
        arguments[n++] = "--verbose";
    if (o->common.log_level < GQA_LOG_WARN)
        arguments[n++] = "--quiet";
    arguments[n++] = "--";
    arguments[n++] = (char *)o->teacher;
    arguments[n++] = output;
    st = gqa_convert_options_parse(&options, n, arguments);
    if (st == GQA_OK)
        st = gqa_convert(&c, &options, say_nothing);
    if (st == GQA_OK)
        gqa_conversion_clear(&c);
    gqa_convert_options_clear(&options);
    return st;
}

/* Beside what has this name, also where it ends in slashes. */
static enum gqa_status make_folder(char **out, const char *output)
{
    size_t n = strlen(output), base;

    while (n > 1 && output[n - 1] == '/')
        n--;
    for (base = n; base > 0 && output[base - 1] != '/';)
        base--;
    if (asprintf(out, "%.*s.%.*s.converted-XXXXXX", (int)base, output,
                 (int)(n - base), output + base) < 0) {
        *out = NULL;
        return gqa_fail_nomem();
    }
    if (!mkdtemp(*out)) {
        const enum gqa_status st = gqa_fail_errno("%s", *out);

        free(*out);
        *out = NULL;
        return st;
    }
    return GQA_OK;
}

enum gqa_status gqa_made_student_create(struct gqa_made_student *out,
                                        const struct gqa_uptrain_options *o)
{
    enum gqa_status st = make_folder(&out->folder, o->output);

    if (st == GQA_OK &&
        asprintf(&out->path, "%s/converted.gqa", out->folder) < 0) {
        out->path = NULL;
        st = gqa_fail_nomem();
    }
    return st == GQA_OK ? convert(o, out->path) : st;
}

void gqa_made_student_remove(struct gqa_made_student *student)
{
    if (student->path)
        unlink(student->path);
    if (student->folder)
        rmdir(student->folder);
    free(student->path);
    free(student->folder);
    *student = (struct gqa_made_student){.path = NULL};
}
