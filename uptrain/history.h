/* What a run has done so far, but for the weights: what a run that is taken up
 * again goes on from, and what recipes and pages tell. */
#ifndef GQA_UPTRAIN_HISTORY_H
#define GQA_UPTRAIN_HISTORY_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/model/model.h"
#include "runtime/measure/fidelity.h"
#include "uptrain/time_plan.h"

/* On sequences held out; after so many steps. */
struct gqa_evaluation {
    uint64_t step;
    uint64_t n_positions;
    double kl, top1;
    double perplexity[GQA_N_MODELS]; /* 0: nothing is known to follow */
};

/* A rate that was tried, and what came of it. */
struct gqa_probe_result {
    double rate, kl;
};

/* An attention that was matched to the original's before anything else: the
 * mean squared error of the stream behind it. */
struct gqa_layer_match {
    enum gqa_stack stack;
    enum gqa_attention_kind kind;
    uint64_t layer;
    double before, after;
    double rate;      /* that came nearest; 0: none came nearer */
    uint64_t n_steps; /* at each rate that was tried */
    bool gained;      /* else it was left as it was */
};

struct gqa_history {
    uint64_t n_steps;                   /* that were made */
    uint64_t room;                      /* of losses: steps of the whole run */
    double *losses;                     /* [room], owned */
    uint64_t n_tokens;                  /* that went through */
    uint64_t n_counted;                 /* positions */
    double seconds;                     /* of all runs, measures included */
    struct gqa_evaluation *evaluations; /* owned; the first is of step 0 */
    size_t n_evaluations;
    struct gqa_probe_result *probes; /* owned */
    size_t n_probes;
    struct gqa_layer_match *matches; /* owned */
    size_t n_matches;
    double rate;               /* that was chosen, or given; 0: not yet */
    struct gqa_time_plan plan; /* with a deadline, once it is made */
    size_t best;               /* of evaluations */
};

/* End it with gqa_history_clear(). Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_history_create(struct gqa_history *out, uint64_t n_steps);
void gqa_history_clear(struct gqa_history *history);

/* *is_best: whether its KL is below all before it, or it is the first. Errors
 * GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_history_add(struct gqa_history *history, uint64_t step,
                                const struct gqa_fidelity_result *result,
                                bool *is_best);
GQA_MUST_USE
enum gqa_status gqa_history_add_probe(struct gqa_history *history, double rate,
                                      double kl);
GQA_MUST_USE
enum gqa_status gqa_history_add_match(struct gqa_history *history,
                                      const struct gqa_layer_match *match);

/* Of the start, and of the best. There is at least one evaluation. */
const struct gqa_evaluation *gqa_history_start(const struct gqa_history *h);
const struct gqa_evaluation *gqa_history_best(const struct gqa_history *h);

/* Whether the state after n_steps has been measured. */
bool gqa_history_is_measured(const struct gqa_history *history);

json_t *gqa_time_plan_describe(const struct gqa_time_plan *plan);
json_t *gqa_layer_match_describe(const struct gqa_layer_match *match);

/* As JSON, without losses; and back: false where it is not one. */
json_t *gqa_history_describe(const struct gqa_history *history);
bool gqa_history_read(struct gqa_history *history, const json_t *json);

#endif
