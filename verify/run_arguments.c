#include "verify/run_arguments.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"

enum { MAX_SAMPLES = 1000000, MAX_LENGTH = 1 << 24 };

void gqa_run_arguments_init(struct gqa_run_arguments *a)
{
    *a = (struct gqa_run_arguments){.limits = gqa_budget_none,
                                    .profile = gqa_budget_none,
                                    .dtype = GQA_F32};
}

/* A number of at least 0, all of text; with a percent sign, where may_share,
 * a hundredth of it. */
static enum gqa_status parse_limit(double *out, const char *name,
                                   const char *text, bool may_share)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (end != text && may_share && *end == '%') {
        value /= 100;
        end++;
    }
    if (end == text || *end != '\0' || !isfinite(value) || value < 0 ||
        errno == ERANGE)
        return gqa_fail(GQA_ERR_USAGE, "--%s: '%s' is not a number from 0 on%s",
                        name, text, may_share ? ", such as 0.01 or 1%" : "");
    *out = value;
    return GQA_OK;
}

static enum gqa_status take_limit(struct gqa_run_arguments *a, const char *name,
                                  const char *value, bool *known)
{
    enum gqa_status st;

    if (strcmp(name, "max-kl") == 0)
        return parse_limit(&a->limits.max_kl, name, value, false);
    if (strcmp(name, "max-kl-p99") == 0)
        return parse_limit(&a->limits.max_kl_p99, name, value, false);
    if (strcmp(name, "max-ppl-increase") == 0)
        return parse_limit(&a->limits.max_ppl_increase, name, value, true);
    if (strcmp(name, "min-top1") == 0) {
        st = parse_limit(&a->limits.min_top1, name, value, true);
        if (st == GQA_OK && a->limits.min_top1 > 1)
            st = gqa_fail(GQA_ERR_USAGE,
                          "--min-top1: '%s' is more than all (say 0.99 or "
                          "99%%)",
                          value);
        return st;
    }
    if (strcmp(name, "profile") == 0) {
        if (gqa_budget_profile(&a->profile, value))
            return GQA_OK;
        return gqa_fail(GQA_ERR_USAGE,
                        "--profile: '%s' is not strict, uptrained or "
                        "initialiser",
                        value);
    }
    *known = false;
    return GQA_OK;
}

static enum gqa_status take_backend(enum gqa_backend_choice *out,
                                    const char *value)
{
    static const char *const names[] = {"auto", "cpu", "cuda"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], value) == 0) {
            *out = (enum gqa_backend_choice)i;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_USAGE, "--backend: '%s' is not auto, cpu or cuda",
                    value);
}

static enum gqa_status take_dtype(enum gqa_dtype *out, const char *value)
{
    static const struct {
        const char *name;
        enum gqa_dtype dtype;
    } types[] = {{"f32", GQA_F32},
                 {"f64", GQA_F64},
                 {"bf16", GQA_BF16},
                 {"f16", GQA_F16}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, value) == 0) {
            *out = types[i].dtype;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_USAGE, "--dtype: '%s' is not f32, f64, bf16 or f16",
                    value);
}

static enum gqa_status take_path(const char **out, const char *name,
                                 const char *value)
{
    if (*value == '\0')
        return gqa_fail(GQA_ERR_USAGE, "--%s: the path is empty", name);
    *out = value;
    return GQA_OK;
}

enum gqa_status gqa_run_arguments_take(struct gqa_run_arguments *a,
                                       const char *name, const char *value,
                                       bool *known)
{
    *known = true;
    if (strcmp(name, "scale") == 0) {
        a->scale = true;
        return GQA_OK;
    }
    if (strcmp(name, "tokens") == 0)
        return take_path(&a->tokens_path, name, value);
    if (strcmp(name, "text") == 0)
        return take_path(&a->text_path, name, value);
    if (strcmp(name, "dump-logits") == 0)
        return take_path(&a->dump_path, name, value);
    if (strcmp(name, "samples") == 0)
        return gqa_cli_number(&a->samples.n, "--samples", value, 1,
                              MAX_SAMPLES);
    if (strcmp(name, "length") == 0)
        return gqa_cli_number(&a->samples.length, "--length", value, 2,
                              MAX_LENGTH);
    if (strcmp(name, "seed") == 0)
        return gqa_cli_number(&a->samples.seed, "--seed", value, 0, UINT64_MAX);
    if (strcmp(name, "generate") == 0)
        return gqa_cli_number(&a->n_generate, "--generate", value, 1,
                              MAX_LENGTH);
    if (strcmp(name, "backend") == 0)
        return take_backend(&a->backend, value);
    if (strcmp(name, "dtype") == 0)
        return take_dtype(&a->dtype, value);
    return take_limit(a, name, value, known);
}

enum gqa_status gqa_run_arguments_check(const struct gqa_run_arguments *a)
{
    const bool half = a->dtype == GQA_BF16 || a->dtype == GQA_F16;

    if (a->tokens_path && a->text_path)
        return gqa_fail(GQA_ERR_USAGE,
                        "--tokens and --text cannot be combined");
    if (half && a->backend == GQA_BACKEND_CPU)
        return gqa_fail(GQA_ERR_USAGE,
                        "--backend=cpu computes in f32 or f64, not in bf16 or "
                        "f16");
    if (a->dtype == GQA_F64 && a->backend == GQA_BACKEND_CUDA)
        return gqa_fail(GQA_ERR_USAGE,
                        "--backend=cuda computes in f32, bf16 or f16, not in "
                        "f64");
    return GQA_OK;
}

static double limit(double said, double profile)
{
    return said >= 0 ? said : profile;
}

struct gqa_budget gqa_run_arguments_budget(const struct gqa_run_arguments *a)
{
    return (struct gqa_budget){
        .max_kl = limit(a->limits.max_kl, a->profile.max_kl),
        .max_kl_p99 = limit(a->limits.max_kl_p99, a->profile.max_kl_p99),
        .min_top1 = limit(a->limits.min_top1, a->profile.min_top1),
        .max_ppl_increase =
            limit(a->limits.max_ppl_increase, a->profile.max_ppl_increase),
    };
}
