#include <check.h>

#include "suite.h"
#include "verify/run_plan.h"

enum { LAYERS = 3 };

/* A table of the vocabulary and one matrix for each layer; all else that a
 * block may have it has not. */
static struct gqa_param params[1 + LAYERS];
static struct gqa_block blocks[LAYERS];
static struct gqa_model model = {.params = params, .n_params = 1 + LAYERS};
static struct gqa_network network = {.model = &model, .n_stacks = 1};
static struct gqa_reference_cost cost;

static void set_elements(size_t param, uint64_t n)
{
    params[param].n_elements = n;
    params[param].n_bytes = 2 * n;
}

static void make(uint64_t table, uint64_t layer)
{
    const struct gqa_linear none = {.weight = GQA_NO_PARAM,
                                    .bias = GQA_NO_PARAM};

    set_elements(0, table);
    for (size_t i = 0; i < LAYERS; i++) {
        struct gqa_block *b = &blocks[i];

        set_elements(1 + i, layer);
        b->self.q = b->self.k = b->self.v = b->self.o = none;
        b->self.bias.table = b->self.sinks = GQA_NO_PARAM;
        b->ff.gate = b->ff.down = none;
        b->ff.up = (struct gqa_linear){.weight = 1 + i, .bias = GQA_NO_PARAM};
    }
    network.stacks[0] = (struct gqa_network_stack){.stack = GQA_STACK_DECODER,
                                                   .embedding = 0,
                                                   .positions = GQA_NO_PARAM,
                                                   .blocks = blocks,
                                                   .n_blocks = LAYERS};
    network.unembedding =
        (struct gqa_linear){.weight = 0, .bias = GQA_NO_PARAM};
    ck_assert_int_eq(gqa_reference_cost_of(&cost, &network), GQA_OK);
}

/* 2 FLOP for each of 10^6 weights, for 2 x 64 tokens, twice. */
START_TEST(takes_64_tokens_of_a_small_model)
{
    make(400000, 200000);
    ck_assert_uint_eq(cost.length, 64);
    ck_assert_double_eq_tol(cost.flop, 2e6 * 128 * 2, 1);
}
END_TEST

/* 6.7 * 10^9 weights: 1 TFLOP is 18.66 tokens of each sequence. */
START_TEST(takes_fewer_of_a_large_one)
{
    make(100000000, 2200000000);
    ck_assert_uint_eq(cost.length, 18);
    ck_assert_double_le(cost.flop, 1e12);
    /* The largest part, and what else there is. */
    ck_assert_uint_eq(cost.n_bytes, 4400000000 + ((uint64_t)256 << 20));
}
END_TEST

START_TEST(takes_16_whatever_they_cost)
{
    make(1000000000, 23000000000);
    ck_assert_uint_eq(cost.length, 16);
    ck_assert_double_gt(cost.flop, 1e12);
}
END_TEST

/* The embedding is a part, too. */
START_TEST(counts_a_table_that_is_largest)
{
    make(3000000, 1000000);
    ck_assert_uint_eq(cost.n_bytes, 6000000 + ((uint64_t)256 << 20));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_plan");
    TCase *tc = tcase_create("run_plan");

    tcase_add_test(tc, takes_64_tokens_of_a_small_model);
    tcase_add_test(tc, takes_fewer_of_a_large_one);
    tcase_add_test(tc, takes_16_whatever_they_cost);
    tcase_add_test(tc, counts_a_table_that_is_largest);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
