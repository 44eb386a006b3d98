#include <check.h>
#include <stdlib.h>

#include "inspect/kv_cache.h"
#include "suite.h"

/* Weights of attentions that differ in type. */
static struct gqa_param params[] = {
    {.name = "bf16.weight", .dtype = GQA_BF16},
    {.name = "f32.weight", .dtype = GQA_F32},
};
enum { BF16 = 0, F32 = 1 };

static struct gqa_attention attention(enum gqa_stack stack,
                                      enum gqa_attention_kind kind,
                                      uint64_t n_heads, uint64_t n_kv_heads,
                                      uint64_t head_dim, size_t weight)
{
    return (struct gqa_attention){.stack = stack,
                                  .kind = kind,
                                  .n_heads = n_heads,
                                  .n_kv_heads = n_kv_heads,
                                  .head_dim = head_dim,
                                  .k.weight = weight,
                                  .v.weight = weight};
}

static struct gqa_attention decoder_self(uint64_t n_heads, uint64_t n_kv_heads,
                                         uint64_t head_dim)
{
    return attention(GQA_STACK_DECODER, GQA_ATTENTION_SELF, n_heads, n_kv_heads,
                     head_dim, BF16);
}

static struct gqa_model model_of(struct gqa_attention *attentions, size_t n)
{
    return (struct gqa_model){.params = params,
                              .n_params = 2,
                              .attentions = attentions,
                              .n_attentions = n};
}

/* Two layers x (K and V) x 8 heads x 64 x 2 bytes. */
START_TEST(counts_self_attention)
{
    struct gqa_attention list[2] = {decoder_self(32, 8, 64),
                                    decoder_self(32, 8, 64)};
    const struct gqa_model model = model_of(list, 2);
    struct gqa_kv_per_token bytes;

    ck_assert_int_eq(gqa_kv_per_token(&bytes, &model), GQA_OK);
    ck_assert_uint_eq(bytes.stored.self, 2 * 2 * 8 * 64 * 2);
    ck_assert_uint_eq(bytes.mha.self, 2 * 2 * 32 * 64 * 2);
    ck_assert_uint_eq(bytes.stored.cross, 0);
}
END_TEST

/* The encoder keeps nothing; cross-attention counts source tokens. */
START_TEST(keeps_encoder_and_cross_attention_apart)
{
    struct gqa_attention list[3] = {
        attention(GQA_STACK_ENCODER, GQA_ATTENTION_SELF, 4, 4, 10, F32),
        attention(GQA_STACK_DECODER, GQA_ATTENTION_SELF, 4, 2, 10, F32),
        attention(GQA_STACK_DECODER, GQA_ATTENTION_CROSS, 4, 1, 10, F32),
    };
    const struct gqa_model model = model_of(list, 3);
    struct gqa_kv_per_token bytes;

    ck_assert_int_eq(gqa_kv_per_token(&bytes, &model), GQA_OK);
    ck_assert_uint_eq(bytes.stored.self, 2 * 2 * 10 * 4);
    ck_assert_uint_eq(bytes.stored.cross, 2 * 1 * 10 * 4);
    ck_assert_uint_eq(bytes.mha.self, 2 * 4 * 10 * 4);
    ck_assert_uint_eq(bytes.mha.cross, 2 * 4 * 10 * 4);
}
END_TEST

/* Twelve heads: 12, 6, 4, 3, 2, 1; the first is what is stored. */
START_TEST(offers_every_divisor)
{
    static const uint64_t heads[] = {12, 6, 4, 3, 2, 1};
    struct gqa_attention list[1] = {decoder_self(12, 12, 5)};
    const struct gqa_model model = model_of(list, 1);
    struct gqa_kv_plan *plan;

    ck_assert_int_eq(gqa_kv_plan_create(&plan, &model, 100, 3), GQA_OK);
    ck_assert_uint_eq(plan->n_rows, 6);
    for (size_t i = 0; i < 6; i++) {
        const struct gqa_kv_row *row = &plan->rows[i];

        ck_assert_uint_eq(row->n_kv_heads, heads[i]);
        ck_assert_int_eq(row->is_mha, i == 0);
        ck_assert_int_eq(row->is_stored, i == 0);
        ck_assert_uint_eq(row->per_token.self, 2 * heads[i] * 5 * 2);
        ck_assert_uint_eq(row->total_bytes, 2 * heads[i] * 5 * 2 * 100 * 3);
    }
    gqa_kv_plan_free(plan);
}
END_TEST

/* Sixteen heads stored as eight: sixteen for comparison, then 8, 4, 2, 1. */
START_TEST(groups_further_only_where_it_divides)
{
    static const uint64_t heads[] = {16, 8, 4, 2, 1};
    struct gqa_attention list[1] = {decoder_self(16, 8, 1)};
    const struct gqa_model model = model_of(list, 1);
    struct gqa_kv_plan *plan;

    ck_assert_int_eq(gqa_kv_plan_create(&plan, &model, 1, 1), GQA_OK);
    ck_assert_uint_eq(plan->n_rows, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_uint_eq(plan->rows[i].n_kv_heads, heads[i]);
        ck_assert_int_eq(plan->rows[i].is_stored, i == 1);
    }
    gqa_kv_plan_free(plan);
}
END_TEST

/* Layers of 12 and 8 KV heads: as they are, then what divides both. */
START_TEST(shows_a_hybrid_as_it_is)
{
    struct gqa_attention list[2] = {decoder_self(24, 12, 1),
                                    decoder_self(24, 8, 1)};
    const struct gqa_model model = model_of(list, 2);
    struct gqa_kv_plan *plan;

    ck_assert_int_eq(gqa_kv_plan_create(&plan, &model, 1, 1), GQA_OK);
    ck_assert_uint_eq(plan->n_rows, 5);
    ck_assert_uint_eq(plan->rows[0].n_kv_heads, 24);
    ck_assert(plan->rows[0].is_mha && !plan->rows[0].is_stored);
    ck_assert_uint_eq(plan->rows[1].n_kv_heads, 0);
    ck_assert(plan->rows[1].is_stored);
    ck_assert_uint_eq(plan->rows[1].total_bytes, 2 * (12 + 8) * 2);
    ck_assert_uint_eq(plan->rows[2].n_kv_heads, 4);
    ck_assert_uint_eq(plan->rows[3].n_kv_heads, 2);
    ck_assert_uint_eq(plan->rows[4].n_kv_heads, 1);
    gqa_kv_plan_free(plan);
}
END_TEST

START_TEST(takes_the_source_to_be_as_long)
{
    struct gqa_attention list[2] = {
        decoder_self(1, 1, 3),
        attention(GQA_STACK_DECODER, GQA_ATTENTION_CROSS, 1, 1, 5, BF16)};
    const struct gqa_model model = model_of(list, 2);
    struct gqa_kv_plan *plan;

    ck_assert_int_eq(gqa_kv_plan_create(&plan, &model, 7, 2), GQA_OK);
    ck_assert_uint_eq(plan->n_rows, 1);
    ck_assert_uint_eq(plan->rows[0].self_bytes, 2 * 3 * 2 * 7 * 2);
    ck_assert_uint_eq(plan->rows[0].cross_bytes, 2 * 5 * 2 * 7 * 2);
    ck_assert_uint_eq(plan->rows[0].total_bytes, 2 * (3 + 5) * 2 * 7 * 2);
    gqa_kv_plan_free(plan);
}
END_TEST

START_TEST(refuses_what_cannot_be_counted)
{
    struct gqa_attention list[1] = {decoder_self(1, 1, (uint64_t)1 << 60)};
    struct gqa_model model = model_of(list, 1);
    struct gqa_kv_per_token bytes;
    struct gqa_kv_plan *plan;

    ck_assert_int_eq(gqa_kv_per_token(&bytes, &model), GQA_ERR_UNSUPPORTED);
    list[0].head_dim = (uint64_t)1 << 30;
    ck_assert_int_eq(
        gqa_kv_plan_create(&plan, &model, (uint64_t)1 << 30, 1 << 10),
        GQA_ERR_UNSUPPORTED);
    list[0].stack = GQA_STACK_ENCODER;
    ck_assert_int_eq(gqa_kv_plan_create(&plan, &model, 1, 1),
                     GQA_ERR_UNSUPPORTED);
}
END_TEST

static uint64_t context_of(const char *text)
{
    json_t *config = json_loads(text, 0, NULL);
    const uint64_t context = gqa_kv_context_of_config(
        config, (const char *const[]){"longest", "n_positions", NULL});

    ck_assert_ptr_nonnull(config);
    json_decref(config);
    return context;
}

START_TEST(reads_the_context_of_a_configuration)
{
    ck_assert_uint_eq(context_of("{\"longest\": 8192}"), 8192);
    ck_assert_uint_eq(context_of("{\"n_positions\": 1024}"), 1024);
    ck_assert_uint_eq(context_of("{}"), 0);
    ck_assert_uint_eq(context_of("{\"n_positions\": \"long\"}"), 0);
    ck_assert_uint_eq(context_of("{\"n_positions\": -1}"), 0);
    ck_assert_uint_eq(context_of("{\"n_positions\": 4294967297}"), 0);
    ck_assert_uint_eq(gqa_kv_context_of_config(NULL, NULL), 0);
    ck_assert_uint_eq(context_of("{\"longest\": 0, \"n_positions\": 9}"), 9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kv_cache");
    TCase *all = tcase_create("all");

    tcase_add_test(all, counts_self_attention);
    tcase_add_test(all, keeps_encoder_and_cross_attention_apart);
    tcase_add_test(all, offers_every_divisor);
    tcase_add_test(all, groups_further_only_where_it_divides);
    tcase_add_test(all, shows_a_hybrid_as_it_is);
    tcase_add_test(all, takes_the_source_to_be_as_long);
    tcase_add_test(all, refuses_what_cannot_be_counted);
    tcase_add_test(all, reads_the_context_of_a_configuration);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
