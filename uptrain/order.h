/* Which sequence comes when: of seed and place alone, so that a run that is
 * taken up again sees what it would have seen. */
#ifndef GQA_UPTRAIN_ORDER_H
#define GQA_UPTRAIN_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* n things, shuffled anew each time all have been seen. */
struct gqa_order {
    uint64_t key, n;
    uint64_t epoch;   /* that `places` is of */
    uint64_t *places; /* [n], owned; NULL: of none yet */
};

/* End it with gqa_order_clear(). */
void gqa_order_init(struct gqa_order *order, uint64_t key, uint64_t n);
void gqa_order_clear(struct gqa_order *order);

/* Which of them is the k-th seen, from 0. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_order_at(uint64_t *out, struct gqa_order *order,
                             uint64_t k);

/* Which of n things of these shares is the k-th; each is below n. */
size_t gqa_order_choose(uint64_t key, uint64_t k, const double *shares,
                        size_t n);

#endif
