/* The command line of gqa-inspect. */
#ifndef GQA_INSPECT_OPTIONS_H
#define GQA_INSPECT_OPTIONS_H

#include "align/learning.h"
#include "common/options.h"

struct gqa_inspect_options {
    struct gqa_options common; /* first: gqa_options_parse() */
    const char *path;
    const char *config_path;             /* NULL: not given */
    const char *family_path;             /* NULL: not given */
    const char *page_path, *figure_path; /* NULL: not given */
    bool force;
    struct gqa_learning_options learning; /* of comparing heads */
    uint64_t n_heads;                     /* 0: not given */
    uint64_t head_dim;                    /* 0: not given */
    uint64_t context;                     /* 0: not given */
    uint64_t batch;
    uint64_t groups; /* 0: half */
    double budget;   /* of the KV cache's bytes; 0: half */
    /* What to show; none of these: the summary. */
    bool tensors, recipe, stats, kv_cache, similarity, plan;
    bool all;     /* no row stands for several */
    bool compare; /* heads are compared, for any of these */
};

/* Its options, for help and completions. */
extern const struct gqa_tool gqa_inspect_tool;

/* Parse the arguments; strings are lent by argv. Errors GQA_ERR_USAGE. */
GQA_MUST_USE
enum gqa_status gqa_inspect_options_parse(struct gqa_inspect_options *out,
                                          int argc, char **argv);

#endif
