#include "verify/options.h"

#include <string.h>

#include "formats/model/option_rows.h"
#include "formats/standard_input.h"

/* Heads beyond any model's. */
#define MAX_COUNT ((uint64_t)1 << 31)

enum { MAX_SAMPLES = 1000000, MAX_LENGTH = 1 << 24 };

static const struct gqa_choice formats[] = {
    {.name = "text", .value = GQA_REPORT_TEXT},
    {.name = "json", .value = GQA_REPORT_JSON},
    {.name = "tap", .value = GQA_REPORT_TAP},
    {.name = "markdown", .value = GQA_REPORT_MARKDOWN},
    {.name = NULL},
};

static const struct gqa_choice backends[] = {
    {.name = "auto", .value = GQA_BACKEND_AUTO},
    {.name = "cpu", .value = GQA_BACKEND_CPU},
    {.name = "cuda", .value = GQA_BACKEND_CUDA},
    {.name = "gpu", .hidden = true, .instead = "cuda"},
    {.name = NULL},
};

static const struct gqa_choice dtypes[] = {
    {.name = "f32", .value = GQA_F32},
    {.name = "f64", .value = GQA_F64},
    {.name = "bf16", .value = GQA_BF16},
    {.name = "f16", .value = GQA_F16},
    {.name = NULL},
};

static const struct gqa_choice orders[] = {
    {.name = "auto", .value = GQA_ORDER_AUTO},
    {.name = "token", .value = GQA_ORDER_TOKEN},
    {.name = "layer", .value = GQA_ORDER_LAYER},
    {.name = NULL},
};

/* Those of gqa_budget_profile(). */
static const struct gqa_choice profiles[] = {
    {.name = "strict"},
    {.name = "uptrained"},
    {.name = "initialiser"},
    {.name = NULL},
};

static enum gqa_status take_report(void *ctx, const char *text)
{
    struct gqa_verify_options *options = ctx;
    enum gqa_report_format format;

    options->report_path = text;
    return gqa_report_format_of(&format, text);
}

static enum gqa_status take_profile(void *ctx, const char *text)
{
    struct gqa_verify_options *options = ctx;

    if (!gqa_budget_profile(&options->run.profile, text))
        return gqa_fail(GQA_ERR_USAGE, "'%s' is not known", text);
    return GQA_OK;
}

#define AT(member) offsetof(struct gqa_verify_options, member)

static const struct gqa_option rows[] = {
    {.name = "against",
     .kind = GQA_OPTION_PATH,
     .value = "ORIGINAL",
     .offset = AT(original_path),
     .help = "the checkpoint that was converted"},
    {.name = "config",
     .letter = 'c',
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(config_path),
     .help = "the config.json of what is verified"},
    {.name = "original-config",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(original_config_path),
     .needs = "against",
     .help = "the config.json of ORIGINAL"},
    GQA_FAMILY_ROW(AT(family_path)),
    GQA_HEADS_ROW("n-heads", AT(hints.n_heads), MAX_COUNT,
                  "query heads, where nothing says how many"),
    GQA_HEADS_ROW("head-dim", AT(hints.head_dim), MAX_COUNT,
                  "size of a head, where nothing says"),
    {.name = "allow-extra",
     .offset = AT(allow_extra),
     .help = "report tensors that belong to no part of the model, outside of "
             "attention; they are a failure otherwise"},
    {.name = "trained",
     .offset = AT(trained),
     .needs = "against",
     .help = "CONVERTED was trained since: say how far weights moved"},
    {.name = "report",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .take = take_report,
     .help = "write a report too: FILE.xml (JUnit), .json or .md"},
    {.name = "format",
     .kind = GQA_OPTION_CHOICE,
     .value = "FORMAT",
     .offset = AT(format),
     .choices = formats,
     .excludes = {"json"},
     .help = "of standard output: text, json (also -j), tap or markdown"},
    {.name = "no-run",
     .offset = AT(no_run),
     .help = "check files and weights; run no model"},
    {.name = "tokens",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(run.tokens_path),
     .needs = "against",
     .excludes = {"no-run"},
     .section = "What is run, on how much and where:",
     .help = "tokens: input_ids (and labels) of a safetensors or .npy file, or "
             "numbers"},
    {.name = "text",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(run.text_path),
     .needs = "against",
     .excludes = {"no-run", "tokens"},
     .help = "text for a model of bytes"},
    {.name = "samples",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(run.samples.n),
     .min = 1,
     .max = MAX_SAMPLES,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "sequences, 8 by default; without a file they are sampled from "
             "ORIGINAL"},
    {.name = "length",
     .kind = GQA_OPTION_COUNT,
     .value = "L",
     .offset = AT(run.samples.length),
     .min = 2,
     .max = MAX_LENGTH,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "tokens of each; 256 by default"},
    {.name = "seed",
     .kind = GQA_OPTION_COUNT,
     .value = "S",
     .offset = AT(run.samples.seed),
     .max = UINT64_MAX,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "of the samples; 0 by default"},
    {.name = "backend",
     .kind = GQA_OPTION_CHOICE,
     .value = "BACKEND",
     .offset = AT(run.backend),
     .choices = backends,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "auto (a GPU where there is one), cpu, cuda"},
    {.name = "dtype",
     .kind = GQA_OPTION_CHOICE,
     .value = "TYPE",
     .offset = AT(run.dtype),
     .choices = dtypes,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "f32 (default), f64 (CPU), bf16, f16 (GPU)"},
    {.name = "order",
     .kind = GQA_OPTION_CHOICE,
     .value = "ORDER",
     .offset = AT(run.order),
     .choices = orders,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "token, or layer: one layer's weights at a time; auto"},
    {.name = "scale",
     .offset = AT(run.scale),
     .needs = "against",
     .excludes = {"no-run"},
     .help = "also run first-head and random conversions, and means beside "
             "what is aligned"},
    {.name = "generate",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(run.n_generate),
     .min = 1,
     .max = MAX_LENGTH,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "greedy continuations of both, N tokens"},
    {.name = "dump-logits",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(run.dump_path),
     .needs = "against",
     .excludes = {"no-run"},
     .help = "all logits of both, to FILE.safetensors"},
    {.name = "max-kl",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(run.limits.max_kl),
     .needs = "against",
     .excludes = {"no-run"},
     .section = "Budgets; without one, fidelity is reported and fails nothing:",
     .help = "mean KL divergence, in nats"},
    {.name = "max-kl-p99",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(run.limits.max_kl_p99),
     .needs = "against",
     .excludes = {"no-run"},
     .help = "its 99th percentile"},
    {.name = "min-top1",
     .kind = GQA_OPTION_SHARE,
     .value = "SHARE",
     .offset = AT(run.limits.min_top1),
     .max = 1,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "same most likely token: 0.99 or 99%"},
    {.name = "max-ppl-increase",
     .kind = GQA_OPTION_SHARE,
     .value = "SHARE",
     .offset = AT(run.limits.max_ppl_increase),
     .needs = "against",
     .excludes = {"no-run"},
     .help = "of perplexity: 0.01 or 1%"},
    {.name = "profile",
     .kind = GQA_OPTION_CHOICE,
     .value = "NAME",
     .choices = profiles,
     .take = take_profile,
     .needs = "against",
     .excludes = {"no-run"},
     .help = "strict, uptrained or initialiser"},
};

static const char *const advices[GQA_N_ADVICES] = {
    GQA_MODEL_ADVICES,
    [GQA_ADVICE_CPU] = "; --backend cpu may have more",
    [GQA_ADVICE_ONE_THREAD] = " and give --threads=1",
};

const struct gqa_tool gqa_verify_tool = {
    .name = "gqa-verify",
    .usage =
        "Usage: gqa-verify [OPTION]... FILE\n"
        "       gqa-verify [OPTION]... --against=ORIGINAL CONVERTED\n"
        "Check that a checkpoint is sound and, against the one it was made\n"
        "from, that every value in it is what it must be; then run both and\n"
        "say how far apart they are. One of them may be - for standard "
        "input.\n",
    .notes = "Exit status: 0 all checks passed, 1 a check failed, 2 trouble.\n"
             "\n"
             "Example: gqa-verify --against model.h5 model.gqa\n",
    .operands = {"FILE"},
    .advice = "--against names the original",
    .advices = advices,
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

enum gqa_status gqa_verify_options_parse(struct gqa_verify_options *out,
                                         int argc, char **argv)
{
    enum gqa_status st;

    *out = (struct gqa_verify_options){.format = GQA_REPORT_TEXT};
    gqa_run_arguments_init(&out->run);
    st = gqa_options_parse(out, &gqa_verify_tool, argc, argv);
    if (st != GQA_OK || out->common.help || out->common.version)
        return st;
    out->path = out->common.operands[0];
    if (out->original_path && strcmp(out->path, GQA_STANDARD_INPUT) == 0 &&
        strcmp(out->original_path, GQA_STANDARD_INPUT) == 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "standard input is one checkpoint: name ORIGINAL, or "
                        "CONVERTED");
    if (out->common.json)
        out->format = GQA_REPORT_JSON;
    return gqa_run_arguments_check(&out->run);
}
