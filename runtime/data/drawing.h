/* Tokens drawn from a model, a batch of sequences at a time. */
#ifndef GQA_RUNTIME_DATA_DRAWING_H
#define GQA_RUNTIME_DATA_DRAWING_H

#include "runtime/data/sample.h"

/* Sequences drawn at a time: enough for products to be matrix by matrix. */
enum { GQA_DRAWN_AT_A_TIME = 16 };

struct gqa_drawing {
    struct gqa_token_rules rules;
    uint64_t first; /* number of the batch's first sequence */
    uint64_t keys[GQA_DRAWN_AT_A_TIME];
    int32_t next[GQA_DRAWN_AT_A_TIME]; /* the tokens just drawn */
    bool may_end; /* the end token may be drawn, and ends */
    const struct gqa_sample_options *options;
    uint64_t done, all; /* tokens: what progress is told */
};

/* A text is as long as it was asked for: no special token is drawn. */
bool gqa_belongs_to_text(const struct gqa_token_rules *rules, uint64_t token);

/* `length` uniformly random tokens, none of the special ones. */
void gqa_random_input(int64_t *ids, uint64_t length,
                      const struct gqa_token_rules *rules, uint64_t key);

uint64_t gqa_drawing_batch_size(uint64_t left);

/* Room for length + 1 ids of a batch. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_drawing_alloc(int64_t **out, uint64_t length);

/* The batch whose first sequence has this number. round: a name for the numbers
 * drawn, so that rounds differ. */
void gqa_drawing_start(struct gqa_drawing *drawing, const char *round,
                       uint64_t first);

/*
 * Up to length tokens after the start token for n (up to GQA_DRAWN_AT_A_TIME)
 * sequences. inputs: those of the encoder, or NULL. outputs: [n, length + 1],
 * receives the start token and what is drawn; drawn: [n], how many. Errors
 * those of the session, and GQA_ERR_FORMAT: logits are not finite.
 */
GQA_MUST_USE
enum gqa_status gqa_drawing_run(int64_t *outputs, uint64_t *drawn,
                                struct gqa_runtime *runtime,
                                struct gqa_drawing *drawing,
                                const struct gqa_sequence *inputs, uint64_t n,
                                uint64_t length);

#endif
