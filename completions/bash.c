#include <stdio.h>

#include "completions/completions.h"

static void print_function_name(const struct gqa_tool *tool)
{
    putchar('_');
    for (const char *p = tool->name; *p; p++)
        putchar(*p == '-' ? '_' : *p);
}

/* All options, those with a value as "--name=". */
static void print_options(const struct gqa_tool *tool)
{
    const struct gqa_option *row;

    printf("    local options='");
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++) {
        printf("\n        ");
        if (row->letter)
            printf("-%c ", row->letter);
        printf("--%s%s", row->name, row->value ? "=" : "");
    }
    printf("'\n");
}

/* What completes the value of one option. */
static void print_value(const struct gqa_option *row)
{
    printf("    ");
    if (row->letter)
        printf("-%c | ", row->letter);
    printf("--%s)\n", row->name);
    if (row->kind == GQA_OPTION_SET) {
        printf("        # The last name of a comma list.\n"
               "        local names=\n"
               "        [[ $cur == *,* ]] && names=${cur%%,*},\n"
               "        mapfile -t COMPREPLY < <(compgen -P \"$names\" -W '");
        gqa_completion_choices(row);
        printf("' -- \"${cur##*,}\")\n");
    } else if (row->choices) {
        printf("        mapfile -t COMPREPLY < <(compgen -W '");
        gqa_completion_choices(row);
        printf("' -- \"$cur\")\n");
    } else if (gqa_completion_is_path(row)) {
        printf("        compopt -o filenames 2>/dev/null\n"
               "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n");
    }
    printf("        return 0\n"
           "        ;;\n");
}

void gqa_completion_bash(const struct gqa_tool *tool)
{
    const struct gqa_option *row;

    printf("# shellcheck shell=bash\n"
           "# bash completion for %s, made from its table of options\n\n",
           tool->name);
    print_function_name(tool);
    printf("()\n"
           "{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]}"
           " prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    local before=\" ${COMP_WORDS[*]:0:COMP_CWORD} \"\n");
    print_options(tool);
    printf("\n"
           "    COMPREPLY=()\n"
           "    # Behind \"--\" there are files alone.\n"
           "    if [[ $before == *' -- '* ]]; then\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
           "        return 0\n"
           "    fi\n"
           "    # \"--option=value\" arrives as three words, split at the"
           " \"=\".\n"
           "    if [[ $cur == '=' ]]; then\n"
           "        cur=\n"
           "    elif [[ $prev == '=' ]] && ((COMP_CWORD > 1)); then\n"
           "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    fi\n"
           "    case $prev in\n");
    for (size_t i = 0; (row = gqa_options_row(tool, i)); i++)
        if (row->value)
            print_value(row);
    printf("    esac\n"
           "    if [[ $cur == -* ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$options\" --"
           " \"$cur\")\n"
           "        if [[ ${COMPREPLY[0]-} == *= ]]; then\n"
           "            compopt -o nospace 2>/dev/null\n"
           "        fi\n"
           "        return 0\n"
           "    fi\n"
           "    compopt -o filenames 2>/dev/null\n"
           "    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
           "}\n\n"
           "complete -F ");
    print_function_name(tool);
    printf(" %s\n", tool->name);
}
