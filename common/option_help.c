#include <stdio.h>
#include <string.h>

#include "common/options.h"

/* Where the help of an option begins, and where its lines end. */
enum { COLUMN = 26, WIDTH = 79 };

/* The words of text from the column on, which is where the cursor is. */
static void print_wrapped(const char *text)
{
    size_t at = COLUMN;

    while (*text) {
        const size_t n = strcspn(text, " ");

        if (at > COLUMN && at + 1 + n > WIDTH) {
            printf("\n%*s", COLUMN, "");
            at = COLUMN;
        }
        at += (size_t)printf("%s%.*s", at > COLUMN ? " " : "", (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_row(const struct gqa_option *row)
{
    size_t at;

    if (row->section)
        printf("%s%s\n", *row->section ? "\n" : "", row->section);
    if (row->letter)
        at = (size_t)printf("  -%c, --%s", row->letter, row->name);
    else
        at = (size_t)printf("      --%s", row->name);
    if (row->value)
        at += (size_t)printf("=%s", row->value);
    if (at + 2 > COLUMN) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", (int)(COLUMN - at), "");
    print_wrapped(row->help);
}

void gqa_options_print_help(const struct gqa_tool *tool)
{
    const struct gqa_option *row;

    printf("%s\n", tool->usage);
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++)
        print_row(row);
    printf("\n%s", tool->notes);
}
