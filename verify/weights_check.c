#include "verify/weights_check.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/workers.h"
#include "formats/families/family.h"
#include "formats/model/attentions.h"
#include "verify/heads_check.h"

enum { MAX_THREADS = 16 };

struct comparison {
    const struct gqa_subject *original, *converted;
    size_t *partner;               /* [n_params] of converted: in original */
    bool *is_kv;                   /* [n_params] of converted */
    struct gqa_finding *params;    /* [n_params]: unchanged ones */
    struct gqa_heads_check *heads; /* [n_attentions] */
    struct gqa_finding names;      /* of the check "parameters" */
    struct gqa_finding recipe;     /* of the check "recipe" */
    enum gqa_dtype dtype;          /* by the recipe, where is_converted */
    bool is_converted;
    const char *method; /* by the recipe, or NULL */
    atomic_size_t next; /* attentions first, then parameters */
};

static void note(struct gqa_finding *finding, const char *fmt, ...)
    GQA_PRINTF(2, 3);

/* Keep the first finding. */
static void note(struct gqa_finding *finding, const char *fmt, ...)
{
    va_list ap;

    if (finding->text[0] != '\0')
        return;
    va_start(ap, fmt);
    vsnprintf(finding->text, sizeof finding->text, fmt, ap);
    va_end(ap);
}

/* --- One model? ----------------------------------------------------------- */

static enum gqa_status compare_number(const struct comparison *c,
                                      const char *what, uint64_t a, uint64_t b)
{
    if (a == b)
        return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: not made from %s: %s is %" PRIu64 " here and %" PRIu64
                    " there",
                    gqa_checkpoint_path(c->converted->checkpoint),
                    gqa_checkpoint_path(c->original->checkpoint), what, b, a);
}

static enum gqa_status compare_attentions(const struct comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    enum gqa_status st = compare_number(c, "the number of attentions",
                                        a->n_attentions, b->n_attentions);

    for (size_t i = 0; i < a->n_attentions && st == GQA_OK; i++) {
        const struct gqa_attention *x = &a->attentions[i];
        const struct gqa_attention *y = &b->attentions[i];

        st = compare_number(c, "the number of query heads", x->n_heads,
                            y->n_heads);
        if (st == GQA_OK)
            st = compare_number(c, "the size of a head", x->head_dim,
                                y->head_dim);
        if (st == GQA_OK &&
            (x->stack != y->stack || x->kind != y->kind ||
             x->layer != y->layer || x->layout != y->layout ||
             !gqa_dtype_is_float(a->params[x->k.weight].dtype) ||
             !gqa_dtype_is_float(b->params[y->k.weight].dtype)))
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "%s: the attentions cannot be compared with those "
                          "of %s",
                          gqa_checkpoint_path(c->converted->checkpoint),
                          gqa_checkpoint_path(c->original->checkpoint));
    }
    return st;
}

static enum gqa_status compare_models(const struct comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    enum gqa_status st;

    if (strcmp(gqa_family_name(a->family), gqa_family_name(b->family)) != 0)
        return gqa_fail(GQA_ERR_USAGE, "%s: a %s, while %s is a %s",
                        gqa_checkpoint_path(c->converted->checkpoint),
                        gqa_family_name(b->family),
                        gqa_checkpoint_path(c->original->checkpoint),
                        gqa_family_name(a->family));
    st = compare_number(c, "the number of layers", a->n_layers, b->n_layers);
    if (st == GQA_OK)
        st = compare_number(c, "the number of decoder layers",
                            a->n_decoder_layers, b->n_decoder_layers);
    if (st == GQA_OK)
        st = compare_number(c, "d_model", a->d_model, b->d_model);
    if (st == GQA_OK)
        st = compare_number(c, "the vocabulary", a->vocab_size, b->vocab_size);
    return st == GQA_OK ? compare_attentions(c) : st;
}

/* --- Recipe --------------------------------------------------------------- */

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

static void read_attention(struct comparison *c, size_t i,
                           enum gqa_pooling pooling, uint64_t seed)
{
    const json_t *recipe = c->converted->recipe;
    const struct gqa_attention *a = &c->original->model->attentions[i];
    const struct gqa_attention *b = &c->converted->model->attentions[i];
    const json_t *item = find_recorded(recipe, a);
    const bool expanded = json_is_true(json_object_get(recipe, "expanded"));
    const char *label = gqa_attention_label(a->stack, a->kind, a->layer);
    uint64_t source, n;

    if (!item ||
        !gqa_json_u64(json_object_get(item, "source_n_kv_heads"), &source) ||
        !gqa_json_u64(json_object_get(item, "n_kv_heads"), &n) || n == 0)
        note(&c->recipe, "%s is not in the recipe", label);
    else if (source != a->n_kv_heads || a->n_kv_heads % n != 0)
        note(&c->recipe,
             "%s: the recipe groups %" PRIu64 " KV heads into %" PRIu64
             ", the original has %" PRIu64 ": it is not what was converted",
             label, source, n, a->n_kv_heads);
    else if (b->n_kv_heads % n != 0 || (!expanded && b->n_kv_heads != n))
        note(&c->recipe,
             "%s: the recipe says %" PRIu64 " KV heads, the tensors have "
             "%" PRIu64 "%s",
             label, n, b->n_kv_heads,
             b->n_kv_heads == source ? ": the attention was left ungrouped"
                                     : "");
    else {
        c->heads[i].has_recipe = true;
        c->heads[i].hypothesis = (struct gqa_hypothesis){
            .pooling = pooling, .pooled = n, .seed = seed};
    }
}

static void read_recipe(struct comparison *c)
{
    static const char *const methods[] = {"mean", "first", "random"};
    static const struct {
        const char *name;
        enum gqa_dtype dtype;
    } dtypes[] = {{"f32", GQA_F32}, {"f16", GQA_F16}, {"bf16", GQA_BF16}};
    const json_t *recipe = c->converted->recipe;
    const char *method = json_string_value(json_object_get(recipe, "method"));
    const char *dtype = json_string_value(json_object_get(recipe, "dtype"));
    size_t pooling = 0;
    uint64_t seed = 0;

    if (!recipe)
        return;
    while (pooling < 3 && method && strcmp(method, methods[pooling]) != 0)
        pooling++;
    if (!method || pooling == 3) {
        note(&c->recipe, "its method is none that is known");
        return;
    }
    c->method = methods[pooling];
    if (pooling == GQA_POOL_RANDOM &&
        !gqa_json_u64(json_object_get(recipe, "seed"), &seed))
        note(&c->recipe, "it has no seed");
    for (size_t i = 0; dtype && i < 3; i++)
        if (strcmp(dtype, dtypes[i].name) == 0) {
            c->dtype = dtypes[i].dtype;
            c->is_converted = true;
        }
    if (!dtype || (!c->is_converted && strcmp(dtype, "keep") != 0))
        note(&c->recipe, "its dtype is none that is known");
    for (size_t i = 0; i < c->converted->model->n_attentions; i++)
        read_attention(c, i, (enum gqa_pooling)pooling, seed);
}

/* --- Parameters ----------------------------------------------------------- */

static void check_dtype(struct comparison *c, const struct gqa_param *a,
                        size_t index)
{
    const struct gqa_param *b = &c->converted->model->params[index];
    const bool keeps = gqa_subject_keeps_dtype(c->converted, index);
    enum gqa_dtype wanted = a->dtype;

    if (gqa_dtype_is_float(a->dtype) && gqa_dtype_is_float(b->dtype)) {
        if (!c->converted->recipe)
            return;
        /* An older gqa-convert converted buffers, too. */
        if (c->is_converted && (b->dtype != a->dtype || !keeps))
            wanted = c->dtype;
    }
    if (b->dtype != wanted)
        note(&c->names, "'%.300s' is %s, but must be %s", b->name,
             gqa_dtype_name(b->dtype), gqa_dtype_name(wanted));
}

static bool same_shape(const struct gqa_param *a, const struct gqa_param *b)
{
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0 &&
           a->rows == b->rows && a->cols == b->cols;
}

static void mark_kv(struct comparison *c)
{
    for (size_t i = 0; i < c->converted->model->n_attentions; i++) {
        const struct gqa_attention *a = &c->converted->model->attentions[i];
        const size_t kv[] = {a->k.weight, a->k.bias, a->v.weight, a->v.bias};

        for (size_t k = 0; k < 4; k++)
            if (kv[k] != GQA_NO_PARAM)
                c->is_kv[kv[k]] = true;
    }
}

/* Find each parameter in the original. */
static enum gqa_status pair_params(struct comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    bool *taken = calloc(a->n_params + 1, sizeof *taken);

    if (!taken)
        return gqa_fail_nomem();
    for (size_t i = 0; i < b->n_params; i++) {
        const struct gqa_param *p = &b->params[i];
        size_t found;

        c->partner[i] = GQA_NO_PARAM;
        if (!gqa_model_find(a, p->name, &found)) {
            note(&c->names, "'%.300s' is not in the original", p->name);
            continue;
        }
        taken[found] = true;
        check_dtype(c, &a->params[found], i);
        if (!c->is_kv[i] && !same_shape(&a->params[found], p))
            note(&c->names, "'%.300s' has another shape than in the original",
                 p->name);
        else
            c->partner[i] = found;
    }
    for (size_t i = 0; i < a->n_params; i++)
        if (!taken[i])
            note(&c->names, "'%.300s' of the original is missing",
                 a->params[i].name);
    free(taken);
    return GQA_OK;
}

static enum gqa_status check_param(struct comparison *c, size_t i,
                                   struct gqa_recompute *recompute)
{
    const struct gqa_param *to = &c->converted->model->params[i];
    struct gqa_head_pair pair = {.original = c->original->checkpoint,
                                 .converted = c->converted->checkpoint,
                                 .to = to};
    struct gqa_difference d;
    enum gqa_status st;

    if (c->is_kv[i] || c->partner[i] == GQA_NO_PARAM)
        return GQA_OK;
    pair.from = &c->original->model->params[c->partner[i]];
    if (pair.from->dtype != to->dtype &&
        (!gqa_dtype_is_float(pair.from->dtype) ||
         !gqa_dtype_is_float(to->dtype)))
        return GQA_OK; /* a failure of "parameters" */
    if (gqa_dtype_bits(to->dtype) % 8 != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "'%s': %s cannot be verified",
                        to->name, gqa_dtype_name(to->dtype));
    st = gqa_recompute_whole(recompute, &d, &pair);
    if (st == GQA_OK && d.found)
        note(&c->params[i],
             "'%.300s', element %" PRIu64 ": %.9g, in the original %.9g",
             to->name, d.element, d.actual, d.expected);
    return st;
}

/* --- Work ----------------------------------------------------------------- */

static enum gqa_status work(void *ctx, unsigned worker)
{
    struct comparison *c = ctx;
    const size_t n_attentions = c->converted->model->n_attentions;
    const size_t n = n_attentions + c->converted->model->n_params;
    struct gqa_recompute *recompute = NULL;
    enum gqa_status st = gqa_recompute_create(&recompute);

    (void)worker;
    while (st == GQA_OK) {
        const size_t i = atomic_fetch_add(&c->next, 1);

        if (i >= n)
            break;
        if (i >= n_attentions)
            st = check_param(c, i - n_attentions, recompute);
        else if (c->heads[i].has_recipe || !c->converted->recipe)
            st = gqa_heads_check(&c->heads[i], recompute);
    }
    if (st != GQA_OK) /* the others need not go on */
        atomic_store(&c->next, n);
    gqa_recompute_free(recompute);
    return st;
}

/* --- Report --------------------------------------------------------------- */

static enum gqa_status add(struct gqa_report *report, const char *name,
                           const struct gqa_finding *finding,
                           const char *figure, json_t *values, double seconds)
{
    struct gqa_check check = {.group = GQA_CHECK_WEIGHTS,
                              .name = name,
                              .values = values,
                              .seconds = seconds};

    check.verdict = finding->text[0] ? GQA_FAILED : GQA_PASSED;
    snprintf(check.figure, sizeof check.figure, "%s", figure);
    snprintf(check.detail, sizeof check.detail, "%s", finding->text);
    return gqa_report_add(report, &check);
}

static enum gqa_status add_recipe(struct gqa_report *report,
                                  const struct comparison *c)
{
    struct gqa_check check = {
        .group = GQA_CHECK_WEIGHTS, .name = "recipe", .verdict = GQA_SKIPPED};

    if (c->converted->recipe)
        return add(report, "recipe", &c->recipe, c->method ? c->method : "",
                   NULL, 0);
    snprintf(check.detail, sizeof check.detail,
             "none is recorded; each way to group is tried");
    return gqa_report_add(report, &check);
}

static enum gqa_status add_unchanged(struct gqa_report *report,
                                     const struct comparison *c, double seconds)
{
    const struct gqa_model *b = c->converted->model;
    struct gqa_finding first = {{0}};
    size_t n = 0, n_bad = 0;
    bool rounded = false;
    char figure[128];

    for (size_t i = 0; i < b->n_params; i++) {
        if (c->is_kv[i] || c->partner[i] == GQA_NO_PARAM)
            continue;
        n++;
        rounded |= b->params[i].dtype !=
                   c->original->model->params[c->partner[i]].dtype;
        if (c->params[i].text[0] && n_bad++ == 0)
            first = c->params[i];
    }
    for (size_t i = 0; i < b->n_attentions; i++) {
        if (b->attentions[i].q.weight != b->attentions[i].k.weight)
            continue;
        n++;
        if (c->heads[i].unchanged.text[0] && n_bad++ == 0)
            first = c->heads[i].unchanged;
    }
    snprintf(figure, sizeof figure, "%zu of %zu tensors %s", n - n_bad, n,
             rounded ? "equal, rounded once" : "equal, bit by bit");
    return add(report, "unchanged", &first, figure,
               json_pack("{s:I, s:I}", "n_tensors", (json_int_t)n, "n_wrong",
                         (json_int_t)n_bad),
               seconds);
}

/*
 * Without a recipe, attentions of one kind that were made in different ways
 * are right only where the configuration has a number for each layer.
 */
static void compare_ways(struct comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    const char *key = gqa_config_key(b->config, b->family->keys.n_kv_heads);
    const bool has_list = key && json_is_array(json_object_get(b->config, key));

    for (size_t i = 0; i < b->n_attentions && !has_list; i++)
        for (size_t k = 0; k < i; k++) {
            const struct gqa_attention *x = &b->attentions[i];
            const struct gqa_attention *y = &b->attentions[k];
            const struct gqa_hypothesis *g = &c->heads[i].hypothesis;
            const struct gqa_hypothesis *h = &c->heads[k].hypothesis;
            char one[128], other[128], label[128];

            if (x->stack != y->stack || x->kind != y->kind ||
                (g->pooled == h->pooled && g->pooling == h->pooling))
                continue;
            snprintf(label, sizeof label, "%s",
                     gqa_attention_label(x->stack, x->kind, x->layer));
            note(&c->heads[i].grouped,
                 "%s is %s, while layer %" PRIu64
                 " is %s, and no configuration says that they differ",
                 label,
                 gqa_hypothesis_text(one, sizeof one, g, &a->attentions[i], x),
                 y->layer,
                 gqa_hypothesis_text(other, sizeof other, h, &a->attentions[k],
                                     y));
            break;
        }
}

/* Where nothing fits: what the two paths look like. */
static void suspect_swap(struct gqa_finding *finding,
                         const struct gqa_model *original,
                         const struct gqa_model *converted)
{
    const size_t used = strlen(finding->text);

    for (size_t i = 0; i < converted->n_attentions; i++)
        if (converted->attentions[i].n_kv_heads >
            original->attentions[i].n_kv_heads) {
            snprintf(finding->text + used, sizeof finding->text - used,
                     "; it has more KV heads than the original: are the two "
                     "swapped?");
            return;
        }
}

static enum gqa_status add_grouped(struct gqa_report *report,
                                   struct comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    struct gqa_finding first = {{0}};
    size_t n = 0, n_bad = 0, n_ungrouped = 0, shown = GQA_NO_PARAM;
    char figure[128], way[128];

    if (!c->converted->recipe)
        compare_ways(c);
    for (size_t i = 0; i < b->n_attentions; i++) {
        if (c->converted->recipe && !c->heads[i].has_recipe) {
            n_bad++;
            continue;
        }
        n++;
        if (c->heads[i].hypothesis.pooled == a->attentions[i].n_kv_heads)
            n_ungrouped++;
        else if (shown == GQA_NO_PARAM)
            shown = i;
        if (c->heads[i].grouped.text[0] && n_bad++ == 0)
            first = c->heads[i].grouped;
    }
    if (n > 0 && n_bad == b->n_attentions)
        suspect_swap(&first, a, b);
    if (n < b->n_attentions)
        note(&first, "where the recipe does not fit, nothing can be "
                     "recomputed");
    if (shown == GQA_NO_PARAM)
        snprintf(figure, sizeof figure, "%zu attentions, none grouped", n);
    else
        snprintf(
            figure, sizeof figure,
            "%zu of %zu attentions %" PRIu64 " -> %" PRIu64 " KV heads, %s",
            n - n_ungrouped, b->n_attentions, a->attentions[shown].n_kv_heads,
            c->heads[shown].hypothesis.pooled,
            gqa_hypothesis_text(way, sizeof way, &c->heads[shown].hypothesis,
                                &a->attentions[shown], &b->attentions[shown]));
    return add(report, "grouped", &first, figure,
               json_pack("{s:I, s:I, s:I}", "n_attentions",
                         (json_int_t)b->n_attentions, "n_grouped",
                         (json_int_t)(n - n_ungrouped), "n_wrong",
                         (json_int_t)n_bad),
               0);
}

static enum gqa_status compare(struct gqa_report *report, struct comparison *c,
                               unsigned n_threads)
{
    const double start = gqa_clock_s();
    char figure[64];
    double seconds;
    enum gqa_status st;

    mark_kv(c);
    read_recipe(c);
    if ((st = pair_params(c)) != GQA_OK)
        return st;
    for (size_t i = 0; i < c->converted->model->n_attentions; i++) {
        c->heads[i].original = c->original;
        c->heads[i].converted = c->converted;
        c->heads[i].attention = i;
    }
    st = gqa_workers_run(n_threads < MAX_THREADS ? n_threads : MAX_THREADS,
                         work, c);
    seconds = gqa_clock_s() - start;
    gqa_clock_log("comparing the weights", start, 0);
    if (st == GQA_OK)
        st = add_recipe(report, c);
    snprintf(figure, sizeof figure, "%zu, those of the original",
             c->converted->model->n_params);
    if (st == GQA_OK)
        st = add(report, "parameters", &c->names,
                 c->names.text[0] ? "" : figure, NULL, 0);
    if (st == GQA_OK)
        st = add_unchanged(report, c, seconds);
    return st == GQA_OK ? add_grouped(report, c) : st;
}

static enum gqa_status add_skipped(struct gqa_report *report)
{
    struct gqa_check check = {.group = GQA_CHECK_WEIGHTS,
                              .name = "unchanged",
                              .verdict = GQA_SKIPPED,
                              .detail = "the file is not understood"};
    enum gqa_status st = gqa_report_add(report, &check);

    check.name = "grouped";
    return st == GQA_OK ? gqa_report_add(report, &check) : st;
}

enum gqa_status gqa_weights_check(struct gqa_report *report,
                                  const struct gqa_subject *original,
                                  const struct gqa_subject *converted,
                                  unsigned n_threads)
{
    struct comparison c = {.original = original, .converted = converted};
    const struct gqa_model *b = converted->model;
    enum gqa_status st;

    if (!b)
        return add_skipped(report);
    if ((st = compare_models(&c)) != GQA_OK)
        return st;
    c.partner = calloc(b->n_params + 1, sizeof *c.partner);
    c.is_kv = calloc(b->n_params + 1, sizeof *c.is_kv);
    c.params = calloc(b->n_params + 1, sizeof *c.params);
    c.heads = calloc(b->n_attentions + 1, sizeof *c.heads);
    st = c.partner && c.is_kv && c.params && c.heads
             ? compare(report, &c, n_threads)
             : gqa_fail_nomem();
    free(c.partner);
    free(c.is_kv);
    free(c.params);
    free(c.heads);
    return st;
}
