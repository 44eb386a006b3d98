/*
 * A recorded recipe: any JSON, for a model that was converted. What it makes
 * gqa-verify replay must be steps that can be done, or a finding.
 */
#include <stdlib.h>

#include "common/json.h"
#include "common/log.h"
#include "fuzz.h"
#include "verify/digests.h"
#include "verify/recipe.h"

static struct gqa_subject original, converted;
static struct gqa_pairing pairing;

static void open_subject(struct gqa_subject *subject, const char *path)
{
    const struct gqa_model_hints hints = {0};

    if (gqa_subject_open(subject, path, &(struct gqa_checkpoint_options){0}) !=
            GQA_OK ||
        gqa_subject_understand(subject, &hints) != GQA_OK)
        abort();
}

static void close_subjects(void)
{
    gqa_pairing_free(&pairing);
    gqa_subject_close(&original);
    gqa_subject_close(&converted);
}

static void check(const struct gqa_recipe *recipe)
{
    if (recipe->n_steps > GQA_MAX_STEPS || recipe->n_dtypes > GQA_MAX_STEPS)
        abort();
    for (size_t i = 0; i < converted.model->n_attentions; i++) {
        const struct gqa_attention *a = &converted.model->attentions[i];

        if (!recipe->fits[i])
            continue;
        for (size_t j = 0; j < recipe->n_steps; j++) {
            const struct gqa_pool_step *step =
                &recipe->steps[i * recipe->n_steps + j];

            if (step->pooled == 0 || step->source % step->pooled != 0 ||
                step->written == 0 || a->n_heads % step->written != 0)
                abort();
        }
        (void)gqa_recipe_hypothesis(recipe, i,
                                    original.model->attentions[i].n_kv_heads);
    }
}

/* Of one tensor: it is right, wrong, or cannot be told, and is then no finding.
 */
static void check_digest(const struct gqa_recipe *recipe, size_t param)
{
    struct gqa_digested digested;

    if (gqa_digest_check(
            &digested, &(const struct gqa_digest_pair){.original = &original,
                                                       .converted = &converted,
                                                       .pairing = &pairing,
                                                       .recipe = recipe,
                                                       .param = param}) !=
            GQA_OK ||
        (digested.verdict == GQA_DIGEST_WRONG) != (*digested.finding.text != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_recipe recipe = {0};

    if (!original.checkpoint) {
        gqa_log_init("fuzz", GQA_LOG_ERROR);
        open_subject(&original, GQA_DATA "/good/llama-grouped");
        for (size_t i = 0; i < original.model->n_attentions; i++)
            original.model->attentions[i].n_kv_heads =
                original.model->attentions[i].n_heads;
        open_subject(&converted, GQA_DATA "/good/llama-grouped");
        if (gqa_pairing_make(&pairing, &original, &converted) != GQA_OK)
            abort();
        atexit(close_subjects);
    }
    json_decref(converted.recipe);
    converted.recipe = NULL;
    if (gqa_json_parse(&converted.recipe, (const char *)data, size, "recipe") !=
        GQA_OK)
        return 0;
    if (gqa_recipe_read(&recipe, &original, &converted) == GQA_OK &&
        !*recipe.finding.text) {
        check(&recipe);
        for (size_t i = 0; i < converted.model->n_params; i++)
            check_digest(&recipe, i);
    }
    gqa_recipe_free(&recipe);
    return 0;
}
