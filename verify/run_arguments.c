#include "verify/run_arguments.h"

void gqa_run_arguments_init(struct gqa_run_arguments *a)
{
    *a = (struct gqa_run_arguments){.limits = gqa_budget_none,
                                    .profile = gqa_budget_none,
                                    .dtype = GQA_F32};
}

enum gqa_status gqa_run_arguments_check(const struct gqa_run_arguments *a)
{
    const bool half = gqa_dtype_is_half(a->dtype);

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
        .max_kl_of_first = a->profile.max_kl_of_first,
    };
}
