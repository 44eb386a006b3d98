#include "runtime/experts.h"

#include <math.h>
#include <stdbool.h>

static bool is_among(uint64_t expert, const uint64_t *chosen, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (chosen[i] == expert)
            return true;
    return false;
}

/* The largest score of those that are not chosen yet. */
static uint64_t next_of(const double *scores, uint64_t n_experts,
                        const uint64_t *chosen, uint64_t n)
{
    uint64_t best = n_experts;

    for (uint64_t e = 0; e < n_experts; e++)
        if (!is_among(e, chosen, n) &&
            (best == n_experts || scores[e] > scores[best]))
            best = e;
    return best;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double largest(const double *x, uint64_t n)
{
    double most = x[0];

    for (uint64_t i = 1; i < n; i++)
        if (x[i] > most)
            most = x[i];
    return most;
}

/* What experts are chosen by. Without a correction logits are in the order of
 * their shares. */
static void score(double *scores, const double *logits,
                  const struct gqa_chooser *chooser)
{
    const struct gqa_experts *x = chooser->experts;
    const bool corrected = chooser->correction != NULL;
    const bool shares = corrected && x->choice == GQA_EXPERTS_SOFTMAX;
    const double most = shares ? largest(logits, x->n) : 0;
    double all = 0;

    for (uint64_t e = 0; shares && e < x->n; e++)
        all += exp(logits[e] - most);
    for (uint64_t e = 0; e < x->n; e++) {
        scores[e] = logits[e];
        if (shares)
            scores[e] = exp(logits[e] - most) / all;
        else if (x->choice == GQA_EXPERTS_SIGMOID)
            scores[e] = sigmoid(logits[e]);
        if (corrected)
            scores[e] += chooser->correction[e];
    }
}

/* What a group counts: its two best. */
static double two_best(const double *scores, uint64_t n)
{
    const uint64_t first = next_of(scores, n, NULL, 0);

    return scores[first] + scores[next_of(scores, n, &first, 1)];
}

/* Leave out those of groups that are not among the best. */
static void leave_groups(double *scores, const struct gqa_experts *x)
{
    const uint64_t size = x->n / x->n_groups;

    for (uint64_t left = x->n_groups; left > x->n_best; left--) {
        uint64_t worst = x->n_groups;
        double least = 0;

        /* Of equal groups the last goes. */
        for (uint64_t g = 0; g < x->n_groups; g++) {
            const double sum = two_best(scores + g * size, size);

            if (sum != -INFINITY && (worst == x->n_groups || sum <= least)) {
                worst = g;
                least = sum;
            }
        }
        for (uint64_t i = 0; worst < x->n_groups && i < size; i++)
            scores[worst * size + i] = -INFINITY;
    }
}

/* What a softmax of those that count has below it. */
static double shared_most(const uint64_t *chosen, const double *logits,
                          const struct gqa_experts *x)
{
    double most = logits[chosen[0]];

    for (uint64_t e = 0; e < x->n; e++)
        if ((!x->normalised || is_among(e, chosen, x->n_chosen)) &&
            logits[e] > most)
            most = logits[e];
    return most;
}

/* Shares of a softmax over all experts, or over those that are chosen. */
static void share(double *weights, const uint64_t *chosen, const double *logits,
                  const struct gqa_experts *x)
{
    const double most = shared_most(chosen, logits, x);
    double all = 0;

    for (uint64_t e = 0; e < x->n; e++)
        if (!x->normalised || is_among(e, chosen, x->n_chosen))
            all += exp(logits[e] - most);
    for (uint64_t i = 0; i < x->n_chosen; i++)
        weights[i] = exp(logits[chosen[i]] - most) / all;
}

/* What DeepSeek-V3 adds where weights are divided by their sum. */
static const double LEAST_SUM = 1e-20;

/* Each its sigmoid, or that of the sum of those that are chosen. */
static void share_sigmoids(double *weights, const uint64_t *chosen,
                           const double *logits, const struct gqa_experts *x)
{
    double sum = LEAST_SUM;

    for (uint64_t i = 0; i < x->n_chosen; i++)
        sum += weights[i] = sigmoid(logits[chosen[i]]);
    for (uint64_t i = 0; x->normalised && i < x->n_chosen; i++)
        weights[i] /= sum;
}

/*
 * Phi-MoE's: each of two by itself, its share of those that are not much
 * smaller; the second among what the first has left. Whether e is one of them.
 */
static bool shares_with(uint64_t e, uint64_t expert, const double *logits,
                        const uint64_t *before, uint64_t n_before,
                        const struct gqa_experts *x)
{
    const double most = logits[expert];
    const double factor = fmax(fabs(logits[e]), most);

    return !is_among(e, before, n_before) &&
           !((most - logits[e]) / factor > 2 * x->jitter);
}

static double sparse_share(const double *logits, uint64_t expert,
                           const uint64_t *before, uint64_t n_before,
                           const struct gqa_experts *x)
{
    double all = 0;

    for (uint64_t e = 0; e < x->n; e++)
        if (shares_with(e, expert, logits, before, n_before, x))
            all += exp(logits[e] - logits[expert]);
    return 1 / all;
}

void gqa_experts_choose(uint64_t *chosen, double *weights, const double *logits,
                        const struct gqa_chooser *chooser)
{
    const struct gqa_experts *experts = chooser->experts;
    double *scores = chooser->scores;

    score(scores, logits, chooser);
    if (experts->n_groups > 1)
        leave_groups(scores, experts);
    for (uint64_t i = 0; i < experts->n_chosen; i++) {
        chosen[i] = next_of(scores, experts->n, chosen, i);
        if (experts->choice == GQA_EXPERTS_SPARSEMIXER)
            weights[i] = sparse_share(logits, chosen[i], chosen, i, experts);
    }
    if (experts->choice == GQA_EXPERTS_SOFTMAX)
        share(weights, chosen, logits, experts);
    else if (experts->choice == GQA_EXPERTS_SIGMOID)
        share_sigmoids(weights, chosen, logits, experts);
    for (uint64_t i = 0; experts->scale != 0 && i < experts->n_chosen; i++)
        weights[i] *= experts->scale;
}

/* --- What logits are to blame for ----------------------------------------- */

/* Of shares of one softmax: of weights w_i by d_i, with e's share p_e,
 * d_e = w_e d_e - p_e (sum of w_i d_i). */
static void share_back(double *d_logits, const double *d_weights,
                       const uint64_t *chosen, const double *logits,
                       const struct gqa_experts *x)
{
    const double most = shared_most(chosen, logits, x);
    double all = 0, sum = 0;

    for (uint64_t e = 0; e < x->n; e++)
        if (!x->normalised || is_among(e, chosen, x->n_chosen))
            all += exp(logits[e] - most);
    for (uint64_t i = 0; i < x->n_chosen; i++) {
        const double d = exp(logits[chosen[i]] - most) / all * d_weights[i];

        d_logits[chosen[i]] += d;
        sum += d;
    }
    for (uint64_t e = 0; e < x->n; e++)
        if (!x->normalised || is_among(e, chosen, x->n_chosen))
            d_logits[e] -= exp(logits[e] - most) / all * sum;
}

/* Of sigmoids s_i, or those over their sum. */
static void sigmoids_back(double *d_logits, const double *d_weights,
                          const uint64_t *chosen, const double *logits,
                          const struct gqa_experts *x)
{
    double sum = LEAST_SUM, common = 0;

    for (uint64_t i = 0; i < x->n_chosen; i++)
        sum += sigmoid(logits[chosen[i]]);
    for (uint64_t i = 0; x->normalised && i < x->n_chosen; i++)
        common += d_weights[i] * sigmoid(logits[chosen[i]]) / sum;
    if (!x->normalised)
        sum = 1;
    for (uint64_t i = 0; i < x->n_chosen; i++) {
        const double s = sigmoid(logits[chosen[i]]);

        d_logits[chosen[i]] = (d_weights[i] - common) / sum * s * (1 - s);
    }
}

/* The i-th of a sparse mixer: a softmax by itself. */
static void sparse_back(double *d_logits, double d_weight,
                        const uint64_t *chosen, uint64_t i,
                        const double *logits, const struct gqa_experts *x)
{
    const double most = logits[chosen[i]];
    const double share = sparse_share(logits, chosen[i], chosen, i, x);

    for (uint64_t e = 0; e < x->n; e++)
        if (shares_with(e, chosen[i], logits, chosen, i, x))
            d_logits[e] -= share * share * exp(logits[e] - most) * d_weight;
    d_logits[chosen[i]] += share * d_weight;
}

void gqa_experts_choose_back(double *d_logits, const double *d_weights,
                             const uint64_t *chosen, const double *logits,
                             const struct gqa_experts *experts)
{
    for (uint64_t e = 0; e < experts->n; e++)
        d_logits[e] = 0;
    if (experts->choice == GQA_EXPERTS_SOFTMAX)
        share_back(d_logits, d_weights, chosen, logits, experts);
    else if (experts->choice == GQA_EXPERTS_SIGMOID)
        sigmoids_back(d_logits, d_weights, chosen, logits, experts);
    else
        for (uint64_t i = 0; i < experts->n_chosen; i++)
            sparse_back(d_logits, d_weights[i], chosen, i, logits, experts);
    for (uint64_t e = 0; experts->scale != 0 && e < experts->n; e++)
        d_logits[e] *= experts->scale;
}
