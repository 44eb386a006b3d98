#include "formats/model/experts_config.h"

#include <stdio.h>
#include <string.h>

#include "common/ull.h"

/* No model has as many. */
enum { MAX_EXPERTS = 4096 };

enum gqa_status gqa_experts_numbers(uint64_t *n, uint64_t *n_chosen,
                                    const struct gqa_experts_rule *rule,
                                    const json_t *config)
{
    enum gqa_status st;

    *n = *n_chosen = 0;
    if ((st = gqa_setting_count(n, &rule->n, config)) != GQA_OK ||
        (st = gqa_setting_count(n_chosen, &rule->chosen, config)) != GQA_OK ||
        (*n > 0 && *n <= MAX_EXPERTS && *n_chosen > 0 && *n_chosen <= *n))
        return st;
    return gqa_fail(GQA_ERR_FORMAT,
                    "configuration: %llu of %llu experts cannot be chosen "
                    "(at most %d are possible)",
                    ULL(*n_chosen), ULL(*n), MAX_EXPERTS);
}

enum gqa_status gqa_experts_groups(uint64_t *n_groups, uint64_t *n_best,
                                   const struct gqa_experts_rule *rule,
                                   const json_t *config)
{
    uint64_t n, n_chosen;
    enum gqa_status st;

    *n_groups = *n_best = 1;
    if ((st = gqa_experts_numbers(&n, &n_chosen, rule, config)) != GQA_OK ||
        (st = gqa_setting_count(n_groups, &rule->groups, config)) != GQA_OK ||
        (st = gqa_setting_count(n_best, &rule->groups_chosen, config)) !=
            GQA_OK ||
        *n_groups == 1)
        return st;
    /* What a group counts is what its two best do. */
    if (n % *n_groups == 0 && n / *n_groups >= 2 && *n_best <= *n_groups &&
        n_chosen <= *n_best * (n / *n_groups))
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "configuration: %llu experts cannot be chosen from %llu of "
                    "%llu groups of %llu experts",
                    ULL(n_chosen), ULL(*n_best), ULL(*n_groups), ULL(n));
}

const char *gqa_stacked_name(char *room, size_t size,
                             const struct gqa_experts_rule *rule,
                             const char *stem, bool is_bias)
{
    snprintf(room, size, "%s%s", stem,
             rule->bare ? (is_bias ? "_bias" : "")
             : is_bias  ? ".bias"
                        : ".weight");
    return room;
}

enum gqa_status gqa_shared_expert(const char **module, const char *names[3],
                                  const struct gqa_experts_rule *rule,
                                  const json_t *config)
{
    double n = 1;
    const enum gqa_status st = gqa_setting_number(&n, &rule->n_shared, config);

    *module = n > 0 ? rule->shared : NULL;
    names[GQA_FF_GATE] = rule->gate;
    names[GQA_FF_UP] = rule->up;
    names[GQA_FF_DOWN] = rule->down;
    if (rule->shared_names[GQA_FF_UP])
        memcpy(names, rule->shared_names, sizeof rule->shared_names);
    return st;
}
