/* The tokens that both models run on. */
#ifndef GQA_VERIFY_RUN_TOKENS_H
#define GQA_VERIFY_RUN_TOKENS_H

#include "common/progress.h"
#include "verify/run_checks.h"

/* Sequences and tokens of each where nothing says how many. */
enum { GQA_DEFAULT_SAMPLES = 8, GQA_DEFAULT_LENGTH = 256 };

/* The samples that are drawn where there is no file. */
struct gqa_sample_options gqa_run_samples(
    const struct gqa_run_check_options *options,
    const struct gqa_network *network);

/*
 * From a file, from text, or drawn from the original itself, which `running`
 * is; drawn of all tokens alike where it runs layer by layer. The fact
 * `data` says what they are. Errors those of reading and drawing, and of the
 * report.
 */
GQA_MUST_USE
enum gqa_status gqa_run_tokens(struct gqa_tokens *tokens,
                               struct gqa_report *report,
                               struct gqa_running *running,
                               const struct gqa_run_check_options *asked,
                               struct gqa_progress *bar);

/* The first sequences, at most max_sequences, cut to `length` tokens of
 * each stack; list: room for them, lent the pointers of `tokens`. */
struct gqa_tokens gqa_run_tokens_first(struct gqa_sequence *list,
                                       const struct gqa_tokens *tokens,
                                       size_t max_sequences, uint64_t length);

#endif
