#include "inspect/kv_cache.h"

#include <stdlib.h>

#include "common/checked.h"
#include "common/json.h"
#include "formats/model/regroup.h"

/* How many KV heads an attention is counted with. */
static uint64_t heads_as_stored(const struct gqa_attention *a, uint64_t unused)
{
    (void)unused;
    return a->n_kv_heads;
}

static uint64_t heads_as_mha(const struct gqa_attention *a, uint64_t unused)
{
    (void)unused;
    return a->n_heads;
}

static uint64_t heads_as_given(const struct gqa_attention *a, uint64_t given)
{
    (void)a;
    return given;
}

typedef uint64_t (*count_heads_fn)(const struct gqa_attention *a,
                                   uint64_t given);

static enum gqa_status too_large(void)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "the KV cache would take more than 2^63 bytes");
}

/* a * b and a + b that stay within what JSON's integers hold. */
static bool multiply(uint64_t a, uint64_t b, uint64_t *out)
{
    return gqa_mul_u64(a, b, out) && *out <= INT64_MAX;
}

static bool add(uint64_t a, uint64_t b, uint64_t *out)
{
    return gqa_add_u64(a, b, out) && *out <= INT64_MAX;
}

static enum gqa_status count_per_token(struct gqa_kv_bytes *out,
                                       const struct gqa_model *model,
                                       count_heads_fn count, uint64_t given)
{
    struct gqa_kv_bytes sum = {0, 0};

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        uint64_t *part = a->kind == GQA_ATTENTION_SELF ? &sum.self : &sum.cross;
        uint64_t bytes;

        if (!gqa_kv_is_cached(a))
            continue;
        if (!gqa_kv_attention_bytes(model, a, count(a, given), &bytes) ||
            !add(*part, bytes, part))
            return too_large();
    }
    *out = sum;
    return GQA_OK;
}

enum gqa_status gqa_kv_per_token(struct gqa_kv_per_token *out,
                                 const struct gqa_model *model)
{
    struct gqa_kv_per_token bytes;
    enum gqa_status st;

    if ((st = count_per_token(&bytes.stored, model, heads_as_stored, 0)) !=
            GQA_OK ||
        (st = count_per_token(&bytes.mha, model, heads_as_mha, 0)) != GQA_OK)
        return st;
    *out = bytes;
    return GQA_OK;
}

/* What the cached attentions have in common. */
struct common_heads {
    size_t n_cached;
    uint64_t n_heads, n_kv_heads; /* 0: they differ */
    uint64_t kv_divisor;          /* the greatest that divides all */
};

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        const uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static struct common_heads find_common_heads(const struct gqa_model *model)
{
    struct common_heads common = {0};

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        if (!gqa_kv_is_cached(a))
            continue;
        if (common.n_cached++ == 0) {
            common.n_heads = a->n_heads;
            common.n_kv_heads = a->n_kv_heads;
        }
        if (common.n_heads != a->n_heads)
            common.n_heads = 0;
        if (common.n_kv_heads != a->n_kv_heads)
            common.n_kv_heads = 0;
        common.kv_divisor =
            greatest_common_divisor(common.kv_divisor, a->n_kv_heads);
    }
    return common;
}

static enum gqa_status append_row(struct gqa_kv_plan *plan,
                                  const struct gqa_model *model,
                                  count_heads_fn count, struct gqa_kv_row row)
{
    enum gqa_status st;
    struct gqa_kv_row *rows;
    uint64_t tokens;

    st = count_per_token(&row.per_token, model, count, row.n_kv_heads);
    if (st != GQA_OK)
        return st;
    if (!multiply(plan->context, plan->batch, &tokens) ||
        !multiply(row.per_token.self, tokens, &row.self_bytes) ||
        !multiply(row.per_token.cross, tokens, &row.cross_bytes) ||
        !add(row.self_bytes, row.cross_bytes, &row.total_bytes))
        return too_large();
    rows = realloc(plan->rows, (plan->n_rows + 1) * sizeof *rows);
    if (!rows)
        return gqa_fail_nomem();
    rows[plan->n_rows++] = row;
    plan->rows = rows;
    return GQA_OK;
}

/* Whether all that keep a cache can have so many. */
static bool all_can_have(const struct gqa_model *model, uint64_t n_kv_heads)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (gqa_kv_is_cached(&model->attentions[i]) &&
            !gqa_attention_can_have(&model->attentions[i], n_kv_heads))
            return false;
    return true;
}

static int most_heads_first(const void *a, const void *b)
{
    const struct gqa_kv_row *x = a;
    const struct gqa_kv_row *y = b;

    return (x->n_kv_heads < y->n_kv_heads) - (x->n_kv_heads > y->n_kv_heads);
}

/* A row for each divisor that is not yet there, in falling order. */
static enum gqa_status append_divisors(struct gqa_kv_plan *plan,
                                       const struct gqa_model *model,
                                       const struct common_heads *common)
{
    const uint64_t n = common->kv_divisor;
    const size_t first = plan->n_rows;
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 1; i <= n / i && st == GQA_OK; i++) {
        const uint64_t pair[2] = {i, n / i};

        if (n % i != 0)
            continue;
        for (unsigned j = 0; j < (i == n / i ? 1 : 2) && st == GQA_OK; j++) {
            if (pair[j] == common->n_heads || !all_can_have(model, pair[j]))
                continue; /* it has the first row, or none */
            st = append_row(plan, model, heads_as_given,
                            (struct gqa_kv_row){
                                .n_kv_heads = pair[j],
                                .is_stored = pair[j] == common->n_kv_heads});
        }
    }
    if (plan->n_rows > first)
        qsort(plan->rows + first, plan->n_rows - first, sizeof *plan->rows,
              most_heads_first);
    return st;
}

static bool is_multi_head(const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (gqa_kv_is_cached(&model->attentions[i]) &&
            model->attentions[i].n_kv_heads != model->attentions[i].n_heads)
            return false;
    return true;
}

enum gqa_status gqa_kv_plan_create(struct gqa_kv_plan **out,
                                   const struct gqa_model *model,
                                   uint64_t context, uint64_t batch)
{
    const struct common_heads common = find_common_heads(model);
    const bool stored_is_mha = is_multi_head(model);
    struct gqa_kv_plan *plan;
    enum gqa_status st;

    if (common.n_cached == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "no attention of this model keeps a KV cache");
    plan = calloc(1, sizeof *plan);
    if (!plan)
        return gqa_fail_nomem();
    plan->context = context;
    plan->batch = batch;
    st = append_row(plan, model, heads_as_mha,
                    (struct gqa_kv_row){.n_kv_heads = common.n_heads,
                                        .is_mha = true,
                                        .is_stored = stored_is_mha});
    if (st == GQA_OK && !stored_is_mha && common.n_kv_heads == 0)
        st = append_row(plan, model, heads_as_stored,
                        (struct gqa_kv_row){.is_stored = true});
    if (st == GQA_OK)
        st = append_divisors(plan, model, &common);
    if (st == GQA_OK) {
        *out = plan;
        plan = NULL;
    }
    gqa_kv_plan_free(plan);
    return st;
}

void gqa_kv_plan_free(struct gqa_kv_plan *plan)
{
    if (!plan)
        return;
    free(plan->rows);
    free(plan);
}

uint64_t gqa_kv_context_of_config(const json_t *config, gqa_texts keys)
{
    /* Longer than any model's; some configurations write 10^30. */
    const uint64_t most = (uint64_t)1 << 32;
    uint64_t value;

    for (; keys && *keys; keys++)
        if (gqa_json_u64(json_object_get(config, *keys), &value) && value > 0 &&
            value <= most)
            return value;
    return 0;
}
