/*
 * Teacher and student on a device: steps of training, measures, and the
 * weights that are trained.
 */
#ifndef GQA_UPTRAIN_TRAINER_H
#define GQA_UPTRAIN_TRAINER_H

#include "runtime/measure/fidelity.h"
#include "uptrain/data.h"
#include "uptrain/device.h"
#include "uptrain/loss.h"
#include "uptrain/optimiser.h"
#include "uptrain/pair.h"
#include "uptrain/ranks.h"

struct gqa_trainer_options {
    struct gqa_loss_mix loss;
    struct gqa_optimiser_options optimiser;
    struct gqa_ranks *ranks; /* lent; all of them make the same calls */
    uint64_t batch;          /* sequences at a time, of this rank */
    uint64_t n_sequences;    /* of a step, of all ranks */
    uint64_t length;
};

struct gqa_trainer;

/*
 * device, pair, trained [n_params of the student]  lent.
 * Errors those of backends, runtimes and tapes; GQA_ERR_UNSUPPORTED: the
 *        device cannot train.
 */
GQA_MUST_USE
enum gqa_status gqa_trainer_create(struct gqa_trainer **out,
                                   const struct gqa_train_device *device,
                                   struct gqa_pair *pair, const bool *trained,
                                   const struct gqa_trainer_options *options);
void gqa_trainer_free(struct gqa_trainer *trainer);

/* Lent. */
struct gqa_runtime *gqa_trainer_teacher(struct gqa_trainer *trainer);

struct gqa_step_result {
    double loss;
    double kl, reverse_kl, cross_entropy; /* means; 0 where not wanted */
    double norm;                          /* of all gradients, unclipped */
    uint64_t n_counted, n_tokens;         /* positions; tokens of both stacks */
};

/*
 * One step is what begins and ends. number: of the step, from 1, which moments
 * go by. sequences: [n_sequences], of which each rank runs its part; they are
 * not looked at again once gqa_trainer_begin() has returned.
 *
 * Errors GQA_ERR_FORMAT: the loss or a gradient is not finite, and where; no
 *        weight has changed. GQA_ERR_INTERRUPTED: likewise none has.
 */
GQA_MUST_USE
enum gqa_status gqa_trainer_begin(struct gqa_trainer *trainer,
                                  const struct gqa_sequence *const *sequences,
                                  uint64_t number);
GQA_MUST_USE
enum gqa_status gqa_trainer_end(struct gqa_trainer *trainer,
                                struct gqa_step_result *out, double rate);

/*
 * Between the two: what of the next step does not wait for this one's update,
 * so that a device has work while the host reads what has come out. The next
 * gqa_trainer_begin() is of the number that follows and of these sequences, or
 * comes behind a measure. What fails or is interrupted here is done again
 * there, where all ranks hear of it.
 */
void gqa_trainer_run_ahead(struct gqa_trainer *trainer,
                           const struct gqa_sequence *const *sequences);

/* Both models over the first n sequences of tokens (0: all), held against each
 * other; a part by each rank, for all. Errors also GQA_ERR_FORMAT: the
 * student's logits are not finite, and since which part of it. */
GQA_MUST_USE
enum gqa_status gqa_trainer_measure(struct gqa_trainer *trainer,
                                    struct gqa_fidelity_result *out,
                                    const struct gqa_tokens *tokens,
                                    uint64_t n);

/* --- Weights -------------------------------------------------------------- */

size_t gqa_trainer_n(const struct gqa_trainer *trainer);
const struct gqa_trainee *gqa_trainer_trainee(const struct gqa_trainer *trainer,
                                              size_t i);
/* Of its parameter. Lent. */
const char *gqa_trainer_name(const struct gqa_trainer *trainer, size_t i);
/* Bytes of one, or of a moment's, element. */
size_t gqa_trainer_wide(const struct gqa_trainer *trainer);
struct gqa_optimiser *gqa_trainer_optimiser(struct gqa_trainer *trainer);

/* All weights that are trained, one after another, wide; host memory. */
size_t gqa_trainer_bytes(const struct gqa_trainer *trainer);
GQA_MUST_USE
enum gqa_status gqa_trainer_get(struct gqa_trainer *trainer, void *weights);
GQA_MUST_USE
enum gqa_status gqa_trainer_set(struct gqa_trainer *trainer,
                                const void *weights);

/* Weights, and moments too where these are to be gone on from, become what they
 * are in the first rank. */
GQA_MUST_USE
enum gqa_status gqa_trainer_share(struct gqa_trainer *trainer, bool moments);

/* n bytes to or from a weight or moment of it. */
GQA_MUST_USE
enum gqa_status gqa_trainer_read(struct gqa_trainer *trainer, void *host,
                                 const void *device, size_t n_bytes);
GQA_MUST_USE
enum gqa_status gqa_trainer_write(struct gqa_trainer *trainer, void *device,
                                  const void *host, size_t n_bytes);

#endif
