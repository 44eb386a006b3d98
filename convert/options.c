#include "convert/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/cli.h"

enum {
    OPT_SEED = 256,
    OPT_LEVEL,
    OPT_STORE,
    OPT_N_HEADS,
    OPT_HEAD_DIM,
    OPT_SHARD_SIZE,
    OPT_STRICT,
};

/* Heads and layers beyond any model's. */
#define MAX_COUNT           ((uint64_t)1 << 31)
#define MAX_THREADS         1024
#define MAX_LEVEL           19
#define DEFAULT_SHARD_BYTES UINT64_C(5000000000)

void gqa_convert_print_help(void)
{
    fputs("Usage: gqa-convert [OPTION]... INPUT OUTPUT\n"
          "Group the key and value heads of a multi-head checkpoint.\n"
          "\n"
          "INPUT is an HDF5 (TensorFlow, Keras, flat), safetensors or .gqa "
          "file,\n"
          "an index of shards, or a folder. OUTPUT is NAME.gqa,\n"
          "NAME.safetensors, or else a folder in Hugging Face's layout.\n"
          "\n"
          "  -g, --groups=N        KV heads to keep in each attention; N must "
          "divide\n"
          "                        the source's; 1 is multi-query attention\n"
          "  -m, --method=METHOD   mean (default), first, or random (fresh "
          "heads)\n"
          "      --seed=N          seed of --method=random (default 0)\n"
          "  -a, --attention=LIST  which attentions: decoder (default: its "
          "self-\n"
          "                        and cross-attention), encoder, all, or a "
          "list\n"
          "                        of encoder, decoder-self, decoder-cross\n"
          "  -l, --layer-groups=LIST  other counts for some layers, such as\n"
          "                        0-3=16,20-23=4\n"
          "  -d, --dtype=TYPE      keep (default), f32, f16 or bf16\n"
          "  -e, --expand          write grouped values in multi-head shape, "
          "which\n"
          "                        every runtime loads\n"
          "      --level=N         zstd level of a .gqa, 1 (default) to 19\n"
          "      --store           do not compress a .gqa\n"
          "      --shard-size=SIZE largest shard of a folder (default 5GB); K, "
          "M\n"
          "                        and G are powers of 1000\n"
          "  -t, --threads=N       threads (default: one for each processor)\n"
          "  -c, --config=FILE     configuration, where none lies beside or "
          "inside\n"
          "                        INPUT\n"
          "      --n-heads=N       query heads, where neither a configuration "
          "nor\n"
          "                        the shapes tell\n"
          "      --head-dim=N      size of a head, likewise\n"
          "      --strict          refuse an INPUT with tensors that were "
          "never written,\n"
          "                        or not wholly, instead of warning\n"
          "  -f, --force           replace OUTPUT if it exists; of a folder, "
          "what a\n"
          "                        conversion wrote, and nothing else\n"
          "  -n, --dry-run         plan and check, write nothing\n"
          "  -j, --json            print the summary as JSON\n"
          "  -q, --quiet           print errors only\n"
          "  -v, --verbose         say more; repeat for debugging\n"
          "  -h, --help            print this help and exit\n"
          "  -V, --version         print the version and exit\n"
          "\n"
          "Exit status: 0 done, 2 trouble (and nothing written).\n"
          "\n"
          "Example: gqa-convert --groups 8 tf_model.h5 model.gqa\n",
          stdout);
}

static enum gqa_status parse_method(enum gqa_method *out, const char *text)
{
    for (int m = GQA_METHOD_MEAN; m <= GQA_METHOD_RANDOM; m++)
        if (strcmp(text, gqa_method_name((enum gqa_method)m)) == 0) {
            *out = (enum gqa_method)m;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_USAGE,
                    "--method: '%s' is not mean, first or random", text);
}

static enum gqa_status parse_attention(unsigned *out, const char *text)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {
        {"all", GQA_SELECT_ALL},
        {"encoder", GQA_SELECT_ENCODER},
        {"encoder-self", GQA_SELECT_ENCODER},
        {"decoder", GQA_SELECT_DECODER},
        {"decoder-self", GQA_SELECT_DECODER_SELF},
        {"decoder-cross", GQA_SELECT_DECODER_CROSS},
    };
    unsigned bits = 0;

    while (*text) {
        const size_t n = strcspn(text, ",");
        size_t i = 0;

        while (
            i < sizeof names / sizeof *names &&
            (strlen(names[i].name) != n || memcmp(text, names[i].name, n) != 0))
            i++;
        if (i == sizeof names / sizeof *names)
            return gqa_fail(GQA_ERR_USAGE,
                            "--attention: '%.*s' is not all, encoder, decoder, "
                            "decoder-self or decoder-cross",
                            (int)n, text);
        bits |= names[i].bits;
        text += n + (text[n] == ',');
    }
    if (!bits)
        return gqa_fail(GQA_ERR_USAGE, "--attention: an empty list");
    *out = bits;
    return GQA_OK;
}

static enum gqa_status parse_dtype(struct gqa_plan_options *plan,
                                   const char *text)
{
    static const struct {
        const char *name;
        enum gqa_dtype dtype;
    } names[] = {{"f32", GQA_F32}, {"f16", GQA_F16}, {"bf16", GQA_BF16}};

    plan->keep_dtype = strcmp(text, "keep") == 0;
    if (plan->keep_dtype)
        return GQA_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i].name) == 0) {
            plan->dtype = names[i].dtype;
            return GQA_OK;
        }
    return gqa_fail(GQA_ERR_USAGE,
                    "--dtype: '%s' is not keep, f32, f16 or bf16", text);
}

/* "5GB", "200M", "1000000" */
static enum gqa_status parse_size(uint64_t *out, const char *text)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"", 1},           {"K", 1000},     {"KB", 1000},
                 {"M", 1000000},    {"MB", 1000000}, {"G", 1000000000},
                 {"GB", 1000000000}};
    const size_t n = strspn(text, "0123456789");
    char digits[24];
    uint64_t number;
    enum gqa_status st;

    if (n == 0 || n >= sizeof digits)
        return gqa_fail(GQA_ERR_USAGE,
                        "--shard-size: '%s' is not a size such "
                        "as 5GB",
                        text);
    memcpy(digits, text, n);
    digits[n] = '\0';
    if ((st = gqa_cli_number(&number, "--shard-size", digits, 1, UINT64_MAX)) !=
        GQA_OK)
        return st;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(text + n, units[i].suffix) == 0 &&
            gqa_mul_u64(number, units[i].factor, out))
            return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE,
                    "--shard-size: '%s' is not a size such as "
                    "5GB",
                    text);
}

/* One "FIRST-LAST=N" or "LAYER=N" of length n. */
static enum gqa_status parse_layer_range(struct gqa_layer_groups *out,
                                         const char *text, size_t n)
{
    char item[64];
    char *groups, *last;
    enum gqa_status st;

    if (n >= sizeof item)
        return gqa_fail(GQA_ERR_USAGE, "--layer-groups: '%.*s' is too long",
                        (int)sizeof item, text);
    memcpy(item, text, n);
    item[n] = '\0';
    groups = strchr(item, '=');
    if (!groups)
        return gqa_fail(GQA_ERR_USAGE,
                        "--layer-groups: '%s' is not LAYERS=N, such as 0-3=16",
                        item);
    *groups++ = '\0';
    last = strchr(item, '-');
    if (last)
        *last++ = '\0';
    if ((st = gqa_cli_number(&out->first, "--layer-groups", item, 0,
                             MAX_COUNT)) != GQA_OK ||
        (st = gqa_cli_number(&out->last, "--layer-groups", last ? last : item,
                             0, MAX_COUNT)) != GQA_OK ||
        (st = gqa_cli_number(&out->n_kv_heads, "--layer-groups", groups, 1,
                             MAX_COUNT)) != GQA_OK)
        return st;
    if (out->first > out->last)
        return gqa_fail(
            GQA_ERR_USAGE, "--layer-groups: %llu-%llu runs backwards",
            (unsigned long long)out->first, (unsigned long long)out->last);
    return GQA_OK;
}

static enum gqa_status parse_layer_groups(struct gqa_convert_options *options,
                                          const char *text)
{
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
                                "--layer-groups: '%.*s' names layers that "
                                "another part names too",
                                (int)length, text);
        count++;
        text += length;
    } while (*text++ == ',');
    options->plan.layer_groups = options->layer_groups;
    options->plan.n_layer_groups = count;
    return GQA_OK;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text);
    const size_t m = strlen(end);

    return n > m && strcmp(text + n - m, end) == 0;
}

/* What to write is said by the name of the output. */
static enum gqa_status find_kind(struct gqa_convert_options *options)
{
    static const char *const others[] = {".h5",  ".hdf5", ".bin",  ".pt",
                                         ".pth", ".gguf", ".json", ".npz",
                                         ".zst", ".keras"};

    options->kind = GQA_OUTPUT_FOLDER;
    if (ends_with(options->output, ".gqa"))
        options->kind = GQA_OUTPUT_GQA;
    else if (ends_with(options->output, ".safetensors"))
        options->kind = GQA_OUTPUT_SAFETENSORS;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (ends_with(options->output, others[i]))
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: cannot write files of this kind; OUTPUT is "
                            "NAME.gqa, NAME.safetensors or a folder",
                            options->output);
    return GQA_OK;
}

static enum gqa_status check_together(const struct gqa_convert_options *o)
{
    if (!o->plan.n_kv_heads && !o->plan.n_layer_groups)
        return gqa_fail(GQA_ERR_USAGE,
                        "--groups N or --layer-groups is needed");
    if (o->level_given && o->store_given)
        return gqa_fail(GQA_ERR_USAGE,
                        "--level and --store exclude each other");
    if ((o->level_given || o->store_given) && o->kind != GQA_OUTPUT_GQA)
        return gqa_fail(
            GQA_ERR_USAGE, "%s is for .gqa output; a %s is never compressed",
            o->store_given ? "--store" : "--level",
            o->kind == GQA_OUTPUT_FOLDER ? "folder" : ".safetensors file");
    if (o->shard_given && o->kind != GQA_OUTPUT_FOLDER)
        return gqa_fail(GQA_ERR_USAGE, "--shard-size is for folder output");
    if (o->seed_given && o->plan.method != GQA_METHOD_RANDOM)
        return gqa_fail(GQA_ERR_USAGE, "--seed is for --method=random");
    return GQA_OK;
}

static enum gqa_status parse_files(struct gqa_convert_options *options,
                                   int argc, char **argv)
{
    enum gqa_status st;

    if (argc - optind != 2)
        return gqa_fail(GQA_ERR_USAGE, "%s",
                        argc - optind > 2 ? "more than INPUT and OUTPUT"
                        : argc == optind  ? "INPUT and OUTPUT are missing"
                                          : "OUTPUT is missing");
    options->input = argv[optind];
    options->output = argv[optind + 1];
    if (!*options->input || !*options->output)
        return gqa_fail(GQA_ERR_USAGE, "a file name is empty");
    if ((st = find_kind(options)) != GQA_OK)
        return st;
    return check_together(options);
}

static enum gqa_status take(struct gqa_convert_options *o, int option,
                            const char *text)
{
    enum gqa_status st = GQA_OK;
    uint64_t number = 0;

    switch (option) {
    case 'g':
        return gqa_cli_number(&o->plan.n_kv_heads, "--groups", text, 1,
                              MAX_COUNT);
    case 'm':
        return parse_method(&o->plan.method, text);
    case OPT_SEED:
        o->seed_given = true;
        return gqa_cli_number(&o->plan.seed, "--seed", text, 0, UINT64_MAX);
    case 'a':
        return parse_attention(&o->plan.attentions, text);
    case 'l':
        return parse_layer_groups(o, text);
    case 'd':
        return parse_dtype(&o->plan, text);
    case 'e':
        o->plan.expand = true;
        break;
    case OPT_LEVEL:
        o->level_given = true;
        st = gqa_cli_number(&number, "--level", text, 1, MAX_LEVEL);
        o->level = (int)number;
        break;
    case OPT_STORE:
        o->store = o->store_given = true;
        break;
    case OPT_SHARD_SIZE:
        o->shard_given = true;
        return parse_size(&o->shard_bytes, text);
    case 't':
        st = gqa_cli_number(&number, "--threads", text, 1, MAX_THREADS);
        o->n_threads = (unsigned)number;
        break;
    case 'c':
        o->config_path = text;
        break;
    case OPT_N_HEADS:
        return gqa_cli_number(&o->hints.n_heads, "--n-heads", text, 1,
                              MAX_COUNT);
    case OPT_HEAD_DIM:
        return gqa_cli_number(&o->hints.head_dim, "--head-dim", text, 1,
                              MAX_COUNT);
    case OPT_STRICT:
        o->strict = true;
        break;
    case 'f':
        o->force = true;
        break;
    case 'n':
        o->dry_run = true;
        break;
    case 'j':
        o->json = true;
        break;
    case 'q':
        o->log_level = GQA_LOG_ERROR;
        break;
    case 'v':
        o->log_level =
            o->log_level < GQA_LOG_INFO ? GQA_LOG_INFO : GQA_LOG_DEBUG;
        break;
    case 'h':
        o->show_help = true;
        break;
    case 'V':
        o->show_version = true;
        break;
    default:
        break;
    }
    return st;
}

enum gqa_status gqa_convert_options_parse(struct gqa_convert_options *out,
                                          int argc, char **argv)
{
    static const struct option options[] = {
        {"groups", required_argument, NULL, 'g'},
        {"method", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, OPT_SEED},
        {"attention", required_argument, NULL, 'a'},
        {"layer-groups", required_argument, NULL, 'l'},
        {"dtype", required_argument, NULL, 'd'},
        {"expand", no_argument, NULL, 'e'},
        {"level", required_argument, NULL, OPT_LEVEL},
        {"store", no_argument, NULL, OPT_STORE},
        {"shard-size", required_argument, NULL, OPT_SHARD_SIZE},
        {"threads", required_argument, NULL, 't'},
        {"config", required_argument, NULL, 'c'},
        {"n-heads", required_argument, NULL, OPT_N_HEADS},
        {"head-dim", required_argument, NULL, OPT_HEAD_DIM},
        {"strict", no_argument, NULL, OPT_STRICT},
        {"force", no_argument, NULL, 'f'},
        {"dry-run", no_argument, NULL, 'n'},
        {"json", no_argument, NULL, 'j'},
        {"quiet", no_argument, NULL, 'q'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    enum gqa_status st;
    int option;

    memset(out, 0, sizeof *out);
    out->plan.attentions = GQA_SELECT_DECODER;
    out->plan.keep_dtype = true;
    out->level = 1;
    out->shard_bytes = DEFAULT_SHARD_BYTES;
    out->n_threads = gqa_cli_n_processors();
    out->log_level = GQA_LOG_WARN;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":g:m:a:l:d:et:c:fnjqvhV", options,
                                 NULL)) != -1) {
        if (option == ':')
            return gqa_fail(GQA_ERR_USAGE, "%s needs a value",
                            argv[optind - 1]);
        if (option == '?')
            return gqa_fail(GQA_ERR_USAGE, "unknown option '%s'",
                            optopt && optopt < 256
                                ? (char[]){'-', (char)optopt, '\0'}
                                : argv[optind - 1]);
        if ((st = take(out, option, optarg)) != GQA_OK)
            return st;
    }
    if (out->show_help || out->show_version)
        return GQA_OK;
    return parse_files(out, argc, argv);
}

void gqa_convert_options_clear(struct gqa_convert_options *options)
{
    free(options->layer_groups);
}
