/*
 * A command line: a line for each argument, against a table with a row of
 * each kind. What is accepted must lie in its range.
 */
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "fuzz.h"

enum { MAX_ARGUMENTS = 32, MAX_COUNT = 1 << 20 };

struct options {
    struct gqa_options common;
    bool flag;
    const char *text, *file;
    int choice;
    unsigned set, number;
    uint64_t count, bytes;
    double limit, share;
    size_t n_taken;
};

static enum gqa_status take(void *ctx, const char *text)
{
    struct options *o = ctx;

    o->n_taken += strlen(text) + 1;
    return GQA_OK;
}

static const struct gqa_choice choices[] = {
    {.name = "one", .value = 1},
    {.name = "two", .value = 2},
    {.name = "four", .value = 4, .hidden = true},
    {.name = NULL},
};

#define ROW(word, short_name, of, member)                         \
    .name = word, .letter = short_name, .kind = of, .value = "X", \
    .offset = offsetof(struct options, member)

static const struct gqa_option rows[] = {
    {.name = "flag", .letter = 'f', .offset = offsetof(struct options, flag)},
    {ROW("text", 'x', GQA_OPTION_TEXT, text)},
    {ROW("file", 0, GQA_OPTION_FILE, file), .needs = "flag"},
    {ROW("choice", 'c', GQA_OPTION_CHOICE, choice), .choices = choices},
    {ROW("set", 's', GQA_OPTION_SET, set), .choices = choices},
    {ROW("number", 'n', GQA_OPTION_NUMBER, number), .min = 1, .max = 1024},
    {ROW("count", 0, GQA_OPTION_COUNT, count), .min = 1, .max = MAX_COUNT},
    {ROW("bytes", 'b', GQA_OPTION_BYTES, bytes), .max = UINT64_MAX,
     .excludes = {"text", "file"}},
    {ROW("limit", 0, GQA_OPTION_LIMIT, limit)},
    {ROW("share", 0, GQA_OPTION_SHARE, share), .max = 1},
    {.name = "take",
     .kind = GQA_OPTION_TEXT,
     .value = "X",
     .take = take,
     .repeats = true},
};

static const struct gqa_tool tool = {
    .name = "tool",
    .operands = {"IN", "OUT"},
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static void check(const struct options *o)
{
    if (o->number < 1 || o->number > 1024 || o->count < 1 ||
        o->count > MAX_COUNT || !(o->limit >= 0) || !(o->share >= 0) ||
        o->share > 1 || o->choice < 1 || o->choice > 4 || o->set < 1 ||
        o->set > 7 || !*o->file || o->common.n_threads < 1)
        abort();
    if (!o->common.help && !o->common.version &&
        (!o->common.operands[0] || !o->common.operands[1]))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options o = {
        .file = "-", .choice = 1, .set = 1, .number = 1, .count = 1};
    char *const text = malloc(size + 1);
    char *argv[MAX_ARGUMENTS] = {"tool"};
    char *rest = text;
    int argc = 1;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    while (rest && argc < MAX_ARGUMENTS)
        argv[argc++] = strsep(&rest, "\n");
    if (gqa_options_parse(&o, &tool, argc, argv) == GQA_OK)
        check(&o);
    else if (!*gqa_error_message())
        abort();
    free(text);
    return 0;
}
