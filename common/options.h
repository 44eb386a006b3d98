/*
 * The options of a command line as a table, from which come its parsing, its
 * --help and its completions.
 *
 * Options may stand before, between and after operands; "--" ends them. A
 * long one may be shortened as long as it stays one of a kind, and has its
 * value behind "=" or as the next argument; a letter has it behind itself or
 * as the next argument, and letters without one may stand together.
 */
#ifndef GQA_COMMON_OPTIONS_H
#define GQA_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/log.h"
#include "common/status.h"

/* What an option's value is, and what is stored at its offset. */
enum gqa_option_kind {
    GQA_OPTION_FLAG,   /* no value: bool, set to true */
    GQA_OPTION_TEXT,   /* const char *, lent by argv */
    GQA_OPTION_FILE,   /* the same, and not empty */
    GQA_OPTION_PATH,   /* the same, of a file or a folder */
    GQA_OPTION_CHOICE, /* one of choices: int, its value */
    GQA_OPTION_SET,    /* a comma list of choices: unsigned, values or-ed */
    GQA_OPTION_COUNT,  /* from min to max: uint64_t; 128K is 131072 */
    GQA_OPTION_NUMBER, /* from min to max: unsigned */
    GQA_OPTION_BYTES,  /* from min to max: uint64_t; see below */
    GQA_OPTION_LIMIT,  /* a number of at least 0: double */
    GQA_OPTION_SHARE,  /* the same, or a percentage such as 1% */
};

struct gqa_choice {
    const char *name; /* NULL ends a list */
    int value;
    bool hidden; /* taken, but not offered */
    /* NULL; else the name is hidden and not taken, but answered with this. */
    const char *instead;
};

enum { GQA_OPTION_MAX_EXCLUDES = 4 };

struct gqa_option {
    const char *name; /* the long one, without dashes */
    char letter;      /* or 0 */
    enum gqa_option_kind kind;
    const char *value; /* what help calls the value; NULL for a flag */
    size_t offset;     /* in the tool's options */
    uint64_t min, max; /* of LIMIT and SHARE max alone; 0: none */
    const struct gqa_choice *choices;
    /*
     * Called instead of storing, once for each time the option is given;
     * choices have been checked. options: the tool's. text: lent by argv, or
     * NULL for a flag. The message begins with no option: the parser says
     * which.
     */
    enum gqa_status (*take)(void *options, const char *text);
    bool repeats;      /* each time counts; of others the last does */
    const char *needs; /* another option, without which it is an error */
    const char *excludes[GQA_OPTION_MAX_EXCLUDES]; /* options beside which it is
                                                      one, or NULL */
    const char *section; /* a line of help before it; "" is an empty one */
    const char *help;    /* wrapped where it is printed */
};

/* The options that every tool has, and what is left of a command line.
 * The first member of a tool's own options. */
struct gqa_options {
    bool json;
    unsigned n_threads;
    bool unsafe_hdf5;
    bool dequantise;
    const char *state_dict; /* of a PyTorch file that has several, or NULL */
    enum gqa_log_level log_level;
    bool help, version;
    uint64_t given; /* bit i: row i of the tool, then the common ones */
    const char *operands[2]; /* as many as the tool takes; lent by argv */
};

enum { GQA_OPTIONS_MAX_OPERANDS = 2, GQA_OPTIONS_MAX_THREADS = 1024 };

struct gqa_tool {
    const char *name;
    const char *usage; /* of --help: what stands above the options */
    const char *notes; /* and below them */
    const char *operands[GQA_OPTIONS_MAX_OPERANDS + 1]; /* ends in NULL */
    /* An option in whose place the first operand stands: it is one or the
     * other; or NULL. */
    const char *first_unless;
    const char *advice; /* where there is an operand too many; or NULL */
    const char *const *advices;    /* for gqa_advice_use() */
    const struct gqa_option *rows; /* without the common ones */
    size_t n_rows;
};

/*
 * Parse the arguments into *options, which begins with a struct gqa_options
 * and holds the defaults of all but the common ones. Where help or the
 * version is asked for operands may be missing, but wrong options are still
 * errors. Errors GQA_ERR_USAGE, and those of the rows' take().
 */
GQA_MUST_USE
enum gqa_status gqa_options_parse(void *options, const struct gqa_tool *tool,
                                  int argc, char **argv);

/* Whether an option was given; name must be one of the tool's. */
bool gqa_options_given(const struct gqa_options *options,
                       const struct gqa_tool *tool, const char *name);

/*
 * What there is to do before a tool's own work: begin the log, and print what
 * was wrong (as parsed, the verdict of parsing, says), the help or the
 * version. True when there is nothing else to do; *status is the exit status.
 */
bool gqa_options_done(int *status, const struct gqa_options *options,
                      const struct gqa_tool *tool, enum gqa_status parsed);

/* Row i of the tool's and then the common ones; NULL behind the last. */
const struct gqa_option *gqa_options_row(const struct gqa_tool *tool, size_t i);

/* --help, on stdout. */
void gqa_options_print_help(const struct gqa_tool *tool);

/*
 * A number in [min, max], all of text: digits and perhaps K, M or G, in
 * either case, for 1024, 1024^2 or 1024^3, before which there may be a point:
 * 1.5K is 1536. Errors GQA_ERR_USAGE, without the option's name.
 */
GQA_MUST_USE
enum gqa_status gqa_option_count(uint64_t *out, const char *text, uint64_t min,
                                 uint64_t max);

/*
 * As gqa_option_count(), in bytes: K or KiB is 1024, KB is 1000, and so on
 * with M and G.
 */
GQA_MUST_USE
enum gqa_status gqa_option_bytes(uint64_t *out, const char *text, uint64_t min,
                                 uint64_t max);

/*
 * Parse a value as its row says and store it in the tool's options. Errors
 * GQA_ERR_USAGE, without the option's name.
 */
GQA_MUST_USE
enum gqa_status gqa_option_store(void *options, const struct gqa_option *row,
                                 const char *text);

/* What a row's value is, for messages: "a number", "mean or first". */
const char *gqa_option_wants(const struct gqa_option *row, char *buf, size_t n);

#endif
