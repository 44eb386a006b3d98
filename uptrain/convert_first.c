#include "uptrain/convert_first.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/temporary.h"
#include "convert/convert.h"
#include "formats/recorded.h"
#include "formats/safetensors/header_write.h"

enum { MAX_ARGUMENTS = 24, MAX_TEXT = 32 };

/* What there is to say is said when all is done. */
static enum gqa_status say_nothing(const struct gqa_conversion *c)
{
    (void)c;
    return GQA_OK;
}

static enum gqa_status convert(
    const struct gqa_uptrain_options *o, int *kept_fd, char *output,
    bool dry_run, enum gqa_status (*report)(const struct gqa_conversion *c))
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
        /* What loaders of others may not read, a .gqa would have. */
        if (o->writer->needs_config)
            arguments[n++] = "--no-free-pairs";
    }
    if (o->family_path) {
        arguments[n++] = "--family";
        arguments[n++] = (char *)o->family_path;
    }
    if (o->common.unsafe_hdf5)
        arguments[n++] = "--unsafe-hdf5";
    if (o->common.dequantise)
        arguments[n++] = "--dequantise";
    if (o->common.state_dict) {
        arguments[n++] = "--state-dict";
        arguments[n++] = (char *)o->common.state_dict;
    }
    for (enum gqa_log_level l = GQA_LOG_WARN; l < o->common.log_level; l++)
        arguments[n++] = "--verbose";
    if (o->common.log_level < GQA_LOG_WARN)
        arguments[n++] = "--quiet";
    arguments[n++] = "--";
    arguments[n++] = (char *)o->teacher;
    arguments[n++] = output;
    st = gqa_convert_options_parse(&options, n, arguments);
    options.kept_fd = kept_fd;
    options.dry_run = dry_run;
    /* Of the folder that is written in the end; this one is a file. */
    options.plan.remote_code = o->remote_code;
    if (st == GQA_OK)
        st = gqa_convert(&c, &options, report);
    if (st == GQA_OK)
        gqa_conversion_clear(&c);
    gqa_convert_options_clear(&options);
    return st;
}

/* A file beside the output that never appears: what it is called for as long
 * as a hidden name is needed. */
static enum gqa_status name_beside(char **out, const char *output)
{
    size_t n = strlen(output);

    while (n > 1 && output[n - 1] == '/')
        n--;
    if (asprintf(out, "%.*s.converted.gqa", (int)n, output) < 0) {
        *out = NULL;
        return gqa_fail_nomem();
    }
    return GQA_OK;
}

enum gqa_status gqa_made_student_create(int *fd,
                                        const struct gqa_uptrain_options *o)
{
    char *path = NULL;
    enum gqa_status st = name_beside(&path, o->output);

    *fd = -1;
    if (st == GQA_OK)
        st = convert(o, fd, path, false, say_nothing);
    free(path);
    return st;
}

/* --- Shapes alone --------------------------------------------------------- */

static enum gqa_status write_shapes(int fd, const struct gqa_plan *plan,
                                    const json_t *metadata)
{
    const size_t n = plan->model->n_params;
    struct gqa_output_tensor *list = calloc(n + 1, sizeof *list);
    size_t *order = calloc(n + 1, sizeof *order);
    struct gqa_st_text text = {.bytes = NULL};
    enum gqa_status st = list && order ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const struct gqa_plan_tensor *t = &plan->tensors[i];

        list[i] = (struct gqa_output_tensor){.name = t->param->name,
                                             .dtype = t->dtype,
                                             .rank = t->rank,
                                             .shape = t->shape,
                                             .n_bytes = t->n_bytes};
        order[i] = i;
    }
    if (st == GQA_OK) {
        gqa_st_sort(order, n, list);
        st = gqa_st_text_create(&text, list, order, n, metadata);
    }
    if (st == GQA_OK)
        st = gqa_temporary_write(fd, text.bytes, text.n_bytes, 0);
    /* A hole, which takes no room. */
    if (st == GQA_OK &&
        ftruncate(fd, (off_t)(text.n_bytes + text.data_bytes)) != 0)
        st = gqa_fail_errno("temporary file");
    gqa_st_text_free(&text);
    free(list);
    free(order);
    return st;
}

static enum gqa_status keep_shapes(const struct gqa_conversion *c)
{
    json_t *config = gqa_conversion_config(c), *recipe = json_object();
    json_t *metadata = gqa_record_metadata(c->source, config, recipe);
    enum gqa_status st = gqa_json_check();

    if (st == GQA_OK)
        st = write_shapes(*c->options->kept_fd, c->plan, metadata);
    json_decref(metadata);
    json_decref(recipe);
    json_decref(config);
    return st;
}

enum gqa_status gqa_made_student_plan(int *fd,
                                      const struct gqa_uptrain_options *o)
{
    const enum gqa_log_level level = gqa_log_level();
    char *path = NULL;
    enum gqa_status st = name_beside(&path, o->output);

    *fd = -1;
    if (st == GQA_OK)
        st = gqa_temporary_open(fd, 0, "shapes");
    /* The conversion itself says it once more. */
    if (!o->dry_run)
        gqa_log_init(gqa_uptrain_tool.name, GQA_LOG_ERROR);
    if (st == GQA_OK)
        st = convert(o, fd, path, true, keep_shapes);
    gqa_log_init(gqa_uptrain_tool.name, level);
    free(path);
    return st;
}
