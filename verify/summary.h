/* The end of a report: whether all that is exact is right, and, apart from
 * that, what the fidelity means. */
#ifndef GQA_VERIFY_SUMMARY_H
#define GQA_VERIFY_SUMMARY_H

#include "verify/report.h"

/*
 * How far a model is from its original, by mean KL and top-1 at once; the
 * yardstick is what quantisation does to an 8B model (docs/fidelity.md).
 */
enum gqa_nearness {
    GQA_NEAR_UNKNOWN, /* nothing was compared */
    GQA_NEAR_EQUAL,
    GQA_NEAR_ROUNDING,
    GQA_NEAR_8_BIT,
    GQA_NEAR_5_BIT,
    GQA_NEAR_3_BIT,
    GQA_NEAR_NOT, /* far */
};

struct gqa_summary {
    size_t n_exact, n_exact_failed;   /* checks with a verdict, of all groups
                                         but fidelity */
    size_t n_limits, n_limits_failed; /* likewise, of fidelity */
    enum gqa_nearness nearness;
    char exact[256];    /* "PASSED (12 checks)": a line for people */
    char fidelity[512]; /* likewise; empty where no model was run */
};

void gqa_summarise(struct gqa_summary *out, const struct gqa_report *report);

/* "8-bit": a stable word, or NULL for unknown. */
const char *gqa_nearness_name(enum gqa_nearness nearness);

enum { GQA_INCREASE_SIZE = 32 };

/* "x157". Returns buf. */
const char *gqa_say_factor(char buf[GQA_INCREASE_SIZE], double factor);

/* How perplexity grew: "+46.4 %", or from ten times on "x157". Returns buf. */
const char *gqa_say_increase(char buf[GQA_INCREASE_SIZE], double increase);

#endif
