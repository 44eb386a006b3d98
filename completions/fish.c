#include <stdio.h>

#include "completions/completions.h"

static void print_row(const struct gqa_tool *tool, const struct gqa_option *row)
{
    printf("complete -c %s -l %s", tool->name, row->name);
    if (row->letter)
        printf(" -s %c", row->letter);
    if (row->value)
        fputs(gqa_completion_is_path(row) ? " -rF" : " -x", stdout);
    if (row->kind == GQA_OPTION_SET)
        printf(" -a '(__fish_append , ");
    else if (row->choices)
        printf(" -a '");
    if (row->choices)
        gqa_completion_choices(row);
    if (row->choices)
        fputs(row->kind == GQA_OPTION_SET ? ")'" : "'", stdout);
    printf(" -d '");
    gqa_completion_help(row, "\\");
    printf("'\n");
}

void gqa_completion_fish(const struct gqa_tool *tool)
{
    const struct gqa_option *row;

    printf("# fish completion for %s, made from its table of options\n\n",
           tool->name);
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++)
        print_row(tool, row);
}
