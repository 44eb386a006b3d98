/* Tokens drawn from a model, a batch of sequences at a time. */
#ifndef GQA_RUNTIME_DATA_DRAWING_H
#define GQA_RUNTIME_DATA_DRAWING_H

#include "runtime/data/sample.h"

struct gqa_drawing {
    struct gqa_token_rules rules;
    const struct gqa_sample_options *options;
    uint64_t at_a_time; /* sequences of a batch, at most */
    uint64_t first;     /* number of the batch's first sequence */
    uint64_t *keys;     /* [at_a_time] */
    bool may_end;       /* the end token may be drawn, and ends */
    uint64_t done, all; /* tokens: what progress is told */
};

/* A text is as long as it was asked for: no special token is drawn. */
bool gqa_belongs_to_text(const struct gqa_token_rules *rules, uint64_t token);

/* `length` uniformly random tokens, none of the special ones. */
void gqa_random_input(int64_t *ids, uint64_t length,
                      const struct gqa_token_rules *rules, uint64_t key);

/* rules, options: lent. Clear it also after an error. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_drawing_init(struct gqa_drawing *out,
                                 const struct gqa_runtime *runtime,
                                 const struct gqa_token_rules *rules,
                                 const struct gqa_sample_options *options);
void gqa_drawing_clear(struct gqa_drawing *drawing);

/* Of `left` sequences those of the next batch. */
uint64_t gqa_drawing_batch_size(const struct gqa_drawing *drawing,
                                uint64_t left);

/* What came of a batch. */
struct gqa_drawn {
    uint64_t width; /* ids of a row */
    int64_t *ids; /* [at_a_time, width]: the start token, then what was drawn */
    uint64_t *n;  /* [at_a_time]: how many were */
};

/* Room for up to length tokens each. Clear it also after an error. Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_drawn_init(struct gqa_drawn *out,
                               const struct gqa_drawing *drawing,
                               uint64_t length);
void gqa_drawn_clear(struct gqa_drawn *drawn);

/* Row s of it. */
int64_t *gqa_drawn_row(const struct gqa_drawn *drawn, uint64_t s);

/* The batch whose first sequence has this number. round: a name for the numbers
 * drawn, so that rounds differ. */
void gqa_drawing_start(struct gqa_drawing *drawing, const char *round,
                       uint64_t first);

/*
 * Up to `length` tokens after the start token for n (up to at_a_time)
 * sequences, no more than there is room for. inputs: those of the encoder, or
 * NULL. Errors those of the session, and GQA_ERR_FORMAT: logits are not
 * finite.
 */
GQA_MUST_USE
enum gqa_status gqa_drawing_run(struct gqa_drawn *out,
                                struct gqa_runtime *runtime,
                                struct gqa_drawing *drawing,
                                const struct gqa_sequence *inputs, uint64_t n,
                                uint64_t length);

#endif
