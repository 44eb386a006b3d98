#include "verify/run_step.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "runtime/blas.h"
#include "verify/run_plan.h"

enum gqa_status gqa_run_possible(const struct gqa_subject *subject)
{
    struct gqa_network *network = NULL;
    const enum gqa_status st = gqa_network_create(&network, subject->model);
    char message[512];

    gqa_network_free(network);
    if (st != GQA_ERR_UNSUPPORTED && st != GQA_ERR_FORMAT)
        return st;
    snprintf(message, sizeof message, "%s", gqa_error_message());
    return gqa_fail(st, "%s: %s (--no-run checks files and weights alone)",
                    gqa_checkpoint_path(subject->checkpoint), message);
}

/* --- Where ---------------------------------------------------------------- */

/* Whether the GPU can be used, by doing so. */
static enum gqa_status try_cuda(const struct gqa_run_options *cuda)
{
    struct gqa_device *device = NULL;
    const enum gqa_status st = cuda->backend->open(&device, &cuda->device);

    if (st == GQA_OK)
        cuda->backend->close(device);
    return st;
}

static enum gqa_status choose_device(struct gqa_run_options *out,
                                     const struct gqa_verify_options *options)
{
    const struct gqa_run_arguments *run = &options->run;
    enum gqa_status st;

    out->device = (struct gqa_device_options){
        .real = run->dtype, .n_threads = options->common.n_threads};
    out->order = run->order;
    out->backend = gqa_cpu_backend();
    if (run->backend == GQA_BACKEND_CPU ||
        (run->backend == GQA_BACKEND_AUTO && run->dtype == GQA_F64))
        return GQA_OK;
    st = gqa_cuda_backend_load(&out->backend);
    if (st == GQA_OK)
        st = try_cuda(out);
    if (st == GQA_OK)
        return st;
    if (run->backend == GQA_BACKEND_CUDA)
        return gqa_fail_prefix(st, "--backend=cuda");
    if (gqa_dtype_is_half(run->dtype))
        return gqa_fail_prefix(st, "--dtype=%s needs a GPU",
                               run->dtype == GQA_BF16 ? "bf16" : "f16");
    /* A GPU that is there and fails is not passed over in silence. */
    if (st != GQA_ERR_UNSUPPORTED) {
        char message[512];

        snprintf(message, sizeof message, "%s", gqa_error_message());
        return gqa_fail(st, "%s (--backend=cpu runs without a GPU)", message);
    }
    if (getenv("GQA_CUDA_PLUGIN"))
        gqa_warn("on the CPU: %s", gqa_error_message());
    else
        gqa_info("on the CPU: %s", gqa_error_message());
    out->backend = gqa_cpu_backend();
    return GQA_OK;
}

/* --- Whether -------------------------------------------------------------- */

/* Those checks that are not in the report yet. */
static enum gqa_status skip(struct gqa_report *report, const char *why)
{
    static const struct {
        enum gqa_check_group group;
        const char *name;
    } checks[] = {
        {GQA_CHECK_RUNTIME, "decode-prefill"},
        {GQA_CHECK_RUNTIME, "device-float64"},
        {GQA_CHECK_RUNTIME, "grouped-expanded"},
        {GQA_CHECK_FIDELITY, "finite"},
        {GQA_CHECK_FIDELITY, "kl"},
        {GQA_CHECK_FIDELITY, "kl-p99"},
        {GQA_CHECK_FIDELITY, "top-1"},
        {GQA_CHECK_FIDELITY, "perplexity"},
        {GQA_CHECK_FIDELITY, "drift"},
    };
    struct gqa_check check = {.verdict = GQA_SKIPPED};
    enum gqa_status st = GQA_OK;

    snprintf(check.detail, sizeof check.detail, "%s", why);
    for (size_t i = 0; i < sizeof checks / sizeof *checks && st == GQA_OK;
         i++) {
        check.group = checks[i].group;
        check.name = checks[i].name;
        if (!gqa_report_has(report, check.group, check.name))
            st = gqa_report_add(report, &check);
    }
    return st;
}

static enum gqa_status prepare(struct gqa_run_check_options *out,
                               struct gqa_report *report,
                               const struct gqa_network *network,
                               const struct gqa_verify_options *options)
{
    const struct gqa_run_arguments *run = &options->run;
    struct gqa_run_check_options checks = {
        .reference = {.backend = gqa_cpu_backend(),
                      .device = {.real = GQA_F64,
                                 .n_threads = options->common.n_threads}},
        .tokens_path = run->tokens_path,
        .text_path = run->text_path,
        .samples = run->samples,
        .budget = gqa_run_arguments_budget(run),
        .n_generate = run->n_generate,
        .scale = run->scale,
        .dump_path = run->dump_path,
        .dump = out->dump,
        .log_level = options->common.log_level,
    };
    struct gqa_reference_cost cost;
    enum gqa_status st = gqa_reference_cost_of(&cost, network);

    if (st != GQA_OK)
        return st;
    checks.reference_length = cost.length;
    st = choose_device(&checks.run, options);
    if (st == GQA_OK)
        st = gqa_run_plan_state(report, network, &cost, &checks);
    if (st == GQA_OK)
        *out = checks;
    return st;
}

static struct gqa_run_model model_of(struct gqa_checkpoint_weights *weights,
                                     const struct gqa_subject *subject)
{
    *weights =
        (struct gqa_checkpoint_weights){subject->checkpoint, subject->model};
    return (struct gqa_run_model){subject->model,
                                  gqa_checkpoint_weight_source(weights)};
}

enum gqa_status gqa_run_job_begin(struct gqa_run_job *job,
                                  struct gqa_report *report,
                                  const struct gqa_subject *original,
                                  const struct gqa_verify_options *options)
{
    const struct gqa_run_model model = model_of(&job->weights[0], original);
    struct gqa_network *network = NULL;
    enum gqa_status st = gqa_network_create(&network, original->model);

    if (st == GQA_OK)
        st = gqa_blas_load(options->common.n_threads);
    if (st == GQA_OK)
        st = prepare(&job->checks, report, network, options);
    gqa_network_free(network);
    return st == GQA_OK ? gqa_run_begin(&job->run, &model, &job->checks) : st;
}

enum gqa_status gqa_run_job_finish(struct gqa_run_job *job,
                                   struct gqa_report *report,
                                   const struct gqa_subject *original,
                                   const struct gqa_subject *converted,
                                   const struct gqa_verify_options *options)
{
    enum gqa_status st;

    if (!converted->model)
        return skip(report, "the checkpoint could not be understood");
    st = gqa_run_possible(converted);
    if (st == GQA_OK && !job->run)
        st = gqa_run_job_begin(job, report, original, options);
    if (st == GQA_OK) {
        const struct gqa_run_model model =
            model_of(&job->weights[1], converted);

        struct gqa_claims claims;

        gqa_info("models run on %s in %s", job->checks.run.backend->name,
                 gqa_dtype_name(job->checks.run.device.real));
        st = gqa_claims_read(&claims, original, converted);
        if (st == GQA_OK)
            st = gqa_run_finish(job->run, report, &model, &claims);
        gqa_claims_clear(&claims);
    }
    if (st == GQA_OK || st == GQA_ERR_INTERRUPTED ||
        gqa_report_count(report, GQA_FAILED) == 0)
        return st;
    return skip(report, gqa_error_message());
}

void gqa_run_job_end(struct gqa_run_job *job)
{
    gqa_run_free(job->run);
    job->run = NULL;
}
