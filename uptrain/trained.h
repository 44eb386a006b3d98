/* Which parameters of a model are trained. */
#ifndef GQA_UPTRAIN_TRAINED_H
#define GQA_UPTRAIN_TRAINED_H

#include "formats/model/network.h"

/* What is known of the student's parameters, [n_params] each. */
struct gqa_trained_facts {
    const struct gqa_network *network;
    const bool *used;    /* the network computes with it */
    const bool *differs; /* from the teacher's */
};

/*
 * Mark what `text` names, a list apart by commas: "attention" (queries, keys,
 * values and outputs of every attention in which any of them differs from the
 * teacher's), "all", or patterns of names ("*.mlp.*").
 *
 * trained  [n_params], set.
 * Errors   GQA_ERR_USAGE: a part names nothing; GQA_ERR_UNSUPPORTED: a
 *          parameter that is no matrix of floats of 16 bits or more.
 */
GQA_MUST_USE
enum gqa_status gqa_trained_mark(bool *trained, const char *text,
                                 const struct gqa_trained_facts *facts);

#endif
