#include "verify/verification.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/progress.h"
#include "formats/families/load.h"
#include "formats/libraries.h"
#include "formats/unwritten.h"
#include "verify/file_check.h"
#include "verify/outputs.h"
#include "verify/run_step.h"
#include "verify/subject.h"
#include "verify/weights_check.h"

static struct gqa_checkpoint_options open_options(
    const struct gqa_verify_options *options, const char *config_path)
{
    return (struct gqa_checkpoint_options){
        .config_path = config_path,
        .unsafe_hdf5 = options->common.unsafe_hdf5,
        .dequantise = options->common.dequantise,
        .state_dict = options->common.state_dict};
}

static enum gqa_status open_original(struct gqa_subject *original,
                                     const struct gqa_verify_options *options)
{
    const double start = gqa_clock_s();
    struct gqa_checkpoint_options open =
        open_options(options, options->original_config_path);
    enum gqa_status st;

    open.unwrap = true;
    st = gqa_subject_open(original, options->original_path, &open);

    if (st == GQA_OK) {
        (void)gqa_unwritten_warn(original->checkpoint);
        st = gqa_subject_understand(original, &options->hints);
    }
    gqa_clock_log("opening the original", start, 0);
    return st == GQA_OK && !options->no_run ? gqa_run_possible(original) : st;
}

static enum gqa_status state_facts(struct gqa_report *report,
                                   const struct gqa_verify_options *options)
{
    char libraries[128];
    enum gqa_status st = GQA_OK;

    if (options->original_path)
        st = gqa_report_fact(report, "original", options->original_path);
    if (st == GQA_OK)
        st = gqa_report_fact(report,
                             options->original_path ? "converted" : "file",
                             options->path);
    gqa_format_libraries(libraries, sizeof libraries);
    return st == GQA_OK ? gqa_report_fact(report, "libraries", libraries) : st;
}

/* Tensors of the same sizes, whatever the configurations make of them. */
static bool are_alike(const struct gqa_model *a, const struct gqa_model *b)
{
    return a->n_attentions == b->n_attentions && a->n_layers == b->n_layers &&
           a->n_decoder_layers == b->n_decoder_layers &&
           a->d_model == b->d_model && a->vocab_size == b->vocab_size &&
           a->attentions[0].n_heads * a->attentions[0].head_dim ==
               b->attentions[0].n_heads * b->attentions[0].head_dim;
}

/* A checkpoint that is damaged, or whose configuration makes another model of
 * the same tensors, as has been reported, cannot be compared. */
static enum gqa_status check_weights(struct gqa_report *report,
                                     const struct gqa_subject *original,
                                     const struct gqa_subject *converted,
                                     const struct gqa_verify_options *options)
{
    struct gqa_check check = {.group = GQA_CHECK_WEIGHTS,
                              .name = "unchanged",
                              .verdict = GQA_SKIPPED};
    const struct gqa_weights_options weights = {
        .n_threads = options->common.n_threads, .trained = options->trained};
    struct gqa_progress *bar = NULL;
    enum gqa_status st = gqa_progress_create(&bar, options->common.log_level);

    if (st != GQA_OK)
        return st;
    gqa_progress_phase(bar, "comparing the weights", GQA_PROGRESS_BYTES);
    st = gqa_weights_check(report, original, converted, &weights);
    gqa_progress_free(bar);
    if (gqa_report_count(report, GQA_FAILED) == 0)
        return st;
    if (st == GQA_ERR_FORMAT)
        snprintf(check.detail, sizeof check.detail, "the content is damaged");
    else if (st == GQA_ERR_USAGE &&
             are_alike(original->model, converted->model))
        snprintf(check.detail, sizeof check.detail, "%s", gqa_error_message());
    else
        return st;
    st = gqa_report_add(report, &check);
    check.name = "grouped";
    return st == GQA_OK ? gqa_report_add(report, &check) : st;
}

static enum gqa_status verify(struct gqa_report *report,
                              struct gqa_whole_file *dump,
                              const struct gqa_verify_options *options)
{
    struct gqa_subject original = {0}, converted = {0};
    struct gqa_run_job job = {.checks = {.dump = dump}};
    struct gqa_file_check file = {
        .path = options->path,
        .open = open_options(options, options->config_path),
        .hints = options->hints,
        .allow_extra = options->allow_extra,
        .n_threads = options->common.n_threads,
        .log_level = options->common.log_level,
    };
    enum gqa_status st = gqa_outputs_try(options);

    if (st == GQA_OK)
        st = state_facts(report, options);
    if (st == GQA_OK && options->original_path) {
        st = open_original(&original, options);
        file.original = &original;
    }
    if (st == GQA_OK)
        st = gqa_outputs_keep_apart(options, &original);
    /* A device that is not there is an error where models are to run, and
     * not before: what the files are comes first. */
    if (st == GQA_OK && options->original_path && !options->no_run &&
        gqa_run_job_begin(&job, report, &original, options) != GQA_OK)
        gqa_info("models cannot be run: %s", gqa_error_message());
    if (st == GQA_OK)
        st = gqa_file_check(&converted, report, &file);
    if (st == GQA_OK && converted.checkpoint)
        st = gqa_checkpoint_check_state_dict(options->common.state_dict,
                                             converted.checkpoint,
                                             original.checkpoint);
    if (st == GQA_OK)
        st = gqa_outputs_keep_apart(options, &converted);
    if (st == GQA_OK)
        st = gqa_outputs_clear(options);
    if (st == GQA_OK && options->original_path)
        st = check_weights(report, &original, &converted, options);
    if (st == GQA_OK && options->original_path && !options->no_run)
        st = gqa_run_job_finish(&job, report, &original, &converted, options);
    else if (st == GQA_OK)
        gqa_info("models are not run: %s",
                 options->no_run ? "--no-run" : "there is no original");
    gqa_run_job_end(&job);
    if (st == GQA_OK && original.checkpoint)
        st = gqa_checkpoint_check_unchanged(original.checkpoint);
    if (st == GQA_OK && converted.checkpoint)
        st = gqa_checkpoint_check_unchanged(converted.checkpoint);
    gqa_subject_close(&converted);
    gqa_subject_close(&original);
    return st;
}

enum gqa_status gqa_verify(struct gqa_report *report,
                           struct gqa_whole_file *dump,
                           const struct gqa_verify_options *options)
{
    struct gqa_verify_options with_family = *options;
    struct gqa_family_file *family = NULL;
    enum gqa_status st = GQA_OK;

    if (options->family_path)
        st = gqa_family_file_open(&family, options->family_path);
    with_family.hints.family = family;
    if (st == GQA_OK)
        st = verify(report, dump, &with_family);
    gqa_family_file_free(family);
    return st;
}
