/* The checks that run models: group runtime and group fidelity. */
#ifndef GQA_VERIFY_RUN_CHECKS_H
#define GQA_VERIFY_RUN_CHECKS_H

#include "common/log.h"
#include "common/whole_file.h"
#include "runtime/data/sample.h"
#include "runtime/measure/fidelity.h"
#include "runtime/measure/running.h"
#include "verify/claims.h"
#include "verify/report.h"

/* All lent. */
struct gqa_run_model {
    const struct gqa_model *model;
    struct gqa_weight_source weights;
};

/* What the runtime checks run: the first sequences, and at most so many
 * tokens of each. */
enum { GQA_REFERENCE_SEQUENCES = 2, GQA_REFERENCE_LENGTH = 64 };

struct gqa_run_check_options {
    struct gqa_run_options run;       /* where all is run */
    struct gqa_run_options reference; /* CPU, F64: what it is held against */
    uint64_t reference_length;        /* tokens of a sequence; 0: the most */
    const char *tokens_path;          /* --tokens, or NULL */
    const char *text_path;            /* --text, or NULL */
    /* n 0: 8 samples, or all that a file holds; length 0: 256. */
    struct gqa_sample_options samples;
    struct gqa_budget budget;
    /* --generate: greedy tokens behind each of the first sequences; 0: none */
    uint64_t n_generate;
    bool scale;            /* also other conversions, as a measure */
    const char *dump_path; /* --dump-logits, or NULL */
    /* Receives its file, zeroed before; the caller ends it. */
    struct gqa_whole_file *dump;
    enum gqa_log_level log_level;
};

struct gqa_run;

/*
 * Begin. Where a GPU runs the models the original runs at once, on a thread
 * of its own, so that files can be read meanwhile. original: its pointers are
 * lent, and options, until gqa_run_free(). Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_run_begin(struct gqa_run **out,
                              const struct gqa_run_model *original,
                              const struct gqa_run_check_options *options);

/* Waits for what runs. Accepts NULL. */
void gqa_run_free(struct gqa_run *run);

/*
 * Once: run the original, where that has not been done, then the converted
 * model, whose pointers are lent until gqa_run_free(), and fill the report:
 *
 *   runtime   decode-prefill     tokens one by one, from the KV cache
 *             device-float64     all at once
 *             grouped-expanded   all at once, each KV head repeated for each
 *                                query head
 *   fidelity  as in fidelity_report.h, and with `scale`: scale-mean (of what
 *             is aligned), scale-first, scale-random; what function_check.h
 *             has, freed-pairs with `scale` or same-function; with n_generate:
 *             generate-0, generate-1
 *
 * The runtime checks run the converted model on the first sequences, cut
 * short, each held against the same in float64 with the limits of
 * reference.h.
 *
 * Errors GQA_ERR_UNSUPPORTED: a model that cannot be run, or two that cannot
 *        be compared; those of the runtime, the tokens and the report.
 */
GQA_MUST_USE
enum gqa_status gqa_run_finish(struct gqa_run *run, struct gqa_report *report,
                               const struct gqa_run_model *converted,
                               const struct gqa_claims *claims);

#endif
