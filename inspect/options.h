/* The command line of gqa-inspect. */
#ifndef GQA_INSPECT_OPTIONS_H
#define GQA_INSPECT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"

struct gqa_inspect_options {
    const char *path;
    const char *config_path; /* NULL: not given */
    uint64_t n_heads;        /* 0: not given */
    uint64_t head_dim;       /* 0: not given */
    uint64_t context;        /* 0: not given */
    uint64_t batch;
    unsigned n_threads;
    /* What to show; none of the first four: the summary. */
    bool tensors, recipe, stats, kv_cache;
    bool json;
    enum gqa_log_level log_level;
};

enum gqa_inspect_command {
    GQA_INSPECT_RUN,
    GQA_INSPECT_HELP,
    GQA_INSPECT_VERSION,
    GQA_INSPECT_USAGE_ERROR, /* already said on stderr */
};

/* Parse argv, whose texts are lent to *options. Options may stand before or
 * after the path. */
enum gqa_inspect_command gqa_inspect_options_parse(
    struct gqa_inspect_options *options, int argc, char **argv);

void gqa_inspect_print_help(void);

#endif
