#include "uptrain/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/learning.h"
#include "formats/model/option_rows.h"
#include "uptrain/device.h"

/* Beyond any run's. */
#define MAX_COUNT ((uint64_t)1 << 31)
#define MAX_LEVEL 19

enum {
    DEFAULT_STEPS = 400,
    DEFAULT_LAYER_STEPS = 60,
    DEFAULT_BATCH = 16,
    DEFAULT_HELD_OUT = 32,
    DEFAULT_EVERY = 100,
    MEASURES = 10, /* of a run, where nothing else is said */
};

static const struct gqa_choice backends[] = {
    {.name = "auto", .value = GQA_LEARN_AUTO},
    {.name = "cpu", .value = GQA_LEARN_CPU},
    {.name = "cuda", .value = GQA_LEARN_CUDA},
    {.name = NULL},
};

static const struct gqa_choice dtypes[] = {
    {.name = "auto", .value = GQA_TRAIN_DTYPE_AUTO},
    {.name = "bf16", .value = GQA_BF16},
    {.name = "f32", .value = GQA_F32},
    {.name = "f64", .value = GQA_F64},
    {.name = NULL},
};

static const struct gqa_choice optimisers[] = {
    {.name = "adamw", .value = GQA_OPTIMISER_ADAMW},
    {.name = "adafactor", .value = GQA_OPTIMISER_ADAFACTOR},
    {.name = NULL},
};

static const struct gqa_choice schedules[] = {
    {.name = "linear", .value = GQA_DECAY_LINEAR},
    {.name = "cosine", .value = GQA_DECAY_COSINE},
    {.name = "constant", .value = GQA_DECAY_NONE},
    {.name = NULL},
};

const struct gqa_choice gqa_uptrain_methods[] = {
    {.name = "aligned", .value = 0},
    {.name = "mean", .value = 1},
    {.name = "first", .value = 2},
    {.name = "random", .value = 3},
    {.name = NULL},
};

static enum gqa_status take_data(void *options, const char *text)
{
    struct gqa_uptrain_options *o = options;

    return gqa_data_list_parse(&o->data, text);
}

static enum gqa_status take_tokens(void *options, const char *text)
{
    struct gqa_uptrain_options *o = options;

    return gqa_data_list_add(&o->data, text, strlen(text), GQA_DATA_TOKENS);
}

static enum gqa_status take_text(void *options, const char *text)
{
    struct gqa_uptrain_options *o = options;

    return gqa_data_list_add(&o->data, text, strlen(text), GQA_DATA_TEXT);
}

static enum gqa_status take_loss(void *options, const char *text)
{
    struct gqa_uptrain_options *o = options;

    return gqa_loss_parse(&o->loss, text);
}

/* Seconds, or what the letter behind says. */
static enum gqa_status take_budget(void *options, const char *text)
{
    static const struct {
        const char *letter;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
    struct gqa_uptrain_options *o = options;
    char *end;
    const double n = strtod(text, &end);

    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].letter) == 0 && n > 0 && isfinite(n)) {
            o->budget_s = n * units[i].seconds;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_USAGE, "'%s' is no time, such as 90s, 30m or 2h",
                    text);
}

#define AT(member) offsetof(struct gqa_uptrain_options, member)

static const struct gqa_option rows[] = {
    {.name = "teacher",
     .kind = GQA_OPTION_PATH,
     .value = "ORIGINAL",
     .offset = AT(teacher),
     .help = "the model that CONVERTED was made from, and is brought back to"},
    {.name = "groups",
     .letter = 'g',
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(groups),
     .min = 1,
     .max = MAX_COUNT,
     .help = "in place of CONVERTED: what gqa-convert makes of ORIGINAL, with "
             "so many KV heads"},
    {.name = "method",
     .letter = 'm',
     .kind = GQA_OPTION_CHOICE,
     .value = "METHOD",
     .offset = AT(method),
     .choices = gqa_uptrain_methods,
     .needs = "groups",
     .help = "how it makes that: aligned (default), mean, first, random"},
    {.name = "remote-code",
     .offset = AT(remote_code),
     .needs = "groups",
     .help = "write beside a folder the Python module that transformers loads "
             "it grouped by, where it has no grouped class"},
    {.name = "data",
     .kind = GQA_OPTION_TEXT,
     .value = "LIST",
     .take = take_data,
     .help = "what to train on: self (default: ORIGINAL draws it), or files of "
             "tokens or text, '-' being standard input; shares behind colons: "
             "self:0.5,notes.txt:0.5"},
    {.name = "tokens",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .take = take_tokens,
     .repeats = true,
     .help = "the same, a file of tokens; may be given more than once"},
    {.name = "text",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .take = take_text,
     .repeats = true,
     .help = "likewise, text for a model of bytes"},
    {.name = "samples",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(n_own),
     .min = 1,
     .max = MAX_COUNT,
     .help = "sequences that ORIGINAL draws, which are seen again and again "
             "(default: new ones at each step, 512 on a processor)"},
    {.name = "temperature",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(temperature),
     .help = "at which ORIGINAL draws, 1 by default: less, and it draws what "
             "is likely more often"},
    {.name = "top-k",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(top_k),
     .min = 1,
     .max = MAX_COUNT,
     .help = "it draws the N likeliest tokens alone (default: any)"},
    {.name = "steps",
     .letter = 's',
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(n_steps),
     .max = MAX_COUNT,
     .help = "steps to train, 400 by default"},
    {.name = "layerwise",
     .offset = AT(layerwise),
     .help = "before that, train one attention after another until the stream "
             "behind it is ORIGINAL's; with --steps 0 that alone, one layer of "
             "each model in memory"},
    {.name = "layer-steps",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(n_layer_steps),
     .min = 1,
     .max = MAX_COUNT,
     .needs = "layerwise",
     .help = "steps of an attention there, 60 by default"},
    {.name = "batch",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(batch),
     .min = 1,
     .max = 65536,
     .help = "sequences at a time, 16 by default"},
    {.name = "accumulate",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(accumulate),
     .min = 1,
     .max = 65536,
     .help = "batches that make a step, 1 by default: more take time, not "
             "memory"},
    {.name = "length",
     .kind = GQA_OPTION_COUNT,
     .value = "L",
     .offset = AT(length),
     .min = 2,
     .max = 1 << 20,
     .help = "tokens of a sequence, at most; 1024 by default, 512 of a T5, "
             "128 on a processor"},
    {.name = "train",
     .kind = GQA_OPTION_TEXT,
     .value = "LIST",
     .offset = AT(train),
     .help = "what changes: attention (default: queries, keys, values and "
             "outputs of attentions that differ from ORIGINAL's), all, or "
             "patterns of names such as '*.mlp.*'"},
    {.name = "loss",
     .kind = GQA_OPTION_TEXT,
     .value = "LIST",
     .take = take_loss,
     .help = "what becomes small: kl (default: of ORIGINAL's next token), "
             "reverse-kl, symmetric, ce (cross-entropy on what the data says), "
             "or a sum: kl:0.9,ce:0.1"},
    {.name = "rate",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(rate),
     .help = "highest learning rate (default: some are tried)"},
    {.name = "schedule",
     .kind = GQA_OPTION_CHOICE,
     .value = "KIND",
     .offset = AT(decay),
     .choices = schedules,
     .help = "how it falls: linear (default) or cosine to 0, constant"},
    {.name = "warmup",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(warmup),
     .max = MAX_COUNT,
     .help = "steps over which it rises (default: 20, or a twentieth)"},
    {.name = "optimiser",
     .kind = GQA_OPTION_CHOICE,
     .value = "NAME",
     .offset = AT(optimiser),
     .choices = optimisers,
     .help = "adamw (default) or adafactor"},
    {.name = "weight-decay",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(weight_decay),
     .help = "towards 0, a step, times the rate; 0 by default"},
    {.name = "clip",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(clip),
     .help = "largest norm of all gradients, 1 by default; 0: any"},
    {.name = "seed",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(seed),
     .max = UINT64_MAX,
     .help = "of what is drawn, and of orders (default 0)"},
    {.name = "eval-every",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(eval_every),
     .min = 1,
     .max = MAX_COUNT,
     .help = "steps between measures on sequences held out (default: a tenth "
             "of all)"},
    {.name = "eval-sequences",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(n_held_out),
     .min = 1,
     .max = MAX_COUNT,
     .help = "sequences held out, 32 by default"},
    {.name = "until-kl",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(until_kl),
     .help = "stop once the mean KL is at most X nats"},
    {.name = "budget-time",
     .kind = GQA_OPTION_TEXT,
     .value = "TIME",
     .take = take_budget,
     .help = "be done after so long, such as 90s, 30m or 2h"},
    {.name = "checkpoint",
     .kind = GQA_OPTION_PATH,
     .value = "FOLDER",
     .offset = AT(checkpoint),
     .help = "keep the state of the run there, and go on from what is there"},
    {.name = "every",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(every),
     .min = 1,
     .max = MAX_COUNT,
     .needs = "checkpoint",
     .help = "steps between states that are kept, 100 by default"},
    {.name = "log",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(log_path),
     .help = "append a line of JSON for each step and measure"},
    {.name = "html",
     .kind = GQA_OPTION_FILE,
     .value = "FILE",
     .offset = AT(html_path),
     .help = "write the run as a page, with its curve"},
    {.name = "write-start",
     .offset = AT(write_start),
     .help = "write CONVERTED as it was where nothing was gained, in place of "
             "no OUTPUT"},
    {.name = "allow-different",
     .offset = AT(may_differ),
     .help =
         "train CONVERTED also where more of it than its attentions differs "
         "from ORIGINAL, such as what was pruned too"},
    {.name = "backend",
     .kind = GQA_OPTION_CHOICE,
     .value = "BACKEND",
     .offset = AT(device),
     .choices = backends,
     .help = "auto (a GPU where there is one), cpu, cuda"},
    {.name = "gpus",
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(n_gpus),
     .min = 1,
     .max = 64,
     .help = "GPUs of this host that share each step, a process for each "
             "(mpirun starts them on several hosts)"},
    {.name = "dtype",
     .kind = GQA_OPTION_CHOICE,
     .value = "TYPE",
     .offset = AT(dtype),
     .choices = dtypes,
     .help = "of activations and products: auto (bf16 on a GPU, f32 on a CPU), "
             "bf16 (GPU), f32, f64 (CPU)"},
    GQA_FAMILY_ROW(AT(family_path)),
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
    {.name = "force",
     .letter = 'f',
     .offset = AT(force),
     .help = "replace OUTPUT if it exists; of a folder, what gqa tools wrote, "
             "and nothing else"},
    {.name = "dry-run",
     .letter = 'n',
     .offset = AT(dry_run),
     .help = "plan and check, train nothing"},
};

static const char *const advices[GQA_N_ADVICES] = {
    [GQA_ADVICE_FAMILY] = "; --family FILE describes another",
    [GQA_ADVICE_REPLACE] = "; --force would replace it",
    [GQA_ADVICE_CPU] = "; --batch 1, --length or --backend cpu takes less",
};

const struct gqa_tool gqa_uptrain_tool = {
    .name = "gqa-uptrain",
    .usage = "Usage: gqa-uptrain [OPTION]... --teacher ORIGINAL CONVERTED "
             "OUTPUT\n"
             "   or: gqa-uptrain [OPTION]... --teacher ORIGINAL --groups N "
             "OUTPUT\n"
             "Train a grouped checkpoint until it says what the original "
             "says.\n"
             "\n"
             "ORIGINAL and CONVERTED are what gqa-convert reads and wrote. "
             "OUTPUT is\n"
             "NAME.gqa, NAME.safetensors, NAME.gguf, or FOLDER/ in Hugging "
             "Face's layout.\n",
    .notes = "Exit status: 0 done, 1 nothing was gained (and nothing "
             "written), 2 trouble.\n"
             "\n"
             "Example: gqa-uptrain --teacher model.h5 model.gqa healed.gqa\n",
    .operands = {"CONVERTED", "OUTPUT"},
    .first_unless = "groups",
    .advices = advices,
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

bool gqa_uptrain_given(const struct gqa_uptrain_options *options,
                       const char *name)
{
    return gqa_options_given(&options->common, &gqa_uptrain_tool, name);
}

static enum gqa_status check_output(const struct gqa_uptrain_options *o)
{
    const struct gqa_writer *w = o->writer;

    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "store" : "level";

        if (gqa_uptrain_given(o, name) &&
            !(w->settings & GQA_SETTING_COMPRESSION))
            return gqa_fail(GQA_ERR_USAGE,
                            "option --%s is for .gqa output; a %s is never "
                            "compressed",
                            name, w->label);
    }
    if (gqa_uptrain_given(o, "shard-size") &&
        !(w->settings & GQA_SETTING_SHARDS))
        return gqa_fail(GQA_ERR_USAGE, "option --shard-size is for folder or "
                                       ".gguf output");
    if (o->remote_code && !w->is_folder)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --remote-code is for folder output: a %s holds "
                        "no Python",
                        w->label);
    return GQA_OK;
}

static bool has_own(const struct gqa_uptrain_options *o)
{
    for (size_t i = 0; i < o->data.n; i++)
        if (o->data.items[i].kind == GQA_DATA_SELF)
            return true;
    return false;
}

static size_t count_inputs(const struct gqa_uptrain_options *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->data.n; i++)
        n += o->data.items[i].path && strcmp(o->data.items[i].path, "-") == 0;
    return n;
}

static enum gqa_status check_together(const struct gqa_uptrain_options *o)
{
    static const char *const drawing[] = {"samples", "temperature", "top-k"};

    if (!o->teacher)
        return gqa_fail(GQA_ERR_USAGE, "--teacher ORIGINAL is needed");
    if (strcmp(o->output, "-") == 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "OUTPUT is standard output: name a file or a folder");
    if (o->n_steps == 0 && !o->layerwise)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --steps: 0 is for --layerwise alone");
    if (o->n_steps == 0 && o->checkpoint)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --checkpoint: without --steps there is no "
                        "state to keep");
    if (gqa_uptrain_given(o, "rate") && !(o->rate > 0))
        return gqa_fail(GQA_ERR_USAGE, "option --rate: 0 trains nothing");
    for (size_t i = 0; i < sizeof drawing / sizeof *drawing; i++)
        if (gqa_uptrain_given(o, drawing[i]) && !has_own(o))
            return gqa_fail(GQA_ERR_USAGE,
                            "option --%s is for data that ORIGINAL draws",
                            drawing[i]);
    if (gqa_uptrain_given(o, "temperature") && !(o->temperature > 0))
        return gqa_fail(GQA_ERR_USAGE,
                        "option --temperature: for 0, give --top-k 1");
    if (o->n_gpus > 0 && o->device == GQA_LEARN_CPU)
        return gqa_fail(GQA_ERR_USAGE,
                        "options --gpus and --backend cpu exclude each other; "
                        "mpirun starts ranks on processors");
    if (o->warmup > o->n_steps)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --warmup: there are only %llu steps",
                        (unsigned long long)o->n_steps);
    if (count_inputs(o) > 1)
        return gqa_fail(GQA_ERR_USAGE,
                        "standard input can be read once: '-' is given more "
                        "often");
    if (count_inputs(o) == 1 && (strcmp(o->teacher, "-") == 0 ||
                                 (o->student && strcmp(o->student, "-") == 0)))
        return gqa_fail(GQA_ERR_USAGE,
                        "standard input cannot be both a model and data");
    return GQA_OK;
}

enum gqa_status gqa_uptrain_options_parse(struct gqa_uptrain_options *out,
                                          int argc, char **argv)
{
    enum gqa_status st;

    *out = (struct gqa_uptrain_options){
        .settings = {.level = 1},
        .dtype = GQA_TRAIN_DTYPE_AUTO,
        .n_ranks = 1,
        .batch = DEFAULT_BATCH,
        .accumulate = 1,
        .n_steps = DEFAULT_STEPS,
        .n_layer_steps = DEFAULT_LAYER_STEPS,
        .train = "attention",
        .loss = {.kl = 1},
        .clip = 1,
        .n_held_out = DEFAULT_HELD_OUT,
        .until_kl = -1,
        .budget_s = -1,
        .every = DEFAULT_EVERY,
    };
    st = gqa_options_parse(out, &gqa_uptrain_tool, argc, argv);
    if (st != GQA_OK || out->common.help || out->common.version)
        return st;
    out->student = out->common.operands[0];
    out->output = out->common.operands[1];
    if (out->data.n == 0 &&
        (st = gqa_data_list_parse(&out->data, "self")) != GQA_OK)
        return st;
    if (!gqa_uptrain_given(out, "warmup"))
        out->warmup = out->n_steps > 0 ? gqa_schedule_warmup(out->n_steps) : 0;
    if (out->eval_every == 0)
        out->eval_every = out->n_steps > MEASURES ? out->n_steps / MEASURES : 1;
    if ((st = check_together(out)) != GQA_OK)
        return st;
    st = gqa_writer_find(&out->writer, out->output);
    return st == GQA_OK ? check_output(out) : st;
}

void gqa_uptrain_options_clear(struct gqa_uptrain_options *options)
{
    gqa_data_list_clear(&options->data);
}
