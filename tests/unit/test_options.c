#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/options.h"
#include "suite.h"

enum { MAX_ARGUMENTS = 8, MAX_NAMES = 4 };

struct options {
    struct gqa_options common;
    bool force, dry_run;
    const char *title, *file;
    int colour;
    unsigned set, level;
    uint64_t groups, bytes;
    double limit, share;
    const char *names[MAX_NAMES];
    size_t n_names;
};

static struct options o;

static enum gqa_status take_name(void *ctx, const char *text)
{
    struct options *options = ctx;

    if (options->n_names == MAX_NAMES)
        return gqa_fail(GQA_ERR_USAGE, "too many");
    options->names[options->n_names++] = text;
    return GQA_OK;
}

static const struct gqa_choice colours[] = {
    {.name = "red", .value = 3},
    {.name = "green", .value = 5},
    {.name = "grey", .value = 9, .hidden = true},
    {.name = NULL},
};

#define AT(member) offsetof(struct options, member)

static const struct gqa_option rows[] = {
    {.name = "groups",
     .letter = 'g',
     .kind = GQA_OPTION_COUNT,
     .value = "N",
     .offset = AT(groups),
     .min = 1,
     .max = UINT64_C(1) << 40},
    {.name = "bytes",
     .kind = GQA_OPTION_BYTES,
     .value = "SIZE",
     .offset = AT(bytes),
     .max = UINT64_MAX},
    {.name = "level",
     .letter = 'l',
     .kind = GQA_OPTION_NUMBER,
     .value = "N",
     .offset = AT(level),
     .min = 1,
     .max = 19},
    {.name = "force", .letter = 'f', .offset = AT(force)},
    {.name = "format",
     .kind = GQA_OPTION_CHOICE,
     .value = "COLOUR",
     .offset = AT(colour),
     .choices = colours,
     .excludes = {"force"}},
    {.name = "dry-run",
     .letter = 'n',
     .offset = AT(dry_run),
     .needs = "groups"},
    {.name = "set",
     .kind = GQA_OPTION_SET,
     .value = "LIST",
     .offset = AT(set),
     .choices = colours},
    {.name = "title",
     .kind = GQA_OPTION_TEXT,
     .value = "T",
     .offset = AT(title)},
    {.name = "file", .kind = GQA_OPTION_FILE, .value = "F", .offset = AT(file)},
    {.name = "limit",
     .kind = GQA_OPTION_LIMIT,
     .value = "X",
     .offset = AT(limit)},
    {.name = "share",
     .kind = GQA_OPTION_SHARE,
     .value = "X",
     .offset = AT(share),
     .max = 1},
    {.name = "name",
     .kind = GQA_OPTION_TEXT,
     .value = "NAME",
     .take = take_name,
     .repeats = true},
};

static struct gqa_tool tool = {
    .name = "tool",
    .operands = {"IN", "OUT"},
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
};

static enum gqa_status parse(const char *const *arguments)
{
    char *argv[MAX_ARGUMENTS + 1] = {"tool"};
    int argc = 1;

    for (; arguments[argc - 1]; argc++) {
        ck_assert_int_lt(argc, MAX_ARGUMENTS);
        argv[argc] = (char *)arguments[argc - 1];
    }
    o = (struct options){.level = 1};
    return gqa_options_parse(&o, &tool, argc, argv);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})
#define take(...)  ck_assert_int_eq(PARSE(__VA_ARGS__), GQA_OK)

/* refuse(MESSAGE, ARGUMENT...) */
#define refuse(message, ...)                                 \
    do {                                                     \
        ck_assert_int_eq(PARSE(__VA_ARGS__), GQA_ERR_USAGE); \
        ck_assert_str_eq(gqa_error_message(), message);      \
    } while (0)

START_TEST(takes_values_in_each_way)
{
    take("a", "b", "--groups=8");
    ck_assert_uint_eq(o.groups, 8);
    take("a", "b", "--groups", "8");
    ck_assert_uint_eq(o.groups, 8);
    take("a", "b", "-g8");
    ck_assert_uint_eq(o.groups, 8);
    take("a", "b", "-g", "8");
    ck_assert_uint_eq(o.groups, 8);
    take("a", "b", "-fng8");
    ck_assert_uint_eq(o.groups, 8);
    ck_assert(o.force && o.dry_run);
    take("a", "b", "-ng", "8");
    ck_assert_uint_eq(o.groups, 8);
}
END_TEST

START_TEST(takes_options_anywhere)
{
    take("-f", "a", "--groups", "2", "b", "-v");
    ck_assert_str_eq(o.common.operands[0], "a");
    ck_assert_str_eq(o.common.operands[1], "b");
    ck_assert(o.force);
    ck_assert_int_eq(o.common.log_level, GQA_LOG_INFO);
    take("-f", "--", "-g", "--force");
    ck_assert_str_eq(o.common.operands[0], "-g");
    ck_assert_str_eq(o.common.operands[1], "--force");
    take("-", "b");
    ck_assert_str_eq(o.common.operands[0], "-");
    take("--title", "--", "a", "b");
    ck_assert_str_eq(o.title, "--");
    take("--title=a=b", "a", "b");
    ck_assert_str_eq(o.title, "a=b");
}
END_TEST

START_TEST(takes_beginnings)
{
    take("a", "b", "--gr", "4", "--forc");
    ck_assert_uint_eq(o.groups, 4);
    ck_assert(o.force);
    refuse("option '--fo' is one of: --force, --format", "--fo", "a", "b");
    refuse("option '--v' is one of: --verbose, --version", "--v", "a", "b");
    /* A whole name is no beginning of others. */
    take("a", "b", "--name=x", "--set=red");
}
END_TEST

START_TEST(names_what_was_meant)
{
    refuse("unknown option '--grops'; did you mean --groups?", "--grops");
    refuse("unknown option '--group-size'; did you mean --groups?",
           "--group-size=2");
    refuse("unknown option '--grouping-of'", "--grouping-of");
    refuse("unknown option '--ofrce'; did you mean --force?", "--ofrce");
    refuse("unknown option '--zzz'", "--zzz");
    refuse("unknown option '--'", "--=");
    refuse("unknown option '-x'", "-x");
    refuse("unknown option '-b'; did you mean --bytes?", "-fb");
    refuse("unknown option '-1'", "-1");
}
END_TEST

START_TEST(says_what_is_missing)
{
    refuse("option --groups needs a number", "a", "b", "-g");
    refuse("option --bytes needs a size such as 5G", "a", "b", "--bytes");
    refuse("option --format needs red or green", "a", "b", "--format");
    refuse("option --title needs a value", "--title");
    refuse("option --file needs a file", "--file");
    refuse("option --force takes no value", "--force=yes");
    refuse("IN and OUT are missing", "-f");
    refuse("OUT is missing", "a");
    refuse("unexpected 'c' after OUT", "a", "b", "c", "d");
    refuse("OUT is empty", "a", "");
    refuse("option --file: the path is empty", "--file=", "a", "b");
}
END_TEST

START_TEST(counts_in_range)
{
    take("a", "b", "-g", "1");
    take("a", "b", "-g", "128K");
    ck_assert_uint_eq(o.groups, 131072);
    take("a", "b", "-g", "2M");
    ck_assert_uint_eq(o.groups, 2097152);
    take("a", "b", "-g", "1024G");
    ck_assert_uint_eq(o.groups, UINT64_C(1) << 40);
    take("a", "b", "-l", "19");
    ck_assert_uint_eq(o.level, 19);
    refuse("option --level: 20 is not between 1 and 19", "-l20");
    refuse("option --level: 0 is not between 1 and 19", "-l0");
    refuse("option --level: 4294967297 is not between 1 and 19",
           "-l4294967297");
    refuse("option --groups: 1025G is not between 1 and 1099511627776",
           "-g1025G");
    refuse("option --groups: 17179869184G is not between 1 and 1099511627776",
           "-g17179869184G");
    refuse("option --groups: 99999999999999999999 is not between 1 and "
           "1099511627776",
           "-g99999999999999999999");
    refuse("option --groups: -1 is not between 1 and 1099511627776", "-g",
           "-1");
    refuse("option --groups: -0.5K is not between 1 and 1099511627776",
           "-g-0.5K");
    refuse("option --groups: ' 1' is not a whole number", "-g", " 1");
    refuse("option --groups: '+1' is not a whole number", "-g", "+1");
    refuse("option --groups: '-' is not a whole number", "-g-");
    refuse("option --groups: '' is not a whole number", "--groups=");
    refuse("option --groups: 'K' is not a whole number", "-gK");
    refuse("option --groups: '4KB' is not a whole number", "-g4KB");
    refuse("option --groups: '4KK' is not a whole number", "-g4KK");
    refuse("option --groups: '1.5' is not a whole number", "-g1.5");
    refuse("option --groups: '1.K' is not a whole number", "-g1.K");
    refuse("option --groups: '.5K' is not a whole number", "-g.5K");
    refuse("option --groups: '0.0001K' is not a whole number", "-g0.0001K");
    refuse("option --groups: '0.12345678901G' is not a whole number",
           "-g0.12345678901G");
    refuse("option --groups: '1e3' is not a whole number", "-g1e3");
}
END_TEST

START_TEST(reads_sizes)
{
    take("a", "b", "--bytes=5G");
    ck_assert_uint_eq(o.bytes, UINT64_C(5368709120));
    take("a", "b", "--bytes=5GiB");
    ck_assert_uint_eq(o.bytes, UINT64_C(5368709120));
    take("a", "b", "--bytes=5GB");
    ck_assert_uint_eq(o.bytes, UINT64_C(5000000000));
    take("a", "b", "--bytes=3K");
    ck_assert_uint_eq(o.bytes, 3072);
    take("a", "b", "--bytes=3kib");
    ck_assert_uint_eq(o.bytes, 3072);
    take("a", "b", "--bytes=1.5K");
    ck_assert_uint_eq(o.bytes, 1536);
    take("a", "b", "--bytes=2.25gb");
    ck_assert_uint_eq(o.bytes, UINT64_C(2250000000));
    take("a", "b", "--bytes=0.000000001GB");
    ck_assert_uint_eq(o.bytes, 1);
    take("a", "b", "--bytes=7.0");
    ck_assert_uint_eq(o.bytes, 7);
    take("a", "b", "--bytes=18446744073709551615");
    ck_assert_uint_eq(o.bytes, UINT64_MAX);
    take("a", "b", "--bytes=17179869183G");
    ck_assert_uint_eq(o.bytes, UINT64_C(17179869183) << 30);
    refuse("option --bytes: 17179869184G is not between 0 and "
           "18446744073709551615",
           "--bytes=17179869184G");
    refuse("option --bytes: '5X' is not a size such as 5G", "--bytes=5X");
    refuse("option --bytes: '1.5' is not a size such as 5G", "--bytes=1.5");
}
END_TEST

START_TEST(reads_limits)
{
    take("a", "b", "--limit=1e-3", "--share", "96.5%");
    ck_assert_double_eq(o.limit, 1e-3);
    ck_assert_double_eq(o.share, 0.965);
    refuse("option --limit: '1%' is not a number from 0 on", "--limit=1%");
    refuse("option --limit: '-1' is not a number from 0 on", "--limit=-1");
    refuse("option --share: 99 is more than 1 (0.99 is 99%)", "--share=99");
    refuse("option --share: 'nan' is not a number from 0 on, such as 0.01 or "
           "1%",
           "--share=nan");
}
END_TEST

START_TEST(reads_choices)
{
    take("a", "b", "--format=green");
    ck_assert_int_eq(o.colour, 5);
    take("a", "b", "--format=grey");
    ck_assert_int_eq(o.colour, 9);
    refuse("option --format: 'gren' is not red or green; did you mean green?",
           "--format=gren");
    refuse("option --format: 'blue' is not red or green", "--format=blue");
    refuse("option --format: '' is not red or green", "--format=");
    take("a", "b", "--set=red,green");
    ck_assert_uint_eq(o.set, 7);
    refuse("option --set: the list is empty", "--set=");
    refuse("option --set: '' is not red or green", "--set=red,");
    refuse("option --set: 'rad' is not red or green; did you mean red?",
           "--set=green,rad");
}
END_TEST

START_TEST(takes_the_last_or_all)
{
    take("a", "b", "-g1", "-g2", "--name=x", "--name=y");
    ck_assert_uint_eq(o.groups, 2);
    ck_assert_uint_eq(o.n_names, 2);
    ck_assert_str_eq(o.names[0], "x");
    ck_assert_str_eq(o.names[1], "y");
    take("a", "b", "-vv");
    ck_assert_int_eq(o.common.log_level, GQA_LOG_TIME);
    take("a", "b", "-vvvq");
    ck_assert_int_eq(o.common.log_level, GQA_LOG_ERROR);
}
END_TEST

START_TEST(knows_what_goes_together)
{
    refuse("option --dry-run needs --groups", "a", "b", "-n");
    refuse("options --format and --force exclude each other", "a", "b", "-f",
           "--format=red");
    take("a", "b", "-n", "-g1");
    ck_assert(gqa_options_given(&o.common, &tool, "dry-run"));
    ck_assert(!gqa_options_given(&o.common, &tool, "force"));
    ck_assert(!gqa_options_given(&o.common, &tool, "json"));
}
END_TEST

/* An option in the place of the first operand. */
START_TEST(an_option_for_an_operand)
{
    tool.first_unless = "title";
    take("--title=x", "b");
    ck_assert_ptr_null(o.common.operands[0]);
    ck_assert_str_eq(o.common.operands[1], "b");
    take("a", "b");
    ck_assert_str_eq(o.common.operands[0], "a");
    refuse("unexpected 'b' after OUT", "--title=x", "a", "b");
    refuse("OUT is missing", "--title=x");
    refuse("OUT is empty", "--title=x", "");
    refuse("OUT is missing", "a");
    tool.first_unless = NULL;
}
END_TEST

/* Help needs no operands, but no wrong option goes unseen beside it. */
START_TEST(checks_options_beside_help)
{
    take("--help");
    ck_assert(o.common.help);
    take("-V", "-n");
    ck_assert(o.common.version);
    refuse("unknown option '--bogus'", "--help", "--bogus");
    refuse("unknown option '--bogus'", "--bogus", "--version");
    refuse("option --level: 0 is not between 1 and 19", "-h", "-l0");
}
END_TEST

START_TEST(measures_words)
{
    ck_assert_uint_eq(gqa_word_distance("", ""), 0);
    ck_assert_uint_eq(gqa_word_distance("abc", "abc"), 0);
    ck_assert_uint_eq(gqa_word_distance("abc", ""), 3);
    ck_assert_uint_eq(gqa_word_distance("", "abc"), 3);
    ck_assert_uint_eq(gqa_word_distance("abc", "acb"), 1);
    ck_assert_uint_eq(gqa_word_distance("abc", "axc"), 1);
    ck_assert_uint_eq(gqa_word_distance("abc", "abxc"), 1);
    ck_assert_uint_eq(gqa_word_distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(
        gqa_word_distance("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                          "aaaaaaaaaaaaaa",
                          "a"),
        SIZE_MAX);
    ck_assert(gqa_word_is_near(5, 2));
    ck_assert(!gqa_word_is_near(4, 3));
    ck_assert(!gqa_word_is_near(1, 1));
    ck_assert(!gqa_word_is_near(5, SIZE_MAX));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_test(tc, takes_values_in_each_way);
    tcase_add_test(tc, takes_options_anywhere);
    tcase_add_test(tc, takes_beginnings);
    tcase_add_test(tc, names_what_was_meant);
    tcase_add_test(tc, says_what_is_missing);
    tcase_add_test(tc, counts_in_range);
    tcase_add_test(tc, reads_sizes);
    tcase_add_test(tc, reads_limits);
    tcase_add_test(tc, reads_choices);
    tcase_add_test(tc, takes_the_last_or_all);
    tcase_add_test(tc, knows_what_goes_together);
    tcase_add_test(tc, an_option_for_an_operand);
    tcase_add_test(tc, checks_options_beside_help);
    tcase_add_test(tc, measures_words);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
