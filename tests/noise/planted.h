/*
 * A backend that is another one but for a fault that was planted in it, and
 * that can stand for a device in 16 bits where there is none: results of the
 * CPU's float32 operations are rounded then.
 */
#ifndef GQA_TESTS_NOISE_PLANTED_H
#define GQA_TESTS_NOISE_PLANTED_H

#include "runtime/backend.h"

enum planted_fault {
    PLANTED_NONE,
    PLANTED_ROPE,       /* queries behind others: turned by one position less */
    PLANTED_EPS,        /* of norms: 1e-3 */
    PLANTED_HEADS,      /* outputs of the first and the last head swapped */
    PLANTED_HEADS_ONCE, /* the same in the middle layer alone */
    PLANTED_MASK,       /* the last query of a sequence misses the first key */
    PLANTED_SCALE,      /* of scores: 10 % too large */
    PLANTED_STALE,      /* the key and value at position 5 are not stored */
    PLANTED_SUMS,       /* of products: as if added up in bfloat16 */
    PLANTED_TF32,       /* inputs of products rounded to 11 bits */
    PLANTED_TAIL,       /* the last 8 inputs of products dropped */
    PLANTED_ROW,        /* the last row of products is the one before it */
    PLANTED_WEIGHT,     /* an output of one product of the middle layer is 0 */
    PLANTED_ACTIVATION, /* tanh's GELU for SiLU */
    PLANTED_N,
};

extern const char *const planted_names[PLANTED_N];

/* What is wrong from now on. layers: how many the model has. */
void planted_set(enum planted_fault planted, unsigned layers);

/* Lent. rounded_to: BF16 or F16 to round an F32 inner device's results to, else
 * F32. */
const struct gqa_backend *planted_backend(const struct gqa_backend *of,
                                          enum gqa_dtype rounded_to);

#endif
