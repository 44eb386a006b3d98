#include <stdio.h>
#include <string.h>

#include "completions/completions.h"
#include "convert/options.h"
#include "inspect/options.h"
#include "uptrain/options.h"
#include "verify/options.h"

void gqa_completion_choices(const struct gqa_option *row)
{
    const char *space = "";

    for (const struct gqa_choice *c = row->choices; c->name; c++) {
        if (c->hidden)
            continue;
        printf("%s%s", space, c->name);
        space = " ";
    }
}

bool gqa_completion_is_path(const struct gqa_option *row)
{
    return row->kind == GQA_OPTION_FILE || row->kind == GQA_OPTION_PATH;
}

void gqa_completion_help(const struct gqa_option *row, const char *special)
{
    const size_t n = strcspn(row->help, ";");

    for (const char *p = row->help; p < row->help + n; p++) {
        if (*p == '\'')
            fputs("'\\'", stdout);
        else if (strchr(special, *p))
            putchar('\\');
        putchar(*p);
    }
}

int main(int argc, char **argv)
{
    static const struct gqa_tool *const tools[] = {
        &gqa_convert_tool, &gqa_inspect_tool, &gqa_uptrain_tool,
        &gqa_verify_tool};
    static const struct {
        const char *name;
        void (*write)(const struct gqa_tool *tool);
    } shells[] = {{"bash", gqa_completion_bash},
                  {"zsh", gqa_completion_zsh},
                  {"fish", gqa_completion_fish}};

    for (size_t t = 0; argc == 3 && t < sizeof tools / sizeof *tools; t++)
        for (size_t s = 0; s < sizeof shells / sizeof *shells; s++)
            if (strcmp(argv[1], tools[t]->name) == 0 &&
                strcmp(argv[2], shells[s].name) == 0) {
                shells[s].write(tools[t]);
                return fclose(stdout) == 0 ? 0 : 2;
            }
    fprintf(stderr, "usage: completions TOOL SHELL\n");
    return 2;
}
