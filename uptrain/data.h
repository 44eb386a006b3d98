/*
 * Sequences to train on, step by step, and those held out: from files, and
 * drawn by the teacher. Which sequence a step sees depends on the options and
 * the step alone. All ranks have all sequences: files are read by the first,
 * what is drawn is drawn by all, and each makes the same calls.
 */
#ifndef GQA_UPTRAIN_DATA_H
#define GQA_UPTRAIN_DATA_H

#include "common/progress.h"
#include "runtime/data/tokens.h"
#include "runtime/runtime.h"
#include "uptrain/data_list.h"
#include "uptrain/ranks.h"

struct gqa_data_options {
    struct gqa_ranks *ranks;          /* lent; see ranks.h */
    const struct gqa_data_list *list; /* lent; at least one item */
    uint64_t batch;                   /* sequences of a step */
    uint64_t n_steps;                 /* that may be asked for */
    uint64_t length;                  /* tokens of a sequence, at most */
    uint64_t n_held_out;              /* sequences, of all items */
    /* The teacher's own, which are seen again once all have been; 0: never. */
    uint64_t n_own;
    double temperature; /* of these; 0: 1 */
    uint64_t top_k;     /* likewise; 0: all tokens */
    uint64_t seed;
};

/* What was read of a file. */
struct gqa_data_file {
    const struct gqa_data_item *item;
    uint64_t n_sequences, n_held_out;
    char digest[33]; /* of its tokens, as taken: XXH3, 128 bits */
};

struct gqa_data;

/*
 * teacher, network (of it), bar  lent; looked at as long as steps are asked
 *        for. teacher: NULL where nothing is to be drawn.
 * Errors those of reading tokens and of drawing; GQA_ERR_USAGE: a file has no
 *        position that counts.
 */
GQA_MUST_USE
enum gqa_status gqa_data_create(struct gqa_data **out,
                                const struct gqa_data_options *options,
                                struct gqa_runtime *teacher,
                                const struct gqa_network *network,
                                struct gqa_progress *bar);
void gqa_data_free(struct gqa_data *data);

/* Those of a step below n_steps, in order: [batch]. Lent until the next
 * call. */
GQA_MUST_USE
enum gqa_status gqa_data_step(struct gqa_data *data, uint64_t step,
                              const struct gqa_sequence **out);

/* Copies of those of the first n steps, behind one another. tokens: empty. */
GQA_MUST_USE
enum gqa_status gqa_data_take(struct gqa_data *data, struct gqa_tokens *tokens,
                              uint64_t n);

/* Lent. */
const struct gqa_tokens *gqa_data_held_out(const struct gqa_data *data);

/* By item of the list; of the teacher's own NULL. Lent. */
const struct gqa_data_file *gqa_data_file(const struct gqa_data *data,
                                          size_t item);

#endif
