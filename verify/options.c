#include "verify/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"

static const char tool[] = "gqa-verify";

enum {
    OPTION_ORIGINAL_CONFIG = 256,
    OPTION_REPORT,
    OPTION_FORMAT,
    OPTION_N_HEADS,
    OPTION_HEAD_DIM,
    OPTION_NO_RUN,
    OPTION_OF_RUN, /* any that gqa_run_arguments_take() knows */
};

static const struct option long_options[] = {
    {"against", required_argument, NULL, 'a'},
    {"config", required_argument, NULL, 'c'},
    {"original-config", required_argument, NULL, OPTION_ORIGINAL_CONFIG},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"n-heads", required_argument, NULL, OPTION_N_HEADS},
    {"head-dim", required_argument, NULL, OPTION_HEAD_DIM},
    {"no-run", no_argument, NULL, OPTION_NO_RUN},
    {"tokens", required_argument, NULL, OPTION_OF_RUN},
    {"text", required_argument, NULL, OPTION_OF_RUN},
    {"samples", required_argument, NULL, OPTION_OF_RUN},
    {"length", required_argument, NULL, OPTION_OF_RUN},
    {"seed", required_argument, NULL, OPTION_OF_RUN},
    {"max-kl", required_argument, NULL, OPTION_OF_RUN},
    {"max-kl-p99", required_argument, NULL, OPTION_OF_RUN},
    {"min-top1", required_argument, NULL, OPTION_OF_RUN},
    {"max-ppl-increase", required_argument, NULL, OPTION_OF_RUN},
    {"profile", required_argument, NULL, OPTION_OF_RUN},
    {"scale", no_argument, NULL, OPTION_OF_RUN},
    {"generate", required_argument, NULL, OPTION_OF_RUN},
    {"dump-logits", required_argument, NULL, OPTION_OF_RUN},
    {"backend", required_argument, NULL, OPTION_OF_RUN},
    {"dtype", required_argument, NULL, OPTION_OF_RUN},
    {"threads", required_argument, NULL, 't'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

void gqa_verify_print_help(void)
{
    fputs(
        "Usage: gqa-verify [OPTION]... FILE\n"
        "       gqa-verify [OPTION]... --against=ORIGINAL CONVERTED\n"
        "Check that a checkpoint is sound and, against the one it was made\n"
        "from, that every value in it is what it must be; then run both and\n"
        "say how far apart they are.\n"
        "\n"
        "  -a, --against=ORIGINAL  the checkpoint that was converted\n"
        "  -c, --config=FILE       the config.json of what is verified\n"
        "      --original-config=FILE\n"
        "                          the config.json of ORIGINAL\n"
        "      --n-heads=N         query heads, where nothing says how many\n"
        "      --head-dim=N        size of a head, where nothing says\n"
        "      --report=FILE       write a report too: FILE.xml (JUnit) or\n"
        "                          FILE.json\n"
        "      --format=FORMAT     of standard output: text, json or tap\n"
        "      --no-run            check files and weights; run no model\n"
        "\n"
        "What is run, on how much and where:\n"
        "      --tokens=FILE       tokens: input_ids (and labels) of a\n"
        "                          safetensors or .npy file, or numbers\n"
        "      --text=FILE         text for a model of bytes\n"
        "      --samples=N         sequences, 8 by default; without a file\n"
        "                          they are sampled from ORIGINAL\n"
        "      --length=L          tokens of each; 256 by default\n"
        "      --seed=S            of the samples; 0 by default\n"
        "      --backend=BACKEND   auto (a GPU where there is one), cpu, cuda\n"
        "      --dtype=TYPE        f32 (default), f64 (CPU), bf16, f16 (GPU)\n"
        "      --scale             also run first-head and random conversions\n"
        "      --generate=N        greedy continuations of both, N tokens\n"
        "      --dump-logits=FILE  all logits of both, to FILE.safetensors\n"
        "\n"
        "Budgets; without one, fidelity is reported and fails nothing:\n"
        "      --max-kl=X          mean KL divergence, in nats\n"
        "      --max-kl-p99=X      its 99th percentile\n"
        "      --min-top1=SHARE    same most likely token: 0.99 or 99%\n"
        "      --max-ppl-increase=SHARE\n"
        "                          of perplexity: 0.01 or 1%\n"
        "      --profile=NAME      strict, uptrained or initialiser\n"
        "\n"
        "  -t, --threads=N         number of threads; default: all "
        "processors\n"
        "  -q, --quiet             print nothing but errors; the exit status\n"
        "                          tells\n"
        "  -v, --verbose           say more; repeat for debugging\n"
        "  -h, --help              print this help and exit\n"
        "  -V, --version           print the version and exit\n"
        "\n"
        "Exit status: 0 all checks passed, 1 a check failed, 2 trouble.\n"
        "\n"
        "Example: gqa-verify --against model.h5 model.gqa\n",
        stdout);
}

static enum gqa_status parse_format(enum gqa_report_format *format,
                                    const char *text)
{
    if (strcmp(text, "text") == 0)
        *format = GQA_REPORT_TEXT;
    else if (strcmp(text, "json") == 0)
        *format = GQA_REPORT_JSON;
    else if (strcmp(text, "tap") == 0)
        *format = GQA_REPORT_TAP;
    else
        return gqa_fail(GQA_ERR_USAGE,
                        "--format: '%s' is not text, json or tap", text);
    return GQA_OK;
}

/* An option that takes a value which can be wrong. */
static enum gqa_status parse_value(struct gqa_verify_options *options,
                                   int option, const char *text)
{
    const uint64_t most = (uint64_t)1 << 40;
    enum gqa_report_format format;
    enum gqa_status st;
    uint64_t n;

    switch (option) {
    case OPTION_REPORT:
        options->report_path = text;
        st = gqa_report_format_of(&format, text);
        return st == GQA_OK ? st : gqa_fail_prefix(st, "--report");
    case OPTION_FORMAT:
        return parse_format(&options->format, text);
    case OPTION_N_HEADS:
        return gqa_cli_number(&options->hints.n_heads, "--n-heads", text, 1,
                              most);
    case OPTION_HEAD_DIM:
        return gqa_cli_number(&options->hints.head_dim, "--head-dim", text, 1,
                              most);
    default:
        st = gqa_cli_number(&n, "--threads", text, 1, 1024);
        if (st == GQA_OK)
            options->n_threads = (unsigned)n;
        return st;
    }
}

static enum gqa_verify_command take_path(struct gqa_verify_options *options,
                                         int argc, char **argv)
{
    if (optind == argc) {
        gqa_cli_usage_error(tool, "the checkpoint to verify is missing");
        return GQA_VERIFY_USAGE_ERROR;
    }
    if (argc - optind > 1) {
        gqa_cli_usage_error(tool,
                            "one checkpoint at a time; '%s' is a second one "
                            "(compare with --against)",
                            argv[optind + 1]);
        return GQA_VERIFY_USAGE_ERROR;
    }
    options->path = argv[optind];
    if (options->path[0] == '\0' ||
        (options->original_path && options->original_path[0] == '\0')) {
        gqa_cli_usage_error(tool, "the path of a checkpoint is empty");
        return GQA_VERIFY_USAGE_ERROR;
    }
    if (options->original_config_path && !options->original_path) {
        gqa_cli_usage_error(tool, "--original-config needs --against");
        return GQA_VERIFY_USAGE_ERROR;
    }
    if (gqa_run_arguments_check(&options->run) != GQA_OK) {
        gqa_cli_usage_error(tool, "%s", gqa_error_message());
        return GQA_VERIFY_USAGE_ERROR;
    }
    return GQA_VERIFY_RUN;
}

/* The option that asked for a run, to say what it does not go with. */
static enum gqa_status check_run(const struct gqa_verify_options *options,
                                 const char *asked)
{
    if (asked && !options->original_path)
        return gqa_fail(GQA_ERR_USAGE, "--%s needs --against", asked);
    if (asked && options->no_run)
        return gqa_fail(GQA_ERR_USAGE, "--%s and --no-run cannot be combined",
                        asked);
    return GQA_OK;
}

enum gqa_verify_command gqa_verify_options_parse(
    struct gqa_verify_options *options, int argc, char **argv)
{
    enum gqa_verify_command command;
    const char *asked = NULL;
    int option, index;
    bool known;

    *options = (struct gqa_verify_options){
        .format = GQA_REPORT_TEXT,
        .n_threads = gqa_cli_n_processors(),
        .log_level = GQA_LOG_WARN,
    };
    gqa_run_arguments_init(&options->run);
    while ((option = getopt_long(argc, argv, "a:c:t:qvhV", long_options,
                                 &index)) != -1) {
        switch (option) {
        case 'a':
            options->original_path = optarg;
            break;
        case 'c':
            options->config_path = optarg;
            break;
        case OPTION_ORIGINAL_CONFIG:
            options->original_config_path = optarg;
            break;
        case OPTION_NO_RUN:
            options->no_run = true;
            break;
        case OPTION_OF_RUN:
            asked = long_options[index].name;
            if (gqa_run_arguments_take(&options->run, asked, optarg, &known) !=
                GQA_OK) {
                gqa_cli_usage_error(tool, "%s", gqa_error_message());
                return GQA_VERIFY_USAGE_ERROR;
            }
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
            return GQA_VERIFY_HELP;
        case 'V':
            return GQA_VERIFY_VERSION;
        case '?': /* getopt_long has said what is wrong */
            fprintf(stderr, "try '%s --help'\n", tool);
            return GQA_VERIFY_USAGE_ERROR;
        default:
            if (parse_value(options, option, optarg) != GQA_OK) {
                gqa_cli_usage_error(tool, "%s", gqa_error_message());
                return GQA_VERIFY_USAGE_ERROR;
            }
            break;
        }
    }
    command = take_path(options, argc, argv);
    if (command == GQA_VERIFY_RUN && check_run(options, asked) != GQA_OK) {
        gqa_cli_usage_error(tool, "%s", gqa_error_message());
        return GQA_VERIFY_USAGE_ERROR;
    }
    return command;
}
