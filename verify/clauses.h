/* What differs, said in the detail of a check: clauses, as many as fit. */
#ifndef GQA_VERIFY_CLAUSES_H
#define GQA_VERIFY_CLAUSES_H

#include <stdbool.h>

#include "verify/report.h"

enum { GQA_CLAUSE_MAX = 512 };

/* Whether there was room for it, and for gqa_clause_end(). */
bool gqa_clause_add(struct gqa_check *check, const char *clause);

/* "; and N more", where N is above 0. */
void gqa_clause_end(struct gqa_check *check, size_t n_more);

/* Where the first and the second value stand: "the original", "here". */
struct gqa_clause_words {
    const char *in, *here;
};

/* A difference of gqa_meaning_compare():
 * "rope_theta: 10000 in the original, 500000 here". */
void gqa_clause_of(char out[GQA_CLAUSE_MAX], const json_t *difference,
                   const struct gqa_clause_words *words);

/* The same for programs: {"key", NAME, "converted"}, where the first value
 * goes by a name. The caller owns it. */
json_t *gqa_clause_json(const json_t *difference, const char *first_name);

#endif
