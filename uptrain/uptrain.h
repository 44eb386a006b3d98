/* One run of the tool from beginning to end. */
#ifndef GQA_UPTRAIN_UPTRAIN_H
#define GQA_UPTRAIN_UPTRAIN_H

#include "uptrain/estimate.h"
#include "uptrain/options.h"
#include "uptrain/pace.h"
#include "uptrain/run.h"
#include "uptrain/settings.h"

/* What was done, for the summary. */
struct gqa_uptraining {
    const struct gqa_uptrain_options *options; /* lent */
    struct gqa_ranks *ranks;                   /* lent */
    double deadline_s;                         /* of gqa_clock_s(); 0: none */
    struct gqa_train_device device;
    struct gqa_settings settings;
    struct gqa_pair pair;
    bool *trained;    /* [n_params of the student] */
    bool was_planned; /* once, and what there was to say has been said */
    struct gqa_estimate estimate;
    struct gqa_pace pace; /* step_s 0: nobody asked, or there are no steps */
    struct gqa_trainer *trainer; /* NULL: nothing was trained as a whole */
    struct gqa_data *data;
    struct gqa_layerwise layerwise; /* the first stage, where there is one */
    struct gqa_training_run run;
    json_t *what;
    struct gqa_saved saved;
    /* The mean KL of the best state is below that of the start. */
    bool gained;
    bool written; /* there is an output */
    struct gqa_output_summary output;
    enum gqa_status (*report)(const struct gqa_uptraining *u);
};

/*
 * Train as the options say.
 *
 * ranks   of this process; all make the same call. Only the first reports and
 *         writes.
 * out     zeroed; end it with gqa_uptraining_clear(), also after an error.
 * report  called once: where there is an output, when all is written and
 *         before it appears; where nothing was gained, when that is known.
 * Errors  any. What was gained before a loss that is not finite is written all
 *         the same (out->written).
 */
GQA_MUST_USE
enum gqa_status gqa_uptrain(
    struct gqa_uptraining *out, const struct gqa_uptrain_options *options,
    struct gqa_ranks *ranks,
    enum gqa_status (*report)(const struct gqa_uptraining *u));
void gqa_uptraining_clear(struct gqa_uptraining *uptraining);

#endif
