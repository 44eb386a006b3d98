/*
 * A Llama whose keys and values a test fills in, as a subject of gqa-verify:
 * four query heads of size 4, width 2.
 */
#ifndef GQA_TESTS_PLAIN_MODEL_H
#define GQA_TESTS_PLAIN_MODEL_H

#include "verify/subject.h"

enum {
    PLAIN_HEADS = 4,
    PLAIN_DIM = 4,
    PLAIN_WIDTH = 2,
    PLAIN_HEAD = PLAIN_DIM * PLAIN_WIDTH, /* elements of a head */
    PLAIN_LAYERS = 2,                     /* at most */
};

struct plain_model {
    enum gqa_dtype dtype;
    size_t n_layers, n_kv_heads;
    double k[PLAIN_LAYERS][PLAIN_HEADS][PLAIN_HEAD];
    double v[PLAIN_LAYERS][PLAIN_HEADS][PLAIN_HEAD];
    double norm;       /* all of the final norm */
    bool without_norm; /* and no such tensor */
};

/* Four KV heads of F32 in one layer; element e of head h is 16 h + e, of
 * values the negative; the norm is 1. */
struct plain_model plain_multi_head(void);

/* KV head h of it: the mean of heads 2 h and 2 h + 1. */
struct plain_model plain_grouped(void);

/* Needs scratch.h's folder; end it with gqa_subject_close(). */
void plain_model_open(struct gqa_subject *out, const char *name,
                      const struct plain_model *model);

#endif
