/* Configurations held against each other, by what they mean. */
#ifndef GQA_VERIFY_CONFIG_CHECK_H
#define GQA_VERIFY_CONFIG_CHECK_H

#include "verify/report.h"
#include "verify/subject.h"

/*
 * The configuration of a checkpoint against the one that lies beside it, those
 * of its shards and, where there is an original, that one's. Each thing that
 * decides what is computed, generated or loaded has to be the same, but for
 * the number of KV heads of an original, and a dtype that fits the tensors.
 *
 * check     of the configuration, filled in so far; where something differs
 *           it fails, and names what in its detail and, all of it, in its
 *           values.
 * subject   its model may be NULL: the configuration does not fit the tensors.
 * original  understood, or NULL.
 * n_found   receives how many things differ.
 * Errors GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_config_check(size_t *n_found, struct gqa_check *check,
                                 const struct gqa_subject *subject,
                                 const struct gqa_subject *original);

#endif
