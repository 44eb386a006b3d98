/* A fixture of tests/data with all, or some, of its parameters trained, and a
 * batch for it. */
#ifndef GQA_TESTS_UNIT_TRAINED_MODEL_H
#define GQA_TESTS_UNIT_TRAINED_MODEL_H

#include "runtime/back/masters.h"
#include "runtime/back/tape.h"
#include "runtime/runtime.h"

struct trained_model {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_network *network;
    struct gqa_device *device;
    struct gqa_runtime *runtime;
    bool *trained; /* by parameter */
    struct gqa_masters *masters;
    struct gqa_tape *tape;
};

/* Which parameters a test trains; NULL: all that are used. */
typedef bool trained_choice(const struct gqa_param *param);

void trained_open(struct trained_model *m, const char *fixture,
                  enum gqa_dtype real, unsigned n_threads,
                  trained_choice *choice);
void trained_close(struct trained_model *m);

/* The tape anew, with other room to keep what is made. */
void trained_tape(struct trained_model *m,
                  const struct gqa_tape_options *options);

enum { BATCH_SEQUENCES = 3, BATCH_LENGTH = 11, BATCH_INPUT = 9 };

/* Sequences of different lengths, padded; always the same. Lent. */
const struct gqa_tape_batch *trained_batch(const struct trained_model *m);

/* Options with room for it that trains what the model does. */
struct gqa_tape_options trained_options(const struct trained_model *m);

#endif
