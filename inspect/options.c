#include "inspect/options.h"
#include "formats/model/option_rows.h"

/* Products of these are checked where they are made. */
#define MAX_COUNT ((uint64_t)1 << 40)

#define AT(member) offsetof(struct gqa_inspect_options, member)

static const struct gqa_choice backends[] = {
    {.name = "auto", .value = GQA_LEARN_AUTO},
    {.name = "cpu", .value = GQA_LEARN_CPU},
    {.name = "cuda", .value = GQA_LEARN_CUDA},
    {.name = NULL},
};

static const struct gqa_option rows[] = {
    {.name = "tensors",
     .offset = AT(tensors),
     .help = "list the tensors as stored"},
    {.name = "all-rows",
     .offset = AT(all),
     .help = "a row for each layer and tensor, where those that are alike "
             "share one"},
    {.name = "recipe",
     .offset = AT(recipe),
     .help = "print how a grouped checkpoint was made"},
    {.name = "stats",
     .offset = AT(stats),
     .help = "read the data: norm of each K and V head, NaN and infinity "
             "counts, range of each tensor"},
    {.name = "kv-cache",
     .offset = AT(kv_cache),
     .help = "print the KV-cache's size for each possible number of KV heads"},
    {.name = "context",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(context),
     .min = 1,
     .max = MAX_COUNT,
     .help = "--kv-cache: tokens in a sequence, such as 128K; default: the "
             "configuration's longest, else 4096"},
    {.name = "batch",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(batch),
     .min = 1,
     .max = MAX_COUNT,
     .help = "--kv-cache: sequences; default: 1"},
    {.name = "similarity",
     .offset = AT(similarity),
     .help = "compare the K and V heads of each attention, as they stand and "
             "where they share one, and print which would"},
    {.name = "groups",
     .letter = 'g',
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(groups),
     .min = 1,
     .max = MAX_COUNT,
     .help = "--similarity: KV heads to share; default: half of them"},
    {.name = "plan",
     .offset = AT(plan),
     .help = "print KV bytes and predicted loss for each number of KV heads, "
             "and the best number for each attention"},
    {.name = "budget",
     .kind = GQA_OPTION_SHARE,
     .value = "SHARE",
     .offset = AT(budget),
     .max = 1,
     .help = "--plan: of the KV cache's bytes, such as 25%; default: 50%"},
    {.name = "calibrate",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(learning.from),
     .excludes = {"text"},
     .help = "what heads are compared by: none (default: their weights), self "
             "(tokens that PATH itself draws), or a FILE of tokens"},
    {.name = "text",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(learning.text_path),
     .help = "the same, text for a model of bytes"},
    {.name = "backend",
     .kind = GQA_OPTION_CHOICE,
     .value = "BACKEND",
     .offset = AT(learning.device),
     .choices = backends,
     .help = "what runs it: auto (a GPU where there is one), cpu, cuda"},
    {.name = "samples",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(learning.n),
     .min = 1,
     .max = MAX_COUNT,
     .help = "sequences, 64 by default"},
    {.name = "length",
     .kind = GQA_OPTION_COUNT,
     .value = "L",
     .offset = AT(learning.length),
     .min = 2,
     .max = MAX_COUNT,
     .help = "tokens of each, 512 by default"},
    {.name = "seed",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(learning.seed),
     .max = UINT64_MAX,
     .help = "seed of tokens that PATH draws (default 0)"},
    {.name = "html",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(page_path),
     .help = "write all of both as a page with heatmaps and a curve"},
    {.name = "svg",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(figure_path),
     .help = "write the curve and some heatmaps as a figure for a paper"},
    {.name = "force",
     .letter = 'f',
     .offset = AT(force),
     .help = "--html, --svg: replace FILE if it exists"},
    {.name = "config",
     .letter = 'c',
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(config_path),
     .help = "the model's config.json"},
    GQA_FAMILY_ROW(AT(family_path)),
    GQA_HEADS_ROW("n-heads", AT(n_heads), MAX_COUNT,
                  "query heads, where nothing says how many"),
    GQA_HEADS_ROW("head-dim", AT(head_dim), MAX_COUNT,
                  "size of a head, where nothing says"),
};

static const char *const advices[GQA_N_ADVICES] = {
    GQA_MODEL_ADVICES,
    [GQA_ADVICE_REPLACE] = "; --force would replace it",
};

const struct gqa_tool gqa_inspect_tool = {
    .name = "gqa-inspect",
    .usage =
        "Usage: gqa-inspect [OPTION]... PATH\n"
        "Show the attention heads of a checkpoint: a file, an index or a\n"
        "folder of safetensors or HDF5, a .gqa, or - for standard input. Only\n"
        "headers are read, but for --stats and where heads are compared.\n",
    .notes =
        "Exit status: 0 done, 2 trouble. Tensors that can be read are listed,\n"
        "whatever is wrong with the model.\n"
        "\n"
        "Example: gqa-inspect --kv-cache --context 128K model.gqa\n",
    .operands = {"PATH"},
    .advices = advices,
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static bool given(const struct gqa_inspect_options *options, const char *name)
{
    return gqa_options_given(&options->common, &gqa_inspect_tool, name);
}

/* What is for a run of the model needs one. */
static enum gqa_status check_learning(const struct gqa_inspect_options *o)
{
    static const char *const names[] = {"backend", "samples",   "length",
                                        "seed",    "calibrate", "text"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (given(o, names[i]) && !o->compare)
            return gqa_fail(GQA_ERR_USAGE,
                            "option --%s is for --similarity and --plan",
                            names[i]);
        if (i < 4 && given(o, names[i]) &&
            !gqa_learning_has_tokens(&o->learning))
            return gqa_fail(GQA_ERR_USAGE,
                            "option --%s has no use without --calibrate or "
                            "--text",
                            names[i]);
    }
    return GQA_OK;
}

enum gqa_status gqa_inspect_options_parse(struct gqa_inspect_options *out,
                                          int argc, char **argv)
{
    enum gqa_status st;

    *out = (struct gqa_inspect_options){.batch = 1};
    st = gqa_options_parse(out, &gqa_inspect_tool, argc, argv);
    out->path = out->common.operands[0];
    if (out->context != 0 || out->batch != 1)
        out->kv_cache = true;
    if (out->groups != 0)
        out->similarity = true;
    if (out->budget != 0)
        out->plan = true;
    out->compare =
        out->similarity || out->plan || out->page_path || out->figure_path;
    if (!out->learning.from && !out->learning.text_path)
        out->learning.from = "none";
    return st == GQA_OK ? check_learning(out) : st;
}
