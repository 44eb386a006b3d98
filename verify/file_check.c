#include "verify/file_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/units.h"
#include "formats/model/buffers.h"
#include "formats/unwritten.h"
#include "verify/companions_check.h"
#include "verify/config_check.h"
#include "verify/inventory_check.h"
#include "verify/scan.h"

static struct gqa_check new_check(const char *name)
{
    return (struct gqa_check){
        .group = GQA_CHECK_FILE, .name = name, .verdict = GQA_PASSED};
}

/* The stored message as the cause of a failure. */
static void fail_check(struct gqa_check *check)
{
    check->verdict = GQA_FAILED;
    snprintf(check->detail, sizeof check->detail, "%s", gqa_error_message());
}

static enum gqa_status add_skipped(struct gqa_report *report, const char *name,
                                   const char *why)
{
    struct gqa_check check = new_check(name);

    check.verdict = GQA_SKIPPED;
    snprintf(check.detail, sizeof check.detail, "%s", why);
    return gqa_report_add(report, &check);
}

/* Headers, seek table, manifest, bounds: all that opening looks at. */
static enum gqa_status check_structure(struct gqa_subject *subject,
                                       struct gqa_report *report,
                                       const struct gqa_file_check *options)
{
    struct gqa_check check = new_check("structure");
    const double start = gqa_clock_s();
    enum gqa_status st =
        gqa_subject_open(subject, options->path, &options->open);

    check.seconds = gqa_clock_s() - start;
    if (st == GQA_ERR_FORMAT) {
        fail_check(&check);
        st = GQA_OK;
    } else if (st == GQA_OK) {
        const size_t n = gqa_checkpoint_n_tensors(subject->checkpoint);

        snprintf(check.figure, sizeof check.figure, "%s, %zu tensors",
                 gqa_checkpoint_kind(subject->checkpoint), n);
        check.values = json_pack("{s:I}", "n_tensors", (json_int_t)n);
    }
    return st == GQA_OK ? gqa_report_add(report, &check) : st;
}

/* The manifest's digest of tensor i of a source, or NULL. Both are in data
 * order, which the reader has seen to. */
static const char *stated_digest(const struct gqa_source *source, size_t i)
{
    const json_t *list = json_object_get(source->manifest, "tensors");

    return json_string_value(
        json_object_get(json_array_get(list, i), "sha256"));
}

static enum gqa_status check_digests(const struct gqa_subject *subject,
                                     struct gqa_report *report,
                                     const struct gqa_tensor_scan *scans)
{
    struct gqa_check check = new_check("digests");
    size_t n = 0, n_bad = 0, first = 0;

    for (size_t s = 0; s < gqa_checkpoint_n_sources(subject->checkpoint); s++) {
        const struct gqa_source *source =
            gqa_checkpoint_source(subject->checkpoint, s);

        for (size_t i = 0; i < source->n_tensors; i++, first++) {
            const char *stated =
                source->manifest ? stated_digest(source, i) : NULL;
            char actual[GQA_SHA256_DIGITS + 1];

            if (!stated)
                continue;
            n++;
            gqa_sha256_format(actual, scans[first].sha256);
            if (strcmp(stated, actual) == 0)
                continue;
            if (n_bad++ == 0)
                snprintf(check.detail, sizeof check.detail,
                         "'%s': SHA-256 is %s, the manifest says %s",
                         source->tensors[i].name, actual, stated);
        }
    }
    if (n == 0)
        return add_skipped(report, "digests",
                           "only a .gqa records digests of its tensors");
    if (n_bad > 0)
        check.verdict = GQA_FAILED;
    snprintf(check.figure, sizeof check.figure,
             "SHA-256 of %zu of %zu tensors right", n - n_bad, n);
    check.values = json_pack("{s:I, s:I}", "n_tensors", (json_int_t)n,
                             "n_wrong", (json_int_t)n_bad);
    return gqa_report_add(report, &check);
}

/* --- NaN and infinity ----------------------------------------------------- */

/* Whether parameter `param` lies in the tensor, wholly or in part. */
static bool lies_in(const struct gqa_param *param, size_t tensor)
{
    for (size_t i = 0; i < param->n_parts; i++)
        if (param->parts[i].tensor == tensor)
            return true;
    return false;
}

static const struct gqa_param *find_param(const struct gqa_model *model,
                                          const char *name)
{
    for (size_t i = 0; i < model->n_params; i++)
        if (strcmp(model->params[i].name, name) == 0)
            return &model->params[i];
    return NULL;
}

/* Whether nothing reads what lies in the tensor. */
static bool is_buffer(const struct gqa_subject *subject, size_t tensor)
{
    bool is_one = false;

    for (size_t i = 0; subject->model && i < subject->model->n_params; i++) {
        const struct gqa_param *param = &subject->model->params[i];

        if (!lies_in(param, tensor))
            continue;
        if (!gqa_model_is_buffer(subject->model, param->name))
            return false;
        is_one = true;
    }
    return is_one;
}

/* Whether the original is not finite where this tensor is not. */
static bool is_inherited(const struct gqa_subject *subject, size_t tensor,
                         const struct gqa_subject *original,
                         const struct gqa_tensor_scan *scans)
{
    if (!original || !scans || !subject->model)
        return false;
    for (size_t i = 0; i < subject->model->n_params; i++) {
        const struct gqa_param *param = &subject->model->params[i];
        const struct gqa_param *other;

        if (!lies_in(param, tensor))
            continue;
        other = find_param(original->model, param->name);
        for (size_t k = 0; other && k < other->n_parts; k++) {
            const struct gqa_tensor_scan *scan = &scans[other->parts[k].tensor];

            if (scan->n_nan > 0 || scan->n_inf > 0)
                return true;
        }
    }
    return false;
}

struct finite {
    uint64_t n_nan, n_inf;
    size_t n_bad, n_inherited, n_unread, first_bad;
};

static struct finite count_bad(const struct gqa_subject *subject,
                               const struct gqa_tensor_scan *scans,
                               const struct gqa_subject *original,
                               const struct gqa_tensor_scan *original_scans)
{
    const size_t n = gqa_checkpoint_n_tensors(subject->checkpoint);
    struct finite f = {0};

    for (size_t i = 0; i < n; i++) {
        if (scans[i].n_nan == 0 && scans[i].n_inf == 0)
            continue;
        f.n_nan += scans[i].n_nan;
        f.n_inf += scans[i].n_inf;
        if (is_buffer(subject, i))
            f.n_unread++;
        else if (is_inherited(subject, i, original, original_scans))
            f.n_inherited++;
        else if (f.n_bad++ == 0)
            f.first_bad = i;
    }
    return f;
}

static enum gqa_status scan_original(struct gqa_tensor_scan **out,
                                     const struct gqa_file_check *options)
{
    struct gqa_checkpoint *checkpoint = options->original->checkpoint;
    enum gqa_status st;

    *out = calloc(gqa_checkpoint_n_tensors(checkpoint) + 1, sizeof **out);
    if (!*out)
        return gqa_fail_nomem();
    st = gqa_scan(*out, checkpoint, false, options->n_threads, NULL);
    return st;
}

static enum gqa_status check_finite(const struct gqa_subject *subject,
                                    struct gqa_report *report,
                                    const struct gqa_file_check *options,
                                    const struct gqa_tensor_scan *scans)
{
    struct gqa_check check = new_check("finite");
    struct gqa_tensor_scan *original_scans = NULL;
    struct finite f = count_bad(subject, scans, NULL, NULL);
    enum gqa_status st = GQA_OK;

    /* The original is only read where there is something to compare. */
    if (f.n_bad > 0 && options->original && subject->model) {
        st = scan_original(&original_scans, options);
        if (st == GQA_OK)
            f = count_bad(subject, scans, options->original, original_scans);
        free(original_scans);
    }
    if (st != GQA_OK)
        return st;
    if (f.n_nan == 0 && f.n_inf == 0)
        snprintf(check.figure, sizeof check.figure, "no NaN, no infinity");
    else
        snprintf(check.figure, sizeof check.figure,
                 "%" PRIu64 " NaN, %" PRIu64 " infinite", f.n_nan, f.n_inf);
    if (f.n_bad > 0) {
        check.verdict = GQA_FAILED;
        snprintf(check.detail, sizeof check.detail,
                 "in %zu tensors%s, the first '%s'", f.n_bad,
                 options->original ? " that are finite in the original" : "",
                 gqa_checkpoint_tensor(subject->checkpoint, f.first_bad)->name);
    } else if (f.n_inherited > 0) {
        check.verdict = GQA_REPORTED;
        snprintf(check.detail, sizeof check.detail,
                 "in %zu tensors that are not finite in the original either",
                 f.n_inherited);
    } else if (f.n_unread > 0) {
        snprintf(check.detail, sizeof check.detail,
                 "in %zu buffers that nothing reads", f.n_unread);
    }
    check.values = json_pack("{s:I, s:I}", "n_nan", (json_int_t)f.n_nan,
                             "n_infinite", (json_int_t)f.n_inf);
    return gqa_report_add(report, &check);
}

/* --- All ------------------------------------------------------------------ */

/* Does the configuration fit the shapes? */
static enum gqa_status check_config(struct gqa_subject *subject,
                                    struct gqa_report *report,
                                    const struct gqa_file_check *options)
{
    struct gqa_check check = new_check("config");
    enum gqa_status st = gqa_subject_understand(subject, &options->hints);
    const enum gqa_status understood = st;
    size_t n_found = 0;

    if (st == GQA_ERR_FORMAT ||
        (options->original &&
         (st == GQA_ERR_UNSUPPORTED || st == GQA_ERR_USAGE))) {
        fail_check(&check);
        gqa_subject_forget(subject);
    } else if (st != GQA_OK) {
        return st;
    } else {
        snprintf(check.figure, sizeof check.figure,
                 "%s, %zu attentions fit their tensors%s",
                 gqa_family_name(subject->model->family),
                 subject->model->n_attentions,
                 subject->model->config_is_complete ? "" : " (no config.json)");
    }
    st = gqa_config_check(&n_found, &check, subject, options->original);
    if (st == GQA_OK && check.verdict == GQA_PASSED)
        gqa_inventory_check_config(&check, subject);
    /* What cannot be understood is a mistake where the original's says another
     * thing, as a type of models that there is not. */
    if (st == GQA_OK && understood != GQA_OK && understood != GQA_ERR_FORMAT &&
        n_found == 0)
        st = gqa_fail(understood, "%s", check.detail);
    if (st == GQA_OK)
        return gqa_report_add(report, &check);
    json_decref(check.values);
    return st;
}

/* A fill value in the place of weights is no content. */
static size_t check_written(struct gqa_check *check,
                            const struct gqa_checkpoint *checkpoint)
{
    char text[GQA_UNWRITTEN_MAX];
    const struct gqa_tensor *tensor;
    size_t first = 0;
    const size_t n = gqa_unwritten_count(checkpoint, &first);

    if (n == 0)
        return 0;
    tensor = gqa_checkpoint_tensor(checkpoint, first);
    check->verdict = GQA_FAILED;
    snprintf(check->detail, sizeof check->detail,
             "'%.512s' %s; of %zu tensors %zu were not written, or not wholly",
             tensor->name, gqa_unwritten_describe(text, tensor),
             gqa_checkpoint_n_tensors(checkpoint), n);
    return n;
}

static enum gqa_status check_content(const struct gqa_subject *subject,
                                     struct gqa_report *report,
                                     const struct gqa_file_check *options)
{
    struct gqa_checkpoint *checkpoint = subject->checkpoint;
    const size_t n = gqa_checkpoint_n_tensors(checkpoint);
    struct gqa_check check = new_check("content");
    struct gqa_tensor_scan *scans = calloc(n + 1, sizeof *scans);
    struct gqa_progress *progress = NULL;
    const double start = gqa_clock_s();
    bool has_manifest = false;
    char size[GQA_UNITS_MAX];
    uint64_t n_bytes = 0;
    size_t n_unwritten;
    enum gqa_status st;

    if (!scans)
        return gqa_fail_nomem();
    for (size_t i = 0; i < gqa_checkpoint_n_sources(checkpoint); i++)
        has_manifest |= gqa_checkpoint_source(checkpoint, i)->manifest != NULL;
    for (size_t i = 0; i < n; i++)
        n_bytes += gqa_checkpoint_tensor(checkpoint, i)->n_bytes;
    st = gqa_progress_create(&progress, options->log_level);
    if (st == GQA_OK)
        gqa_progress_phase(progress, "reading", GQA_PROGRESS_BYTES);
    if (st == GQA_OK)
        st = gqa_scan(scans, checkpoint, has_manifest, options->n_threads,
                      progress);
    gqa_progress_free(progress);
    check.seconds = gqa_clock_s() - start;
    gqa_clock_log("reading all of the file", start, n_bytes);
    if (st == GQA_ERR_FORMAT) {
        fail_check(&check);
        st = gqa_report_add(report, &check);
        if (st == GQA_OK)
            st = add_skipped(report, "digests", "the content is damaged");
        if (st == GQA_OK)
            st = add_skipped(report, "finite", "the content is damaged");
    } else if (st == GQA_OK) {
        snprintf(check.figure, sizeof check.figure, "%s read, all of it",
                 gqa_units_bytes(size, n_bytes));
        n_unwritten = check_written(&check, checkpoint);
        check.values = json_pack("{s:I, s:I}", "n_bytes", (json_int_t)n_bytes,
                                 "n_unwritten", (json_int_t)n_unwritten);
        st = gqa_report_add(report, &check);
        if (st == GQA_OK)
            st = check_digests(subject, report, scans);
        if (st == GQA_OK)
            st = check_finite(subject, report, options, scans);
    }
    free(scans);
    return st;
}

enum gqa_status gqa_file_check(struct gqa_subject *subject,
                               struct gqa_report *report,
                               const struct gqa_file_check *options)
{
    enum gqa_status st = check_structure(subject, report, options);

    if (st != GQA_OK || !subject->checkpoint)
        return st;
    st = check_config(subject, report, options);
    if (st == GQA_OK)
        st = gqa_inventory_check(report, subject, options->allow_extra);
    if (st == GQA_OK && options->original)
        st = gqa_companions_check(report, subject, options->original);
    return st == GQA_OK ? check_content(subject, report, options) : st;
}
