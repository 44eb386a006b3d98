/* Figures of the runtime checks, as reference.h has them. */
#include <math.h>
#include <stdio.h>

#include "formats/model/model.h"
#include "verify/reference.h"

enum { NAME_SIZE = 64 };

/* A point as people call it: "decoder layer 3, attention", "logits". */
static const char *name_point(char out[NAME_SIZE],
                              const struct gqa_runtime_figures *f, size_t index)
{
    static const char *const parts[] = {", attention", ", cross-attention", ""};
    const struct gqa_trace_point point = gqa_trace_point(f->trace, index);

    if (point.kind == GQA_POINT_LOGITS)
        snprintf(out, NAME_SIZE, "%s",
                 gqa_trace_has_logits(f->trace) ? "logits"
                                                : "last hidden state");
    else
        snprintf(out, NAME_SIZE, "%s layer %zu%s", gqa_stack_name(point.stack),
                 point.layer, parts[point.kind]);
    return out;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* It is not finite somewhere: where, and whether it had to be so. */
static void say_nonfinite(struct gqa_check *check,
                          const struct gqa_runtime_figures *f)
{
    const struct gqa_error_verdict *v = &f->verdict;
    char point[NAME_SIZE];

    snprintf(check->figure, sizeof check->figure,
             "not finite at %llu positions, first: %s",
             (unsigned long long)v->n_nonfinite,
             name_point(point, f, v->nonfinite_point));
    if (f->plain[v->nonfinite_point].n_nonfinite > 0)
        snprintf(check->detail, sizeof check->detail,
                 "neither is the plain computation in %s: the values of this "
                 "model are not finite, or beyond the type",
                 gqa_dtype_name(f->type));
}

static void say_error(struct gqa_check *check,
                      const struct gqa_runtime_figures *f)
{
    const struct gqa_error_verdict *v = &f->verdict;
    const char *type = gqa_dtype_name(f->type);
    char point[NAME_SIZE];
    int used = 0;

    snprintf(check->figure, sizeof check->figure,
             "relative L2 %.2g%s, plain %s %.2g (%s)", v->error,
             v->kind == GQA_ERROR_MOST ? " at worst" : "", type, v->plain,
             name_point(point, f, v->point));
    snprintf(check->limit, sizeof check->limit, "<= %.2g", v->limit);
    if (check->verdict == GQA_FAILED)
        used = snprintf(check->detail, sizeof check->detail,
                        "further from float64 than %g times what the plain "
                        "computation in %s is, first at %s",
                        f->limits.factor, type,
                        name_point(point, f, v->first_beyond));
    if (v->n_told < v->n_seen)
        snprintf(check->detail + used, sizeof check->detail - (size_t)used,
                 "%s%zu of %zu points tell nothing: rounding to %s alone moves "
                 "their values by more than a limit could hold",
                 used > 0 ? "; " : "", v->n_seen - v->n_told, v->n_seen, type);
}

static json_t *values_of(const struct gqa_runtime_figures *f)
{
    const struct gqa_error_verdict *v = &f->verdict;
    const size_t logits = f->n_points - 1;
    char point[NAME_SIZE];

    name_point(point, f, v->point);
    return json_pack(
        "{s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "error",
        number(v->error), "limit", number(v->limit), "plain", number(v->plain),
        "at", v->n_told > 0 ? point : "", "kind",
        v->kind == GQA_ERROR_MOST ? "max" : "rms", "relative_l2",
        number(gqa_errors_rms(&f->errors[logits])), "plain_relative_l2",
        number(f->limits.scale * gqa_errors_rms(&f->plain[logits])), "points",
        (json_int_t)v->n_seen, "points_told", (json_int_t)v->n_told,
        "nonfinite", (json_int_t)v->n_nonfinite);
}

enum gqa_status gqa_runtime_report(struct gqa_report *report, const char *name,
                                   const struct gqa_runtime_figures *f)
{
    const struct gqa_error_verdict *v = &f->verdict;
    struct gqa_check check = {
        .group = GQA_CHECK_RUNTIME, .name = name, .seconds = f->seconds};

    check.values = values_of(f);
    if (!check.values)
        return gqa_fail_nomem();
    if (v->n_nonfinite > 0) {
        check.verdict = GQA_FAILED;
        say_nonfinite(&check, f);
    } else if (v->n_told == 0) {
        check.verdict = GQA_SKIPPED;
        snprintf(check.detail, sizeof check.detail,
                 "rounding to %s alone moves all values of this model by more "
                 "than a limit could hold; a finer --dtype tells",
                 gqa_dtype_name(f->type));
    } else {
        check.verdict = v->error <= v->limit ? GQA_PASSED : GQA_FAILED;
        say_error(&check, f);
    }
    return gqa_report_add(report, &check);
}
