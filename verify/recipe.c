#include "verify/recipe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/model/attentions.h"

/* The recipes of a checkpoint, oldest first: each has the one before inside. */
struct chain {
    const json_t *items[GQA_MAX_STEPS];
    uint64_t numbers[GQA_MAX_STEPS]; /* of each, from 1 */
    size_t n;
};

static void unroll(struct chain *chain, struct gqa_finding *finding,
                   const json_t *recipe)
{
    for (chain->n = 0; recipe; chain->n++) {
        if (chain->n == GQA_MAX_STEPS) {
            gqa_note(finding, "it tells of more than %d conversions",
                     GQA_MAX_STEPS);
            break;
        }
        memmove(chain->items + 1, chain->items,
                chain->n * sizeof *chain->items);
        chain->items[0] = recipe;
        recipe = json_object_get(json_object_get(recipe, "source"), "recipe");
    }
}

static const json_t *find_recorded(const json_t *recipe,
                                   const struct gqa_attention *a)
{
    const json_t *list = json_object_get(recipe, "attentions");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *stack = json_string_value(json_object_get(item, "stack"));
        const char *kind = json_string_value(json_object_get(item, "kind"));
        uint64_t layer;

        if (stack && kind && strcmp(stack, gqa_stack_name(a->stack)) == 0 &&
            strcmp(kind, gqa_attention_kind_name(a->kind)) == 0 &&
            gqa_json_u64(json_object_get(item, "layer"), &layer) &&
            layer == a->layer)
            return item;
    }
    return NULL;
}

/* KV heads of the attention before a conversion; 0: it does not say. */
static uint64_t recorded_source(const json_t *recipe,
                                const struct gqa_attention *a)
{
    uint64_t n = 0;

    return gqa_json_u64(
               json_object_get(find_recorded(recipe, a), "source_n_kv_heads"),
               &n)
               ? n
               : 0;
}

static bool starts_from(const json_t *recipe, const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (recorded_source(recipe, &model->attentions[i]) !=
            model->attentions[i].n_kv_heads)
            return false;
    return true;
}

/*
 * The first conversion of the chain that was made on the original: the one
 * after the original's own last, where it has one, else the oldest that starts
 * from as many heads. *is_whole: false where none does, and something else
 * was done before.
 */
static size_t find_start(bool *is_whole, const struct chain *chain,
                         const struct gqa_subject *original)
{
    *is_whole = true;
    for (size_t i = chain->n; i > 0 && original->recipe; i--)
        if (json_equal(chain->items[i - 1], original->recipe))
            return i;
    for (size_t i = 0; i < chain->n; i++)
        if (starts_from(chain->items[i], original->model))
            return i;
    *is_whole = false;
    return 0;
}

/* Steps that trained weights are told of, and taken out of the chain: no value
 * follows from them. */
static void take_trainings(struct gqa_recipe *r, struct chain *chain,
                           size_t start)
{
    size_t n = start;

    for (size_t i = 0; i < chain->n; i++)
        chain->numbers[i] = i + 1;
    for (size_t i = start; i < chain->n; i++) {
        const json_t *training = json_object_get(chain->items[i], "training");
        const json_t *trained = json_object_get(training, "trained");
        const json_t *digests = json_object_get(chain->items[i], "digests");

        if (!training) {
            chain->items[n] = chain->items[i];
            chain->numbers[n++] = chain->numbers[i];
        } else if (!json_is_array(trained)) {
            gqa_note(&r->finding, "it does not say what was trained");
        }
        r->n_trainings += training != NULL;
        r->recorded[r->n_recorded++] =
            (struct gqa_recorded){digests, trained, n - start};
    }
    chain->n = n;
}

bool gqa_recorded_is_trained(const struct gqa_recorded *recorded,
                             const char *param)
{
    for (size_t k = 0; k < json_array_size(recorded->trained); k++) {
        const char *name =
            json_string_value(json_array_get(recorded->trained, k));

        if (name && strcmp(name, param) == 0)
            return true;
    }
    return false;
}

bool gqa_recipe_is_trained(const struct gqa_recipe *r, const char *param)
{
    for (size_t i = 0; i < r->n_recorded; i++)
        if (gqa_recorded_is_trained(&r->recorded[i], param))
            return true;
    return false;
}

/* --- What a recipe says of all attentions --------------------------------- */

struct said {
    struct gqa_pool_step step;
    bool expanded;
};

static void read_said(struct said *out, struct gqa_recipe *r,
                      const json_t *recipe)
{
    static const char *const methods[] = {"mean", "first", "random"};
    static const struct {
        const char *name;
        enum gqa_dtype dtype;
    } dtypes[] = {{"f32", GQA_F32},
                  {"f16", GQA_F16},
                  {"bf16", GQA_BF16},
                  {"f64", GQA_F64}};
    const char *method = json_string_value(json_object_get(recipe, "method"));
    const char *dtype = json_string_value(json_object_get(recipe, "dtype"));
    const json_t *expanded = json_object_get(recipe, "expanded");
    bool is_known = dtype && strcmp(dtype, "keep") == 0;
    size_t pooling = 0;

    *out = (struct said){.step.keeps_dtype = true, .step.fitted = ""};
    while (pooling < 3 && method && strcmp(method, methods[pooling]) != 0)
        pooling++;
    out->step.is_aligned = method && strcmp(method, "aligned") == 0;
    out->step.transforms =
        json_object_get(json_object_get(recipe, "alignment"), "transforms");
    if (!method || (pooling == 3 && !out->step.is_aligned)) {
        gqa_note(&r->finding, "its method is none that is known");
        return;
    }
    r->method = out->step.is_aligned ? "aligned" : methods[pooling];
    if (!out->step.is_aligned)
        out->step.pooling = (enum gqa_pooling)pooling;
    if (pooling == GQA_POOL_RANDOM &&
        !gqa_json_u64(json_object_get(recipe, "seed"), &out->step.seed))
        gqa_note(&r->finding, "it has no seed");
    for (size_t i = 0; dtype && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtype, dtypes[i].name) == 0) {
            out->step.dtype = dtypes[i].dtype;
            out->step.keeps_dtype = false;
            is_known = true;
        }
    if (!is_known)
        gqa_note(&r->finding, "its dtype is none that is known");
    out->expanded = json_is_true(expanded);
    if (!json_is_boolean(expanded))
        gqa_note(&r->finding, "it does not say whether heads are expanded");
}

/* --- And of each ---------------------------------------------------------- */

/* Whether each of n heads is there once. */
static bool is_order(const json_t *heads, uint64_t n)
{
    bool seen[GQA_MAX_HEADS] = {false};

    if (n > GQA_MAX_HEADS || json_array_size(heads) != n)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t head;

        if (!gqa_json_u64(json_array_get(heads, (size_t)i), &head) ||
            head >= n || seen[head])
            return false;
        seen[head] = true;
    }
    return true;
}

/* What an aligned conversion says of the attention that `item` is of. */
static void read_alignment(struct gqa_pool_step *step, const json_t *recipe,
                           const json_t *item)
{
    const json_t *alignment = json_object_get(recipe, "alignment");
    const json_t *list = json_object_get(recipe, "attentions");
    const json_t *heads;
    size_t i = 0;

    while (i < json_array_size(list) && json_array_get(list, i) != item)
        i++;
    heads = json_array_get(json_object_get(alignment, "orders"), i);
    step->heads = json_is_array(heads) ? heads : NULL;
    step->is_transformed = step->is_aligned &&
                           (step->pooled < step->source ||
                            json_is_true(json_array_get(
                                json_object_get(alignment, "transformed"), i)));
    step->fitted = json_string_value(
        json_array_get(json_object_get(alignment, "fitted"), i));
    if (!step->fitted)
        step->fitted = "";
}

/* How many heads the step wrote of an attention: what came of it, where the
 * recipe leaves that open. */
static uint64_t heads_written(const struct said *said,
                              const struct gqa_pool_step *step,
                              const struct gqa_attention *a, uint64_t next)
{
    if (!said->expanded)
        return step->pooled;
    if (step->pooled == step->source && next == step->pooled)
        return step->pooled;
    return a->n_heads;
}

/* next: KV heads that the step after, or the tensors, start from. */
static bool read_step(struct gqa_pool_step *step, struct gqa_finding *finding,
                      const json_t *recipe, const struct said *said,
                      const struct gqa_attention *a, uint64_t next,
                      bool is_last)
{
    const char *label = gqa_attention_label(a->stack, a->kind, a->layer);
    const json_t *item = find_recorded(recipe, a);
    const json_t *said_heads = json_object_get(item, "n_heads");
    uint64_t n_heads = a->n_heads, source = 0, pooled = 0;

    *step = said->step;
    if (!item ||
        !gqa_json_u64(json_object_get(item, "source_n_kv_heads"), &source) ||
        !gqa_json_u64(json_object_get(item, "n_kv_heads"), &pooled) ||
        pooled == 0 || source == 0) {
        gqa_note(finding, "%s is not in the recipe", label);
        return false;
    }
    step->source = source;
    step->pooled = pooled;
    if (said_heads &&
        (!gqa_json_u64(said_heads, &n_heads) || n_heads != a->n_heads)) {
        gqa_note(finding,
                 "%s: the recipe says %" PRIu64 " query heads, there are "
                 "%" PRIu64,
                 label, n_heads, a->n_heads);
        return false;
    }
    if (step->source % step->pooled != 0 || a->n_heads % step->source != 0) {
        gqa_note(finding,
                 "%s: the recipe groups %" PRIu64 " KV heads into %" PRIu64
                 ", of %" PRIu64 " query heads",
                 label, step->source, step->pooled, a->n_heads);
        return false;
    }
    read_alignment(step, recipe, item);
    if (step->heads && !is_order(step->heads, step->source)) {
        gqa_note(finding,
                 "%s: the recipe's order of heads is none of %" PRIu64 " heads",
                 label, step->source);
        return false;
    }
    step->written = heads_written(said, step, a, next);
    if (step->written == next)
        return true;
    if (!is_last)
        gqa_note(finding,
                 "%s: one conversion of the recipe left %" PRIu64
                 " KV heads, the next one found %" PRIu64,
                 label, step->written, next);
    else if (said->expanded)
        gqa_note(finding,
                 "%s: the recipe says that its %" PRIu64
                 " KV heads are expanded to %" PRIu64 ", the tensors have "
                 "%" PRIu64,
                 label, step->pooled, step->written, next);
    else
        gqa_note(finding,
                 "%s: the recipe says %" PRIu64 " KV heads, the tensors have "
                 "%" PRIu64 "%s",
                 label, step->pooled, next,
                 next == step->source ? ": the attention was left ungrouped"
                                      : "");
    return false;
}

static bool read_attention(struct gqa_recipe *r, const struct chain *chain,
                           const struct said *said, size_t start,
                           const struct gqa_attention *a,
                           const struct gqa_attention *b,
                           struct gqa_pool_step *steps)
{
    uint64_t next = b->n_kv_heads;

    for (size_t i = r->n_steps; i > 0; i--) {
        if (!read_step(&steps[i - 1], &r->finding, chain->items[start + i - 1],
                       &said[i - 1], b, next, i == r->n_steps))
            return false;
        next = steps[i - 1].source;
    }
    if (next == a->n_kv_heads ||
        (!r->is_whole && next != 0 &&
         (a->n_kv_heads % next == 0 || next % a->n_kv_heads == 0)))
        return true;
    gqa_note(&r->finding,
             r->n_steps > 0
                 ? "%s: the recipe groups %" PRIu64 " KV heads, the original "
                   "has %" PRIu64 ": it is not what was converted"
                 : "%s: by its recipe nothing was done since the original, "
                   "but it has %" PRIu64 " KV heads of %" PRIu64,
             gqa_attention_label(a->stack, a->kind, a->layer), next,
             a->n_kv_heads);
    return false;
}

static void read_all(struct gqa_recipe *r, const struct chain *chain,
                     size_t start, struct said *said,
                     const struct gqa_subject *original,
                     const struct gqa_subject *converted)
{
    const struct gqa_model *a = original->model, *b = converted->model;
    bool any_expanded = false, says_expanded = false;

    for (size_t i = 0; i < r->n_steps; i++) {
        const json_t *recipe = chain->items[start + i];
        const size_t n = json_array_size(json_object_get(recipe, "attentions"));

        const json_t *freed = json_object_get(
            json_object_get(recipe, "alignment"), "freed_pairs");

        read_said(&said[i], r, recipe);
        if (json_is_array(json_object_get(freed, "divisors")))
            r->divisors = json_object_get(freed, "divisors");
        said[i].step.number = chain->numbers[start + i];
        if (n != b->n_attentions)
            gqa_note(&r->finding, "it lists %zu attentions, the model has %zu",
                     n, b->n_attentions);
        r->keeps[i] = (struct gqa_recorded_dtype){said[i].step.keeps_dtype,
                                                  said[i].step.dtype};
        if (!said[i].step.keeps_dtype)
            r->dtypes[r->n_dtypes++] = said[i].step.dtype;
    }
    for (size_t i = 0; i < b->n_attentions; i++) {
        struct gqa_pool_step *steps = r->steps + i * r->n_steps;

        r->fits[i] =
            r->method || r->n_steps == 0
                ? read_attention(r, chain, said, start, &a->attentions[i],
                                 &b->attentions[i], steps)
                : false;
        for (size_t k = 0; r->fits[i] && k < r->n_steps; k++)
            r->aligned[i] |= steps[k].is_aligned &&
                             (steps[k].is_transformed || steps[k].heads);
        any_expanded |= b->attentions[i].n_kv_heads == b->attentions[i].n_heads;
    }
    says_expanded = r->n_steps > 0 && said[r->n_steps - 1].expanded;
    if (says_expanded && !any_expanded)
        gqa_note(&r->finding,
                 "it says that heads are expanded, but no attention has as "
                 "many KV heads as query heads");
    if (!r->is_whole)
        gqa_note_more(&r->remark,
                      "how the KV heads of the original became those that the "
                      "recipe starts from is not recorded; each way is tried");
    else if (start > 0 && r->n_steps > 0 && original->recipe)
        gqa_note_more(&r->remark, "the conversions since the original's own");
}

enum gqa_status gqa_recipe_read(struct gqa_recipe *out,
                                const struct gqa_subject *original,
                                const struct gqa_subject *converted)
{
    const size_t n = converted->model->n_attentions;
    struct chain chain = {.n = 0};
    struct said *said;
    size_t start;

    memset(out, 0, sizeof *out);
    unroll(&chain, &out->finding, converted->recipe);
    start = find_start(&out->is_whole, &chain, original);
    out->n_before = start;
    take_trainings(out, &chain, start);
    out->n_steps = chain.n - start;
    out->steps = calloc(n * out->n_steps + 1, sizeof *out->steps);
    out->fits = calloc(n + 1, sizeof *out->fits);
    out->aligned = calloc(n + 1, sizeof *out->aligned);
    said = calloc(out->n_steps + 1, sizeof *said);
    if (!out->steps || !out->fits || !out->aligned || !said) {
        free(said);
        return gqa_fail_nomem();
    }
    read_all(out, &chain, start, said, original, converted);
    free(said);
    return GQA_OK;
}

void gqa_recipe_free(struct gqa_recipe *recipe)
{
    free(recipe->steps);
    free(recipe->fits);
    free(recipe->aligned);
    memset(recipe, 0, sizeof *recipe);
}

static bool changes_nothing(const struct gqa_pool_step *step)
{
    return step->source == step->pooled && step->source == step->written &&
           step->keeps_dtype;
}

struct gqa_hypothesis gqa_recipe_hypothesis(const struct gqa_recipe *recipe,
                                            size_t i, uint64_t source)
{
    const struct gqa_pool_step *steps = recipe->steps + i * recipe->n_steps;
    struct gqa_hypothesis h = {.pooled = source, .keeps_dtype = true};
    size_t n = recipe->n_steps;

    while (n > 0 && changes_nothing(steps)) {
        steps++;
        n--;
    }
    while (n > 0 && changes_nothing(&steps[n - 1]))
        n--;
    if (n > 0 && recipe->is_whole) {
        h.pooling = steps->pooling;
        h.pooled = steps->pooled;
        h.seed = steps->seed;
        h.keeps_dtype = steps->keeps_dtype;
        h.dtype = steps->dtype;
        steps++;
        n--;
    }
    h.then = steps;
    h.n_then = n;
    return h;
}
