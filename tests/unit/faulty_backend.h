/*
 * The CPU's backend, which counts, and gets wrong what it is told to: the
 * models that run on it are real ones (tiny_model.h).
 */
#ifndef GQA_TESTS_FAULTY_BACKEND_H
#define GQA_TESTS_FAULTY_BACKEND_H

#include "runtime/backend.h"

/* What is added; may change at any time. */
struct faults {
    double logit;    /* to logit 2 */
    double grouped;  /* to what causal attention with shared KV heads gives */
    double decoding; /* likewise, to any causal one that reads a cache */
    double layer;    /* to dimension 0 after the decoder's last block */
};

extern struct faults faults;
extern unsigned faulty_n_steps, faulty_n_open; /* of decoders; devices */

/* The backend, lent: without faults, and nothing counted. */
const struct gqa_backend *faulty_backend(void);

#endif
