#include "verify/claims.h"

#include <math.h>
#include <stdlib.h>

#include "verify/recipe.h"

/* One for each pair, or none. */
static enum gqa_status read_divisors(struct gqa_claims *out, const json_t *list)
{
    const size_t n = json_array_size(list);

    if (n == 0)
        return GQA_OK;
    out->divisors = calloc(n, sizeof *out->divisors);
    if (!out->divisors)
        return gqa_fail_nomem();
    out->n_pairs = n;
    for (size_t i = 0; i < n; i++) {
        const double x = json_number_value(json_array_get(list, i));

        if (isfinite(x) && x > 0)
            out->divisors[i] = x;
        else
            out->n_pairs = 0; /* config_check.c says what is wrong */
    }
    if (out->n_pairs == 0) {
        free(out->divisors);
        out->divisors = NULL;
    }
    return GQA_OK;
}

/* Whether what its transforms made was float64 from then on. */
static bool stays_float64(const struct gqa_pool_step *steps, size_t n,
                          enum gqa_dtype original)
{
    enum gqa_dtype dtype = original;
    bool transformed = false;

    for (size_t k = 0; k < n; k++) {
        dtype = steps[k].keeps_dtype ? dtype : steps[k].dtype;
        transformed = transformed || steps[k].is_transformed;
        if (transformed && dtype != GQA_F64)
            return false;
    }
    return true;
}

static void read_attentions(struct gqa_claims *out,
                            const struct gqa_recipe *recipe,
                            const struct gqa_model *original,
                            const struct gqa_model *converted)
{
    bool none_share = recipe->is_whole, any = false;

    out->in_float64 = true;
    for (size_t i = 0; i < converted->n_attentions; i++) {
        const struct gqa_attention *a = &original->attentions[i];
        const bool fewer = converted->attentions[i].n_kv_heads < a->n_kv_heads;

        none_share = none_share && recipe->fits[i];
        for (size_t k = 0; recipe->fits[i] && k < recipe->n_steps; k++) {
            const struct gqa_pool_step *step =
                &recipe->steps[i * recipe->n_steps + k];
            const bool shares = step->pooled < step->source;

            any = any || step->is_transformed;
            out->is_aligned |= step->is_transformed && fewer;
            none_share = none_share && !shares && !step->fitted[0];
        }
        out->in_float64 =
            out->in_float64 && recipe->fits[i] &&
            stays_float64(recipe->steps + i * recipe->n_steps, recipe->n_steps,
                          original->params[a->q.weight].dtype);
    }
    out->same_function = any && none_share;
}

enum gqa_status gqa_claims_read(struct gqa_claims *out,
                                const struct gqa_subject *original,
                                const struct gqa_subject *converted)
{
    struct gqa_recipe recipe;
    enum gqa_status st;

    *out = (struct gqa_claims){0};
    if (!converted->recipe || !original->model ||
        original->model->n_attentions != converted->model->n_attentions)
        return GQA_OK;
    st = gqa_recipe_read(&recipe, original, converted);
    if (st == GQA_OK) {
        read_attentions(out, &recipe, original->model, converted->model);
        st = read_divisors(out, recipe.divisors);
    }
    gqa_recipe_free(&recipe);
    return st;
}

void gqa_claims_clear(struct gqa_claims *claims)
{
    free(claims->divisors);
    *claims = (struct gqa_claims){0};
}
