/*
 * Completion scripts made from a tool's table of options, on stdout. The
 * build runs this for each tool and shell.
 */
#ifndef GQA_COMPLETIONS_COMPLETIONS_H
#define GQA_COMPLETIONS_COMPLETIONS_H

#include "common/options.h"

void gqa_completion_bash(const struct gqa_tool *tool);
void gqa_completion_zsh(const struct gqa_tool *tool);
void gqa_completion_fish(const struct gqa_tool *tool);

/* The choices of a row that are offered, with a space between two. */
void gqa_completion_choices(const struct gqa_option *row);

/* Whether a row's value is a file or a folder. */
bool gqa_completion_is_path(const struct gqa_option *row);

/*
 * The first part of a row's help, which explains it in a few words, for a
 * text in single quotes. special: letters that want a backslash before them.
 */
void gqa_completion_help(const struct gqa_option *row, const char *special);

#endif
