#include "runtime/measure/fidelity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"

/* Sums over the tokens that follow, whose last bits depend on the order:
 * kept for each sequence, they depend on no order of sequences. */
struct sums {
    uint64_t n_positions;
    double kl;
    uint64_t n; /* with a token that follows */
    double log_likelihood[GQA_N_MODELS];
    /* Of the differences: running mean and sum of squares about it. */
    double mean, squares;
};

struct gqa_fidelity {
    uint64_t vocab_size, max_positions;
    double *kl; /* [n_positions of result] */
    uint64_t n_same;
    struct gqa_fidelity_result result;
    struct sums *sums; /* [n_sequences] */
    uint64_t n_sequences;
};

enum gqa_status gqa_fidelity_create(struct gqa_fidelity **out,
                                    uint64_t vocab_size, uint64_t n_sequences,
                                    uint64_t max_positions)
{
    struct gqa_fidelity *f = calloc(1, sizeof *f);
    uint64_t n_bytes;

    if (!f)
        return gqa_fail_nomem();
    if (gqa_mul_u64(max_positions ? max_positions : 1, sizeof *f->kl,
                    &n_bytes) &&
        n_bytes <= SIZE_MAX)
        f->kl = malloc(n_bytes);
    f->sums = calloc(n_sequences ? n_sequences : 1, sizeof *f->sums);
    if (!f->kl || !f->sums) {
        gqa_fidelity_free(f);
        return gqa_fail_nomem();
    }
    f->n_sequences = n_sequences;
    f->vocab_size = vocab_size;
    f->max_positions = max_positions;
    *out = f;
    return GQA_OK;
}

void gqa_fidelity_free(struct gqa_fidelity *f)
{
    if (!f)
        return;
    free(f->kl);
    free(f->sums);
    free(f);
}

/* Index of the largest (the first of equals), or n where one is not finite. */
static uint64_t largest(const double *x, uint64_t n)
{
    uint64_t best = 0;

    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return n;
        if (x[i] > x[best])
            best = i;
    }
    return best;
}

/* ln of the sum of exp(x), x_max being the largest. */
static double log_sum(const double *x, uint64_t n, double x_max)
{
    double sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += exp(x[i] - x_max);
    /* cppcheck-suppress invalidFunctionArg ; n is not 0, so sum is not */
    return x_max + log(sum);
}

static double divergence(const double *p, double p_log_sum, const double *q,
                         double q_log_sum, uint64_t n)
{
    double kl = 0;

    for (uint64_t i = 0; i < n; i++) {
        const double log_p = p[i] - p_log_sum, share = exp(log_p);

        /* What p never says may be at minus infinity in both. */
        if (share > 0)
            kl += share * (log_p - (q[i] - q_log_sum));
    }
    /* Never negative but by rounding. */
    return kl < 0 ? 0 : kl;
}

/* Welford's update of mean and variance. */
static void add_difference(struct sums *s, double d)
{
    const double before = d - s->mean;

    s->mean += before / (double)s->n;
    s->squares += before * (d - s->mean);
}

/* Chan's, of two parts. */
static void add_sums(struct sums *s, const struct sums *more)
{
    const double n = (double)s->n + (double)more->n;
    const double between = more->mean - s->mean;

    if (more->n == 0)
        return;
    s->squares += more->squares +
                  between * between * ((double)s->n * (double)more->n / n);
    s->mean += between * ((double)more->n / n);
    for (int m = 0; m < GQA_N_MODELS; m++)
        s->log_likelihood[m] += more->log_likelihood[m];
    s->n += more->n;
}

static bool is_before(struct gqa_place a, struct gqa_place b)
{
    return a.sequence != b.sequence ? a.sequence < b.sequence
                                    : a.position < b.position;
}

void gqa_compare_logits(struct gqa_logit_comparison *out,
                        const double *original, const double *converted,
                        uint64_t vocab_size, int32_t next)
{
    const double *logits[GQA_N_MODELS] = {original, converted};
    const uint64_t n = vocab_size;
    uint64_t top[GQA_N_MODELS];
    double sums[GQA_N_MODELS];

    *out = (struct gqa_logit_comparison){.kl = 0};
    for (int m = 0; m < GQA_N_MODELS; m++) {
        top[m] = largest(logits[m], n);
        out->is_finite[m] = top[m] != n;
    }
    if (top[0] == n || top[1] == n)
        return;
    for (int m = 0; m < GQA_N_MODELS; m++)
        sums[m] = log_sum(logits[m], n, logits[m][top[m]]);
    out->kl = divergence(original, sums[0], converted, sums[1], n);
    out->same = top[0] == top[1];
    for (int m = 0; m < GQA_N_MODELS && next >= 0; m++)
        out->log_likelihood[m] = logits[m][next] - sums[m];
}

void gqa_fidelity_add(struct gqa_fidelity *f, const double *original,
                      const double *converted, int32_t next,
                      struct gqa_place place)
{
    struct gqa_logit_comparison c;

    gqa_compare_logits(&c, original, converted, f->vocab_size, next);
    gqa_fidelity_add_compared(f, &c, next != GQA_NO_TOKEN, place);
}

void gqa_fidelity_add_compared(struct gqa_fidelity *f,
                               const struct gqa_logit_comparison *c,
                               bool has_next, struct gqa_place place)
{
    struct gqa_fidelity_result *r = &f->result;
    struct sums *s = &f->sums[place.sequence];

    for (int m = 0; m < GQA_N_MODELS; m++)
        if (!c->is_finite[m] && (r->n_nonfinite[m]++ == 0 ||
                                 is_before(place, r->first_nonfinite[m])))
            r->first_nonfinite[m] = place;
    if (!c->is_finite[0] || !c->is_finite[1] ||
        r->n_positions == f->max_positions)
        return;
    if (r->n_positions == 0 || c->kl > r->kl_max ||
        (c->kl == r->kl_max && is_before(place, r->kl_max_at))) {
        r->kl_max = c->kl;
        r->kl_max_at = place;
    }
    f->kl[r->n_positions++] = c->kl;
    f->n_same += c->same != 0;
    s->n_positions++;
    s->kl += c->kl;
    if (!has_next)
        return;
    for (int m = 0; m < GQA_N_MODELS; m++)
        s->log_likelihood[m] += c->log_likelihood[m];
    s->n++;
    add_difference(s, c->log_likelihood[0] - c->log_likelihood[1]);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* sorted: n >= 1 values; per_mille of them do not pass the result. */
static double percentile(const double *sorted, uint64_t n, uint64_t per_mille)
{
    /* ceil(n * per_mille / 1000), without overflow */
    const uint64_t rank =
        n / 1000 * per_mille + (n % 1000 * per_mille + 999) / 1000;

    return sorted[rank > 0 ? rank - 1 : 0];
}

/* The sequence whose mean is largest, the first of equals. */
static void find_worst(const struct gqa_fidelity *f,
                       struct gqa_fidelity_result *out)
{
    for (uint64_t i = 0; i < f->n_sequences; i++) {
        const struct sums *s = &f->sums[i];

        if (s->n_positions == 0 ||
            s->kl / (double)s->n_positions <= out->kl_worst)
            continue;
        out->kl_worst = s->kl / (double)s->n_positions;
        out->kl_worst_sequence = i;
    }
}

uint64_t gqa_fidelity_nonfinite(const struct gqa_fidelity *f, int model)
{
    return f->result.n_nonfinite[model];
}

void gqa_fidelity_finish(struct gqa_fidelity *f,
                         struct gqa_fidelity_result *out)
{
    struct gqa_fidelity_result *r = &f->result;
    const uint64_t n = r->n_positions;
    struct sums all = {.n = 0};
    double sum = 0;

    for (uint64_t i = 0; i < f->n_sequences; i++)
        add_sums(&all, &f->sums[i]);
    r->n_next = all.n;
    if (n > 0) {
        qsort(f->kl, n, sizeof *f->kl, by_value);
        /* Smallest first: least is lost. */
        for (uint64_t i = 0; i < n; i++)
            sum += f->kl[i];
        r->kl_mean = sum / (double)n;
        r->kl_p50 = percentile(f->kl, n, 500);
        r->kl_p99 = percentile(f->kl, n, 990);
        r->kl_p999 = percentile(f->kl, n, 999);
        r->top1 = (double)f->n_same / (double)n;
        find_worst(f, r);
    }
    if (r->n_next > 0) {
        const double n_next = (double)r->n_next;

        for (int m = 0; m < GQA_N_MODELS; m++)
            r->perplexity[m] = exp(-all.log_likelihood[m] / n_next);
        r->log_difference = all.mean;
        if (r->n_next > 1)
            r->log_difference_error = sqrt(all.squares / (n_next - 1) / n_next);
        r->perplexity_increase = expm1(all.mean);
        r->perplexity_increase_error = exp(all.mean) * r->log_difference_error;
    }
    *out = *r;
}

void gqa_drift_add(struct gqa_drift *drift, const double *original,
                   const double *converted, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const double d = converted[i] - original[i];

        if (!isfinite(original[i]) || !isfinite(converted[i])) {
            drift->n_nonfinite++;
            continue;
        }
        drift->squared_distance += d * d;
        drift->squared_norm += original[i] * original[i];
    }
}

void gqa_drift_merge(struct gqa_drift *drift, const struct gqa_drift *more)
{
    drift->squared_distance += more->squared_distance;
    drift->squared_norm += more->squared_norm;
    drift->n_nonfinite += more->n_nonfinite;
}

double gqa_drift_relative(const struct gqa_drift *drift)
{
    if (drift->n_nonfinite > 0)
        return (double)NAN;
    if (drift->squared_distance == 0)
        return 0;
    return sqrt(drift->squared_distance / drift->squared_norm);
}

size_t gqa_drift_worst(const struct gqa_drift *layers, size_t n)
{
    double before = 0, most = -INFINITY;
    size_t worst = 0;

    for (size_t i = 0; i < n; i++) {
        const double now = gqa_drift_relative(&layers[i]);

        if (now - before > most) {
            most = now - before;
            worst = i;
        }
        before = now;
    }
    return worst;
}

const struct gqa_budget gqa_budget_none = {-1, -1, -1, -1, -1};

bool gqa_budget_profile(struct gqa_budget *out, const char *name)
{
    static const struct {
        const char *name;
        struct gqa_budget budget;
    } profiles[] = {
        {"strict", {1e-10, 1e-9, 0.9999, 1e-5, -1}},
        {"uptrained", {0.9, -1, 0.55, 1.35, -1}},
        {"initialiser", {-1, -1, -1, -1, 1.25}},
    };

    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        if (strcmp(profiles[i].name, name) == 0) {
            *out = profiles[i].budget;
            return true;
        }
    return false;
}
