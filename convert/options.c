#include "convert/options.h"
#include "formats/model/option_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Heads and layers beyond any model's. */
#define MAX_COUNT ((uint64_t)1 << 31)
#define MAX_LEVEL 19

/* Beside the element types of the other choices. */
enum { KEEP_DTYPE = -1 };

enum { TO_GQA, TO_SAFETENSORS, TO_GGUF };

/* One "FIRST-LAST=N" or "LAYER=N" of length n. */
static enum gqa_status parse_layer_range(struct gqa_layer_groups *out,
                                         const char *text, size_t n)
{
    char item[64];
    char *groups, *last;
    enum gqa_status st;

    if (n >= sizeof item)
        return gqa_fail(GQA_ERR_USAGE, "'%.*s' is too long", (int)sizeof item,
                        text);
    memcpy(item, text, n);
    item[n] = '\0';
    groups = strchr(item, '=');
    if (!groups)
        return gqa_fail(GQA_ERR_USAGE, "'%s' is not LAYERS=N, such as 0-3=16",
                        item);
    *groups++ = '\0';
    last = strchr(item, '-');
    if (last)
        *last++ = '\0';
    if ((st = gqa_option_count(&out->first, item, 0, MAX_COUNT)) != GQA_OK ||
        (st = gqa_option_count(&out->last, last ? last : item, 0, MAX_COUNT)) !=
            GQA_OK ||
        (st = gqa_option_count(&out->asked, groups, 1, MAX_COUNT)) != GQA_OK)
        return st;
    if (out->first > out->last)
        return gqa_fail(GQA_ERR_USAGE, "%" PRIu64 "-%" PRIu64 " runs backwards",
                        out->first, out->last);
    return GQA_OK;
}

static enum gqa_status take_layer_groups(void *ctx, const char *text)
{
    struct gqa_convert_options *options = ctx;
    size_t n = 1;
    size_t count = 0;

    for (const char *p = text; *p; p++)
        n += *p == ',';
    free(options->layer_groups);
    options->layer_groups = calloc(n, sizeof *options->layer_groups);
    if (!options->layer_groups)
        return gqa_fail_nomem();
    do {
        const size_t length = strcspn(text, ",");
        struct gqa_layer_groups *l = &options->layer_groups[count];
        const enum gqa_status st = parse_layer_range(l, text, length);

        if (st != GQA_OK)
            return st;
        for (size_t i = 0; i < count; i++)
            if (l->first <= options->layer_groups[i].last &&
                options->layer_groups[i].first <= l->last)
                return gqa_fail(GQA_ERR_USAGE,
                                "'%.*s' names layers that "
                                "another part names too",
                                (int)length, text);
        count++;
        text += length;
    } while (*text++ == ',');
    options->plan.layer_groups = options->layer_groups;
    options->plan.n_layer_groups = count;
    return GQA_OK;
}

static const struct gqa_choice methods[] = {
    {.name = "mean", .value = GQA_METHOD_MEAN},
    {.name = "first", .value = GQA_METHOD_FIRST},
    {.name = "random", .value = GQA_METHOD_RANDOM},
    {.name = "aligned", .value = GQA_METHOD_ALIGNED},
    {.name = NULL},
};

static const struct gqa_choice attentions[] = {
    {.name = "all", .value = GQA_SELECT_ALL},
    {.name = "encoder", .value = GQA_SELECT_ENCODER},
    {.name = "encoder-self", .value = GQA_SELECT_ENCODER, .hidden = true},
    {.name = "decoder", .value = GQA_SELECT_DECODER},
    {.name = "decoder-self", .value = GQA_SELECT_DECODER_SELF},
    {.name = "decoder-cross", .value = GQA_SELECT_DECODER_CROSS},
    {.name = NULL},
};

static const struct gqa_choice backends[] = {
    {.name = "auto", .value = GQA_LEARN_AUTO},
    {.name = "cpu", .value = GQA_LEARN_CPU},
    {.name = "cuda", .value = GQA_LEARN_CUDA},
    {.name = NULL},
};

static const struct gqa_choice dtypes[] = {
    {.name = "keep", .value = KEEP_DTYPE}, {.name = "f32", .value = GQA_F32},
    {.name = "f16", .value = GQA_F16},     {.name = "bf16", .value = GQA_BF16},
    {.name = "f64", .value = GQA_F64},     {.name = NULL},
};

/* What standard output can be. */
static const struct gqa_choice streams[] = {
    {.name = "gqa", .value = TO_GQA},
    {.name = "safetensors", .value = TO_SAFETENSORS},
    {.name = "gguf", .value = TO_GGUF},
    {.name = NULL},
};

#define AT(member) offsetof(struct gqa_convert_options, member)

static const struct gqa_option rows[] = {
    {.name = "groups",
     .letter = 'g',
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(plan.asked),
     .min = 1,
     .max = MAX_COUNT,
     .help = "KV heads to keep in each attention; N must divide the source's; "
             "1 is multi-query attention"},
    {.name = "kv-budget",
     .kind = GQA_OPTION_SHARE,
     .value = "SHARE",
     .offset = AT(budget.share),
     .max = 1,
     .excludes = {"groups", "layer-groups", "no-pooling", "max-kl"},
     .help = "in place of --groups: of the KV cache's bytes, such as 25%; each "
             "attention keeps as many KV heads as lose least within that"},
    {.name = "max-kl",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(budget.max_kl),
     .excludes = {"groups", "layer-groups", "no-pooling"},
     .help = "likewise: as few as keep the mean KL from INPUT, measured on "
             "tokens held out, within X nats"},
    {.name = "uniform",
     .offset = AT(budget.uniform),
     .help =
         "--kv-budget, --max-kl: one number of KV heads for all attentions, "
         "as stock loaders want it"},
    {.name = "method",
     .letter = 'm',
     .kind = GQA_OPTION_CHOICE,
     .value = "METHOD",
     .offset = AT(plan.method),
     .choices = methods,
     .help = "mean (default), first, random (fresh heads), or aligned (a space "
             "that heads share, which keeps most of the model)"},
    {.name = "calibrate",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(calibration.learning.from),
     .excludes = {"text"},
     .help = "what an aligned conversion learns from: self (default: tokens "
             "that INPUT itself draws), none, or a FILE of tokens"},
    {.name = "text",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(calibration.learning.text_path),
     .help = "the same, text for a model of bytes"},
    {.name = "backend",
     .kind = GQA_OPTION_CHOICE,
     .value = "BACKEND",
     .offset = AT(calibration.learning.device),
     .choices = backends,
     .help = "auto (a GPU where there is one), cpu, cuda"},
    {.name = "samples",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(calibration.learning.n),
     .min = 1,
     .max = MAX_COUNT,
     .help = "sequences to learn from, 64 by default"},
    {.name = "length",
     .kind = GQA_OPTION_COUNT,
     .value = "L",
     .offset = AT(calibration.learning.length),
     .min = 2,
     .max = MAX_COUNT,
     .help = "tokens of each, 512 by default"},
    {.name = "no-refit",
     .offset = AT(calibration.no_refit),
     .help = "leave output projections what alignment makes of them, and do "
             "not fit them anew"},
    {.name = "no-fit-scores",
     .offset = AT(calibration.no_fit_scores),
     .help = "leave queries and keys what alignment makes of them, and do not "
             "fit them to the scores of INPUT"},
    {.name = "no-fit-values",
     .offset = AT(calibration.no_fit_values),
     .help = "leave values what alignment makes of them, and do not fit them "
             "to what attentions of INPUT give"},
    {.name = "no-fit-together",
     .offset = AT(calibration.no_fit_together),
     .help = "do not fit queries, keys, values and outputs of an attention at "
             "once, behind all other fits"},
    {.name = "no-regroup",
     .offset = AT(calibration.no_regroup),
     .help = "let neighbours share, not the heads that lose least together"},
    {.name = "no-pooling",
     .offset = AT(plan.no_pooling),
     .excludes = {"groups", "layer-groups"},
     .help =
         "transform heads, and let none share: what the model computes must "
         "stay"},
    {.name = "keep-context",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(calibration.keep_context),
     .min = 2,
     .max = MAX_COUNT,
     .excludes = {"no-free-pairs"},
     .help =
         "tokens over which positions must hold when slow pairs of RoPE are "
         "freed (default: the context of the configuration)"},
    {.name = "no-free-pairs",
     .offset = AT(calibration.no_free_pairs),
     .help = "leave all frequencies of RoPE as they are"},
    {.name = "seed",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(plan.seed),
     .max = UINT64_MAX,
     .help = "seed of random heads, and of tokens that INPUT draws (default "
             "0)"},
    {.name = "attention",
     .letter = 'a',
     .kind = GQA_OPTION_SET,
     .value = "LIST",
     .offset = AT(plan.attentions),
     .choices = attentions,
     .help = "which attentions: decoder (default: its self- and "
             "cross-attention), encoder, all, or a list of encoder, "
             "decoder-self, decoder-cross"},
    {.name = "layer-groups",
     .letter = 'l',
     .kind = GQA_OPTION_TEXT,
     .value = "LIST",
     .take = take_layer_groups,
     .help = "other counts for some layers, such as 0-3=16,20-23=4"},
    {.name = "dtype",
     .letter = 'd',
     .kind = GQA_OPTION_CHOICE,
     .value = "TYPE",
     .offset = AT(dtype),
     .choices = dtypes,
     .help = "keep (default), f32, f16, bf16 or f64"},
    {.name = "expand",
     .letter = 'e',
     .offset = AT(plan.expand),
     .help = "write grouped values in multi-head shape, which every runtime "
             "loads"},
    {.name = "remote-code",
     .offset = AT(plan.remote_code),
     .excludes = {"expand"},
     .help = "of a family without a grouped class in transformers: write a "
             "folder with grouped weights and a Python module that loads them"},
    {.name = "to",
     .kind = GQA_OPTION_CHOICE,
     .value = "FORMAT",
     .offset = AT(to),
     .choices = streams,
     .help = "of OUTPUT -: gqa (default), safetensors or gguf"},
    {.name = "level",
     .kind = GQA_OPTION_NUMBER,
     .value = "N",
     .offset = AT(settings.level),
     .min = 1,
     .max = MAX_LEVEL,
     .excludes = {"store"},
     .help = "zstd level of a .gqa, 1 (default) to 19"},
    {.name = "store",
     .offset = AT(settings.store),
     .help = "do not compress a .gqa"},
    {.name = "shard-size",
     .kind = GQA_OPTION_BYTES,
     .value = "SIZE",
     .offset = AT(settings.shard_bytes),
     .min = 1,
     .max = UINT64_MAX,
     .help = "largest file of a folder's weights (default 5GB), or of a GGUF "
             "file cut in several; K, M and G are powers of 1024, KB, MB and "
             "GB of 1000"},
    {.name = "config",
     .letter = 'c',
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(config_path),
     .help = "configuration, where none lies beside or inside INPUT"},
    GQA_FAMILY_ROW(AT(family_path)),
    GQA_HEADS_ROW(
        "n-heads", AT(hints.n_heads), MAX_COUNT,
        "query heads, where neither a configuration nor the shapes tell"),
    GQA_HEADS_ROW("head-dim", AT(hints.head_dim), MAX_COUNT,
                  "size of a head, likewise"),
    {.name = "strict",
     .offset = AT(strict),
     .help = "refuse an INPUT with tensors that were never written, or not "
             "wholly, instead of warning"},
    {.name = "allow-extra",
     .offset = AT(allow_extra),
     .help = "copy tensors that belong to no part of the model, outside of "
             "attention, with a warning; they are refused otherwise"},
    {.name = "allow-hybrid",
     .offset = AT(allow_hybrid),
     .help = "write a folder whose layers differ in KV heads, which stock "
             "loaders do not take (or such a GGUF file); it is refused "
             "otherwise"},
    {.name = "force",
     .letter = 'f',
     .offset = AT(force),
     .help = "replace OUTPUT if it exists; of a folder, what a conversion "
             "wrote, and nothing else"},
    {.name = "dry-run",
     .letter = 'n',
     .offset = AT(dry_run),
     .help = "plan and check, write nothing"},
};

static const char *const advices[GQA_N_ADVICES] = {
    GQA_MODEL_ADVICES,
    [GQA_ADVICE_REPLACE] = "; --force would replace it",
};

const struct gqa_tool gqa_convert_tool = {
    .name = "gqa-convert",
    .usage =
        "Usage: gqa-convert [OPTION]... INPUT OUTPUT\n"
        "Group the key and value heads of a multi-head checkpoint.\n"
        "\n"
        "INPUT is an HDF5 (TensorFlow, Keras, flat), safetensors or .gqa "
        "file,\n"
        "an index of shards, a folder, or - for standard input. OUTPUT is\n"
        "NAME.gqa, NAME.safetensors, NAME.gguf for llama.cpp, FOLDER/ in "
        "Hugging\nFace's layout, or - for standard output.\n",
    .notes = "Exit status: 0 done, 2 trouble (and nothing written).\n"
             "\n"
             "Example: gqa-convert --groups 8 tf_model.h5 model.gqa\n",
    .operands = {"INPUT", "OUTPUT"},
    .advices = advices,
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static bool given(const struct gqa_convert_options *options, const char *name)
{
    return gqa_options_given(&options->common, &gqa_convert_tool, name);
}

/* The outputs that a setting is for: "folder", or "this or that". */
static const char *outputs_with(enum gqa_writer_setting setting)
{
    static char words[64];
    size_t used = 0;

    for (size_t i = 0; i < gqa_n_writers && used < sizeof words; i++)
        if (gqa_writers[i]->settings & setting)
            used += (size_t)snprintf(words + used, sizeof words - used, "%s%s",
                                     used ? " or " : "", gqa_writers[i]->word);
    return words;
}

static enum gqa_status check_calibration(const struct gqa_convert_options *o)
{
    static const char *const names[] = {
        "calibrate",      "keep-context", "no-free-pairs", "no-regroup",
        "no-pooling",     "text",         "samples",       "length",
        "backend",        "no-refit",     "no-fit-scores", "no-fit-values",
        "no-fit-together"};
    const bool none = !gqa_learning_has_tokens(&o->calibration.learning);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (given(o, names[i]) && o->plan.method != GQA_METHOD_ALIGNED)
            return gqa_fail(GQA_ERR_USAGE,
                            "option --%s is for --method=aligned", names[i]);
    for (size_t i = 5; i < sizeof names / sizeof *names; i++)
        if (given(o, names[i]) && none)
            return gqa_fail(GQA_ERR_USAGE,
                            "option --%s has no use with --calibrate=none",
                            names[i]);
    return GQA_OK;
}

static enum gqa_status check_budget(const struct gqa_convert_options *o)
{
    const char *name = given(o, "max-kl") ? "max-kl" : "kv-budget";

    if (!gqa_kv_budget_is_given(&o->budget))
        return o->budget.uniform
                   ? gqa_fail(GQA_ERR_USAGE,
                              "option --uniform is for --kv-budget and "
                              "--max-kl; --groups N gives one number")
                   : GQA_OK;
    if (o->plan.attentions & GQA_SELECT_ENCODER)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --%s is for attentions that keep a KV cache, "
                        "and those of an encoder keep none: leave them out of "
                        "--attention",
                        name);
    if (!gqa_kv_budget_is_measured(&o->budget))
        return GQA_OK;
    if (o->plan.method != GQA_METHOD_ALIGNED)
        return gqa_fail(GQA_ERR_USAGE, "option --%s is for --method=aligned%s",
                        name,
                        given(o, "max-kl") ? "" : "; with --uniform for any");
    if (!gqa_learning_has_tokens(&o->calibration.learning))
        return gqa_fail(GQA_ERR_USAGE,
                        "option --%s takes tokens to measure with, which "
                        "--calibrate=none does not give%s",
                        name,
                        given(o, "max-kl") ? ""
                                           : "; with --uniform it takes "
                                             "none");
    return GQA_OK;
}

static enum gqa_status check_together(const struct gqa_convert_options *o)
{
    const bool store = given(o, "store");
    enum gqa_status st = check_budget(o);

    if (st != GQA_OK)
        return st;
    if (!o->plan.asked && !o->plan.n_layer_groups && !o->plan.no_pooling &&
        !gqa_kv_budget_is_given(&o->budget))
        return gqa_fail(GQA_ERR_USAGE,
                        "--groups N, --layer-groups, --kv-budget or --max-kl "
                        "is needed");
    if ((store || given(o, "level")) &&
        !(o->writer->settings & GQA_SETTING_COMPRESSION))
        return gqa_fail(GQA_ERR_USAGE,
                        "option --%s is for %s output; a %s is never "
                        "compressed",
                        store ? "store" : "level",
                        outputs_with(GQA_SETTING_COMPRESSION),
                        o->writer->label);
    if (o->plan.remote_code && !o->writer->is_folder)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --remote-code is for folder output: the module "
                        "lies beside the weights");
    if (given(o, "shard-size") && !(o->writer->settings & GQA_SETTING_SHARDS))
        return gqa_fail(GQA_ERR_USAGE, "option --shard-size is for %s output",
                        outputs_with(GQA_SETTING_SHARDS));
    if (given(o, "shard-size") && o->to_stdout)
        return gqa_fail(GQA_ERR_USAGE, "option --shard-size makes several "
                                       "files, and standard output is one");
    if (given(o, "seed") && o->plan.method != GQA_METHOD_RANDOM &&
        o->plan.method != GQA_METHOD_ALIGNED)
        return gqa_fail(GQA_ERR_USAGE, "option --seed is for --method=random "
                                       "and --method=aligned");
    return check_calibration(o);
}

static enum gqa_status find_writer(struct gqa_convert_options *o)
{
    static const struct gqa_writer *const writers[] = {
        [TO_GQA] = &gqa_writer_gqa,
        [TO_SAFETENSORS] = &gqa_writer_safetensors,
        [TO_GGUF] = &gqa_writer_gguf};

    o->to_stdout = strcmp(o->output, "-") == 0;
    if (!o->to_stdout && given(o, "to"))
        return gqa_fail(GQA_ERR_USAGE,
                        "option --to is for standard output, '-'; a name says "
                        "by itself what is written");
    if (!o->to_stdout)
        return gqa_writer_find(&o->writer, o->output);
    o->writer = writers[o->to];
    return GQA_OK;
}

enum gqa_status gqa_convert_options_parse(struct gqa_convert_options *out,
                                          int argc, char **argv)
{
    enum gqa_status st;

    *out = (struct gqa_convert_options){
        .plan = {.attentions = GQA_SELECT_DECODER},
        .dtype = KEEP_DTYPE,
        .budget = {.share = -1, .max_kl = -1},
        .settings = {.level = 1},
    };
    st = gqa_options_parse(out, &gqa_convert_tool, argc, argv);
    if (st != GQA_OK || out->common.help || out->common.version)
        return st;
    out->input = out->common.operands[0];
    out->output = out->common.operands[1];
    out->plan.keep_dtype = out->dtype == KEEP_DTYPE;
    out->calibration.learning.seed = out->plan.seed;
    if (!out->plan.keep_dtype)
        out->plan.dtype = (enum gqa_dtype)out->dtype;
    if ((st = find_writer(out)) != GQA_OK)
        return st;
    return check_together(out);
}

void gqa_convert_options_clear(struct gqa_convert_options *options)
{
    free(options->layer_groups);
}

const char *gqa_output_name(const struct gqa_convert_options *options)
{
    return options->to_stdout ? "standard output" : options->output;
}
