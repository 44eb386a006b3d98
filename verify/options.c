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
};

static const struct option long_options[] = {
    {"against", required_argument, NULL, 'a'},
    {"config", required_argument, NULL, 'c'},
    {"original-config", required_argument, NULL, OPTION_ORIGINAL_CONFIG},
    {"report", required_argument, NULL, OPTION_REPORT},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"n-heads", required_argument, NULL, OPTION_N_HEADS},
    {"head-dim", required_argument, NULL, OPTION_HEAD_DIM},
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
        "from, that every value in it is what it must be.\n"
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
    return GQA_VERIFY_RUN;
}

enum gqa_verify_command gqa_verify_options_parse(
    struct gqa_verify_options *options, int argc, char **argv)
{
    int option;

    *options = (struct gqa_verify_options){
        .format = GQA_REPORT_TEXT,
        .n_threads = gqa_cli_n_processors(),
        .log_level = GQA_LOG_WARN,
    };
    while ((option = getopt_long(argc, argv, "a:c:t:qvhV", long_options,
                                 NULL)) != -1) {
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
    return take_path(options, argc, argv);
}
