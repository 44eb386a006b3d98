#include "inspect/options.h"

#include <getopt.h>
#include <stdio.h>

#include "common/cli.h"

static const char tool[] = "gqa-inspect";

enum {
    OPTION_TENSORS = 256,
    OPTION_RECIPE,
    OPTION_STATS,
    OPTION_KV_CACHE,
    OPTION_CONTEXT,
    OPTION_BATCH,
    OPTION_N_HEADS,
    OPTION_HEAD_DIM,
};

static const struct option long_options[] = {
    {"tensors", no_argument, NULL, OPTION_TENSORS},
    {"recipe", no_argument, NULL, OPTION_RECIPE},
    {"stats", no_argument, NULL, OPTION_STATS},
    {"kv-cache", no_argument, NULL, OPTION_KV_CACHE},
    {"context", required_argument, NULL, OPTION_CONTEXT},
    {"batch", required_argument, NULL, OPTION_BATCH},
    {"json", no_argument, NULL, 'j'},
    {"config", required_argument, NULL, 'c'},
    {"n-heads", required_argument, NULL, OPTION_N_HEADS},
    {"head-dim", required_argument, NULL, OPTION_HEAD_DIM},
    {"threads", required_argument, NULL, 't'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

void gqa_inspect_print_help(void)
{
    fputs(
        "Usage: gqa-inspect [OPTION]... PATH\n"
        "Show the attention heads of a checkpoint: a file, an index or a\n"
        "folder of safetensors or HDF5, or a .gqa. Only headers are read,\n"
        "but for --stats.\n"
        "\n"
        "      --tensors       list the tensors as stored\n"
        "      --recipe        print how a grouped checkpoint was made\n"
        "      --stats         read the data: norm of each K and V head, NaN\n"
        "                      and infinity counts, range of each tensor\n"
        "      --kv-cache      print the KV-cache's size for each possible\n"
        "                      number of KV heads\n"
        "      --context=N     --kv-cache: tokens in a sequence; default: the\n"
        "                      configuration's longest, else 4096\n"
        "      --batch=N       --kv-cache: sequences; default: 1\n"
        "  -j, --json          print JSON; --tensors and so on add to it\n"
        "  -c, --config=FILE   the model's config.json\n"
        "      --n-heads=N     query heads, where nothing says how many\n"
        "      --head-dim=N    size of a head, where nothing says\n"
        "  -t, --threads=N     threads for --stats; default: all processors\n"
        "  -q, --quiet         print errors only\n"
        "  -v, --verbose       say more; repeat for debugging\n"
        "  -h, --help          print this help and exit\n"
        "  -V, --version       print the version and exit\n"
        "\n"
        "Example: gqa-inspect --kv-cache --context 8192 model.gqa\n",
        stdout);
}

static enum gqa_status parse_threads(unsigned *out, const char *text)
{
    uint64_t n;
    const enum gqa_status st = gqa_cli_number(&n, "--threads", text, 1, 1024);

    if (st == GQA_OK)
        *out = (unsigned)n;
    return st;
}

/* An option that takes a value. */
static enum gqa_status parse_value(struct gqa_inspect_options *options,
                                   int option, const char *text)
{
    /* Products of these are checked where they are made. */
    const uint64_t most = (uint64_t)1 << 40;

    switch (option) {
    case OPTION_CONTEXT:
        return gqa_cli_number(&options->context, "--context", text, 1, most);
    case OPTION_BATCH:
        return gqa_cli_number(&options->batch, "--batch", text, 1, most);
    case OPTION_N_HEADS:
        return gqa_cli_number(&options->n_heads, "--n-heads", text, 1, most);
    case OPTION_HEAD_DIM:
        return gqa_cli_number(&options->head_dim, "--head-dim", text, 1, most);
    default:
        return parse_threads(&options->n_threads, text);
    }
}

static enum gqa_inspect_command take_path(struct gqa_inspect_options *options,
                                          int argc, char **argv)
{
    if (optind == argc) {
        gqa_cli_usage_error(tool, "PATH is missing");
        return GQA_INSPECT_USAGE_ERROR;
    }
    if (argc - optind > 1) {
        gqa_cli_usage_error(tool, "one PATH at a time; '%s' is a second one",
                            argv[optind + 1]);
        return GQA_INSPECT_USAGE_ERROR;
    }
    options->path = argv[optind];
    if (options->path[0] == '\0') {
        gqa_cli_usage_error(tool, "PATH is empty");
        return GQA_INSPECT_USAGE_ERROR;
    }
    return GQA_INSPECT_RUN;
}

enum gqa_inspect_command gqa_inspect_options_parse(
    struct gqa_inspect_options *options, int argc, char **argv)
{
    int option;

    *options = (struct gqa_inspect_options){
        .batch = 1,
        .n_threads = gqa_cli_n_processors(),
        .log_level = GQA_LOG_WARN,
    };
    while ((option = getopt_long(argc, argv, "jc:t:qvhV", long_options,
                                 NULL)) != -1) {
        switch (option) {
        case OPTION_TENSORS:
            options->tensors = true;
            break;
        case OPTION_RECIPE:
            options->recipe = true;
            break;
        case OPTION_STATS:
            options->stats = true;
            break;
        case OPTION_KV_CACHE:
            options->kv_cache = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'c':
            options->config_path = optarg;
            break;
        case 'q':
            options->log_level = GQA_LOG_ERROR;
            break;
        case 'v':
            if (options->log_level < GQA_LOG_INFO)
                options->log_level = GQA_LOG_INFO;
            else
                options->log_level = GQA_LOG_DEBUG;
            break;
        case 'h':
            return GQA_INSPECT_HELP;
        case 'V':
            return GQA_INSPECT_VERSION;
        case '?': /* getopt_long has said what is wrong */
            fprintf(stderr, "try '%s --help'\n", tool);
            return GQA_INSPECT_USAGE_ERROR;
        default:
            if (parse_value(options, option, optarg) != GQA_OK) {
                gqa_cli_usage_error(tool, "%s", gqa_error_message());
                return GQA_INSPECT_USAGE_ERROR;
            }
            break;
        }
    }
    if (options->context != 0 || options->batch != 1)
        options->kv_cache = true;
    return take_path(options, argc, argv);
}
