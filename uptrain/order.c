#include "uptrain/order.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/random.h"

void gqa_order_init(struct gqa_order *order, uint64_t key, uint64_t n)
{
    *order = (struct gqa_order){.key = key, .n = n};
}

void gqa_order_clear(struct gqa_order *order)
{
    free(order->places);
    order->places = NULL;
}

/* Fisher and Yates. */
static void shuffle(struct gqa_order *o, uint64_t epoch)
{
    const uint64_t key = gqa_random_key(o->key, "epoch", epoch);

    for (uint64_t i = 0; i < o->n; i++)
        o->places[i] = i;
    for (uint64_t i = o->n; i > 1; i--) {
        const uint64_t k =
            (uint64_t)(gqa_random_uniform(key, i) * (double)i) % i;
        const uint64_t kept = o->places[i - 1];

        o->places[i - 1] = o->places[k];
        o->places[k] = kept;
    }
    o->epoch = epoch;
}

enum gqa_status gqa_order_at(uint64_t *out, struct gqa_order *o, uint64_t k)
{
    const uint64_t epoch = k / o->n;
    const bool is_new = !o->places;

    if (is_new && !(o->places = calloc(o->n, sizeof *o->places)))
        return gqa_fail_nomem();
    if (is_new || o->epoch != epoch)
        shuffle(o, epoch);
    *out = o->places[k % o->n];
    return GQA_OK;
}

size_t gqa_order_choose(uint64_t key, uint64_t k, const double *shares,
                        size_t n)
{
    double all = 0, left;

    for (size_t i = 0; i < n; i++)
        all += shares[i];
    left = all * gqa_random_uniform(key, k);
    for (size_t i = 0; i + 1 < n; i++)
        if ((left -= shares[i]) < 0)
            return i;
    return n - 1;
}
