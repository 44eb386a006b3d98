#include "common/options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/advice.h"
#include "common/cli.h"
#include "common/nearest.h"

/* The common ones follow the tool's, in one numbering. */
enum { MAX_ROWS = 64, NOT_A_ROW = MAX_ROWS };

static enum gqa_status take_quiet(void *ctx, const char *text)
{
    struct gqa_options *options = ctx;

    (void)text;
    options->log_level = GQA_LOG_ERROR;
    return GQA_OK;
}

static enum gqa_status take_verbose(void *ctx, const char *text)
{
    struct gqa_options *options = ctx;

    (void)text;
    options->log_level =
        options->log_level < GQA_LOG_INFO ? GQA_LOG_INFO : GQA_LOG_TIME;
    return GQA_OK;
}

static const struct gqa_option common_rows[] = {
    {.name = "json",
     .letter = 'j',
     .offset = offsetof(struct gqa_options, json),
     .section = "",
     .help = "print JSON instead of text"},
    {.name = "threads",
     .letter = 't',
     .kind = GQA_OPTION_NUMBER,
     .value = "N",
     .offset = offsetof(struct gqa_options, n_threads),
     .min = 1,
     .max = GQA_OPTIONS_MAX_THREADS,
     .help = "threads; default: one for each processor"},
    {.name = "unsafe-hdf5",
     .offset = offsetof(struct gqa_options, unsafe_hdf5),
     .help = "parse HDF5 files without a sandbox, for a system that has none; "
             "only files that you trust"},
    {.name = "dequantise",
     .offset = offsetof(struct gqa_options, dequantise),
     .help = "read quantised weights (GGUF's Q8_0, Q4_0 to Q5_1, Q2_K to Q6_K) "
             "as the float32 "
             "that they stand for"},
    {.name = "state-dict",
     .kind = GQA_OPTION_TEXT,
     .value = "NAME",
     .offset = offsetof(struct gqa_options, state_dict),
     .help =
         "of a PyTorch file with several, the one that is read, such as ema "
         "or state.model"},
    {.name = "quiet",
     .letter = 'q',
     .take = take_quiet,
     .help = "print no text but errors"},
    {.name = "verbose",
     .letter = 'v',
     .take = take_verbose,
     .repeats = true,
     .help = "say what is read, decided and skipped; twice: times too"},
    {.name = "help",
     .letter = 'h',
     .offset = offsetof(struct gqa_options, help),
     .help = "print this help and exit"},
    {.name = "version",
     .letter = 'V',
     .offset = offsetof(struct gqa_options, version),
     .help = "print the version and exit"},
};

static const size_t n_common_rows = sizeof common_rows / sizeof *common_rows;

const struct gqa_option *gqa_options_row(const struct gqa_tool *tool, size_t i)
{
    if (i < tool->n_rows)
        return &tool->rows[i];
    i -= tool->n_rows;
    return i < n_common_rows ? &common_rows[i] : NULL;
}

static size_t find_name(const struct gqa_tool *tool, const char *name, size_t n)
{
    const struct gqa_option *row;

    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++)
        if (strlen(row->name) == n && memcmp(row->name, name, n) == 0)
            return i;
    return NOT_A_ROW;
}

bool gqa_options_given(const struct gqa_options *options,
                       const struct gqa_tool *tool, const char *name)
{
    const size_t i = find_name(tool, name, strlen(name));

    assert(i != NOT_A_ROW);
    return options->given >> i & 1;
}

/* --- Which option --------------------------------------------------------- */

static enum gqa_status fail_unknown(const struct gqa_tool *tool,
                                    const char *name, size_t n)
{
    const struct gqa_option *row, *nearest = NULL;
    size_t least = SIZE_MAX;
    char word[64];

    snprintf(word, sizeof word, "%.*s",
             (int)(n < sizeof word ? n : sizeof word), name);
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++) {
        const size_t distance = gqa_word_distance(word, row->name);

        if (distance < least) {
            least = distance;
            nearest = row;
        }
    }
    if (nearest && gqa_word_is_near(strlen(word), least))
        return gqa_fail(GQA_ERR_USAGE,
                        "unknown option '--%s'; did you mean --%s?", word,
                        nearest->name);
    return gqa_fail(GQA_ERR_USAGE, "unknown option '--%s'", word);
}

/* A long option of n letters: its name, or the beginning of one alone. */
static enum gqa_status find_long(size_t *out, const struct gqa_tool *tool,
                                 const char *name, size_t n)
{
    const struct gqa_option *row;
    size_t found = find_name(tool, name, n), n_found = 0;
    char list[256] = "";
    size_t used = 0;

    if (found != NOT_A_ROW) {
        *out = found;
        return GQA_OK;
    }
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++)
        if (n > 0 && strncmp(row->name, name, n) == 0) {
            found = i;
            n_found++;
            if (used < sizeof list)
                used += (size_t)snprintf(list + used, sizeof list - used,
                                         "%s--%s", used ? ", " : "", row->name);
        }
    if (n_found == 0)
        return fail_unknown(tool, name, n);
    if (n_found > 1)
        return gqa_fail(GQA_ERR_USAGE, "option '--%.*s' is one of: %s", (int)n,
                        name, list);
    *out = found;
    return GQA_OK;
}

static enum gqa_status find_letter(size_t *out, const struct gqa_tool *tool,
                                   char letter)
{
    const struct gqa_option *row, *meant = NULL;
    size_t n_meant = 0;

    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++) {
        if (row->letter == letter) {
            *out = i;
            return GQA_OK;
        }
        if (row->name[0] == letter) {
            meant = row;
            n_meant++;
        }
    }
    if (n_meant == 1)
        return gqa_fail(GQA_ERR_USAGE,
                        "unknown option '-%c'; did you mean --%s?", letter,
                        meant->name);
    return gqa_fail(GQA_ERR_USAGE, "unknown option '-%c'", letter);
}

/* --- One argument --------------------------------------------------------- */

struct parser {
    const struct gqa_tool *tool;
    struct gqa_options *options; /* the beginning of the tool's */
    int argc, next;              /* the argument to look at next */
    char **argv;
    size_t n_operands;
    const char *extra; /* the first operand too many; or NULL */
};

static enum gqa_status store(struct parser *p, size_t i, const char *text)
{
    const struct gqa_option *row = gqa_options_row(p->tool, i);
    const enum gqa_status st = gqa_option_store(p->options, row, text);

    p->options->given |= UINT64_C(1) << i;
    return st == GQA_OK ? st : gqa_fail_prefix(st, "option --%s", row->name);
}

/* Row i, whose value, unless it is NULL, stands in the same argument. */
static enum gqa_status take(struct parser *p, size_t i, const char *value)
{
    const struct gqa_option *row = gqa_options_row(p->tool, i);
    char wants[256];

    if (!value && p->next == p->argc)
        return gqa_fail(GQA_ERR_USAGE, "option --%s needs %s", row->name,
                        gqa_option_wants(row, wants, sizeof wants));
    return store(p, i, value ? value : p->argv[p->next++]);
}

static enum gqa_status take_long(struct parser *p, const char *name)
{
    const size_t n = strcspn(name, "=");
    const char *value = name[n] ? name + n + 1 : NULL;
    const struct gqa_option *row;
    enum gqa_status st;
    size_t i = 0;

    if ((st = find_long(&i, p->tool, name, n)) != GQA_OK)
        return st;
    row = gqa_options_row(p->tool, i);
    if (row->value)
        return take(p, i, value);
    if (value)
        return gqa_fail(GQA_ERR_USAGE, "option --%s takes no value", row->name);
    return store(p, i, NULL);
}

static enum gqa_status take_letters(struct parser *p, const char *letters)
{
    for (; *letters; letters++) {
        enum gqa_status st;
        size_t i = 0;

        if ((st = find_letter(&i, p->tool, *letters)) != GQA_OK)
            return st;
        if (gqa_options_row(p->tool, i)->value)
            return take(p, i, letters[1] ? letters + 1 : NULL);
        if ((st = store(p, i, NULL)) != GQA_OK)
            return st;
    }
    return GQA_OK;
}

static void take_operand(struct parser *p, const char *text)
{
    if (p->tool->operands[p->n_operands])
        p->options->operands[p->n_operands++] = text;
    else if (!p->extra)
        p->extra = text;
}

/* --- All of them ---------------------------------------------------------- */

static enum gqa_status check_together(const struct gqa_options *options,
                                      const struct gqa_tool *tool)
{
    const struct gqa_option *row;

    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++) {
        if (!(options->given >> i & 1))
            continue;
        if (row->needs && !gqa_options_given(options, tool, row->needs))
            return gqa_fail(GQA_ERR_USAGE, "option --%s needs --%s", row->name,
                            row->needs);
        for (size_t e = 0; e < GQA_OPTION_MAX_EXCLUDES && row->excludes[e]; e++)
            if (gqa_options_given(options, tool, row->excludes[e]))
                return gqa_fail(GQA_ERR_USAGE,
                                "options --%s and --%s exclude each other",
                                row->name, row->excludes[e]);
    }
    return GQA_OK;
}

/* The first operand is left out, where an option stands for it. */
static void leave_out_first(struct parser *p)
{
    const char *option = p->tool->first_unless;

    if (!option || !gqa_options_given(p->options, p->tool, option))
        return;
    if (p->n_operands == GQA_OPTIONS_MAX_OPERANDS) {
        p->extra = p->options->operands[1];
        return;
    }
    p->options->operands[1] = p->options->operands[0];
    p->options->operands[0] = NULL;
    p->n_operands++;
}

static enum gqa_status check_operands(const struct parser *p)
{
    const char *const *names = p->tool->operands;
    const char *const *missing = names + p->n_operands;

    if (missing[0] && missing[1])
        return gqa_fail(GQA_ERR_USAGE, "%s and %s are missing", missing[0],
                        missing[1]);
    if (missing[0])
        return gqa_fail(GQA_ERR_USAGE, "%s is missing", missing[0]);
    if (p->extra)
        return gqa_fail(GQA_ERR_USAGE, "unexpected '%s' after %s%s%s", p->extra,
                        names[p->n_operands - 1], p->tool->advice ? "; " : "",
                        p->tool->advice ? p->tool->advice : "");
    for (size_t i = 0; i < p->n_operands; i++)
        if (p->options->operands[i] && *p->options->operands[i] == '\0')
            return gqa_fail(GQA_ERR_USAGE, "%s is empty", names[i]);
    return GQA_OK;
}

enum gqa_status gqa_options_parse(void *options, const struct gqa_tool *tool,
                                  int argc, char **argv)
{
    struct parser p = {.tool = tool,
                       .options = options,
                       .argc = argc,
                       .next = 1,
                       .argv = argv};
    bool only_operands = false;
    enum gqa_status st = GQA_OK;

    assert(tool->n_rows + n_common_rows <= MAX_ROWS);
    gqa_advice_use(tool->advices);
    *p.options = (struct gqa_options){.n_threads = gqa_cli_n_processors(),
                                      .log_level = GQA_LOG_WARN};
    while (p.next < argc && st == GQA_OK) {
        const char *text = argv[p.next++];

        if (only_operands || text[0] != '-' || text[1] == '\0')
            take_operand(&p, text);
        else if (text[1] != '-')
            st = take_letters(&p, text + 1);
        else if (text[2] == '\0')
            only_operands = true;
        else
            st = take_long(&p, text + 2);
    }
    if (st != GQA_OK || p.options->help || p.options->version)
        return st;
    if ((st = check_together(options, tool)) != GQA_OK)
        return st;
    leave_out_first(&p);
    return check_operands(&p);
}

bool gqa_options_done(int *status, const struct gqa_options *options,
                      const struct gqa_tool *tool, enum gqa_status parsed)
{
    *status = GQA_EXIT_OK;
    gqa_log_init(tool->name, options->log_level);
    if (parsed == GQA_ERR_USAGE)
        *status = gqa_cli_usage_error(tool->name, "%s", gqa_error_message());
    else if (parsed != GQA_OK)
        *status = gqa_cli_trouble(tool->name);
    else if (options->help)
        gqa_options_print_help(tool);
    else if (options->version)
        gqa_cli_print_version(tool->name);
    else
        return false;
    return true;
}
