#include <stdio.h>

#include "completions/completions.h"

/* What is no longer offered once the option stands there. */
static void print_exclusions(const struct gqa_option *row)
{
    printf("'(--%s", row->name);
    if (row->letter)
        printf(" -%c", row->letter);
    for (size_t e = 0; e < GQA_OPTION_MAX_EXCLUDES && row->excludes[e]; e++)
        printf(" --%s", row->excludes[e]);
    printf(")'");
}

static void print_value(const struct gqa_option *row)
{
    printf(":%s:", row->value);
    if (row->kind == GQA_OPTION_SET)
        printf("_values -s , %s ", row->value);
    else if (row->choices)
        putchar('(');
    else
        fputs(gqa_completion_is_path(row) ? "_files" : " ", stdout);
    if (row->choices)
        gqa_completion_choices(row);
    if (row->choices && row->kind != GQA_OPTION_SET)
        putchar(')');
}

static void print_row(const struct gqa_option *row)
{
    const char *name_end = row->value ? "=" : "";

    printf("    ");
    if (row->repeats)
        printf("\\*");
    else
        print_exclusions(row);
    if (row->letter)
        printf("{-%c%s,--%s%s}", row->letter, row->value ? "+" : "", row->name,
               name_end);
    else
        printf("--%s%s", row->name, name_end);
    printf("'[");
    gqa_completion_help(row, "[]\\");
    putchar(']');
    if (row->value)
        print_value(row);
    printf("' \\\n");
}

void gqa_completion_zsh(const struct gqa_tool *tool)
{
    const struct gqa_option *row;

    printf("#compdef %s\n"
           "# zsh completion for %s, made from its table of options\n\n"
           "_arguments -s -S : \\\n",
           tool->name, tool->name);
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++)
        print_row(row);
    for (size_t i = 0; tool->operands[i]; i++)
        printf("    '%zu:%s:_files'%s\n", i + 1, tool->operands[i],
               tool->operands[i + 1] ? " \\" : "");
}
