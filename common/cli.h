/*
 * What the command lines of all tools share: usage errors, the version, the
 * end of the program.
 */
#ifndef GQA_COMMON_CLI_H
#define GQA_COMMON_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

enum { GQA_EXIT_OK = 0, GQA_EXIT_CHECK_FAILED = 1, GQA_EXIT_TROUBLE = 2 };

/* One line on stderr and "try 'TOOL --help'"; returns GQA_EXIT_TROUBLE. */
int gqa_cli_usage_error(const char *tool, const char *fmt, ...)
    GQA_PRINTF(2, 3);

/* The stored message, or that memory was short where that explains it. */
const char *gqa_cli_message(void);

/* That message on stderr after "TOOL: "; returns GQA_EXIT_TROUBLE. */
int gqa_cli_trouble(const char *tool);

/* "TOOL (gqa tools) VERSION" on stdout. */
void gqa_cli_print_version(const char *tool);

/*
 * Before anything is opened: where a tool is started without standard input,
 * output or error, no file of its own may take that place and be written to.
 * Writing to a standard output that is missing fails.
 */
void gqa_cli_begin(void);

/*
 * Whatever was printed on stdout has got there, or: GQA_ERR_IO, and what has
 * not is forgotten.
 */
GQA_MUST_USE
enum gqa_status gqa_cli_flush(void);

/*
 * Flush and close stdout: a full disk is an error. Returns status, or
 * GQA_EXIT_TROUBLE when stdout could not be written; or does not return, but
 * ends by the signal that came (common/interrupt.h).
 */
int gqa_cli_finish(const char *tool, int status);

/* Processors this process may run on, at least 1. */
unsigned gqa_cli_n_processors(void);

#endif
