/* The command line of gqa-uptrain. */
#ifndef GQA_UPTRAIN_OPTIONS_H
#define GQA_UPTRAIN_OPTIONS_H

#include "common/options.h"
#include "formats/writers.h"
#include "uptrain/data_list.h"
#include "uptrain/loss.h"
#include "uptrain/optimiser.h"
#include "uptrain/schedule.h"

struct gqa_uptrain_options {
    struct gqa_options common; /* first: gqa_options_parse() */
    const char *teacher, *output, *family_path;
    const char *student;             /* NULL: it is to be made of the teacher */
    uint64_t groups;                 /* KV heads that it gets then */
    int method;                      /* index of gqa_uptrain_methods */
    const struct gqa_writer *writer; /* by the name of output */
    struct gqa_output_settings settings;
    bool remote_code; /* the folder has a module that loads it */
    bool force, dry_run, write_start;
    bool may_differ; /* the student, where grouping changes nothing */
    int device;      /* enum gqa_learning_device */
    uint64_t n_gpus; /* 0: not given */
    /* Of this process, by gqa_ranks_begin(). */
    unsigned ordinal, n_ranks;
    int dtype; /* enum gqa_dtype, or GQA_TRAIN_DTYPE_AUTO */

    struct gqa_data_list data; /* owned */
    double temperature;        /* of what the teacher draws; 0: 1 */
    uint64_t top_k;            /* likewise; 0: all tokens */
    uint64_t n_own;            /* 0: as many as are needed */
    uint64_t batch, accumulate, length, n_steps;
    bool layerwise;         /* a first stage, with so many */
    uint64_t n_layer_steps; /* steps of an attention */
    uint64_t seed;

    const char *train; /* trained.h */
    struct gqa_loss_mix loss;
    int optimiser; /* enum gqa_optimiser_kind */
    double weight_decay, clip;
    double rate; /* 0: to be found */
    int decay;   /* enum gqa_decay */
    uint64_t warmup;

    uint64_t eval_every, n_held_out;
    double until_kl, budget_s; /* below 0: none */

    const char *checkpoint;
    uint64_t every;
    const char *log_path, *html_path;
};

/* How heads become one, as gqa-convert calls it. */
extern const struct gqa_choice gqa_uptrain_methods[];

/* Its options, for help and completions. */
extern const struct gqa_tool gqa_uptrain_tool;

/*
 * Parse the arguments; strings are lent by argv. Errors GQA_ERR_USAGE. The
 * caller frees with gqa_uptrain_options_clear(), also after an error.
 */
GQA_MUST_USE
enum gqa_status gqa_uptrain_options_parse(struct gqa_uptrain_options *out,
                                          int argc, char **argv);
void gqa_uptrain_options_clear(struct gqa_uptrain_options *options);

bool gqa_uptrain_given(const struct gqa_uptrain_options *options,
                       const char *name);

#endif
