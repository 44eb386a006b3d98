/* Projections that lie one behind the other, and are one product. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/joint.h"
#include "suite.h"
#include "trained_model.h"

static const struct gqa_attention_block *attention(
    const struct trained_model *m, size_t block)
{
    return &m->network->stacks[m->network->n_stacks - 1].blocks[block].self;
}

static const struct gqa_feed_forward *feed_forward(
    const struct trained_model *m, size_t block)
{
    return &m->network->stacks[m->network->n_stacks - 1].blocks[block].ff;
}

static bool is_joint(const struct trained_model *m)
{
    struct gqa_weight weight, bias;

    return gqa_joint_weights(&weight, &bias, m->runtime, attention(m, 0));
}

static const char *end_of(const struct gqa_weight *w)
{
    return (const char *)w->data +
           w->rows * w->cols * gqa_dtype_bits(w->dtype) / 8;
}

static const struct gqa_weight *weight_of(const struct trained_model *m,
                                          size_t param)
{
    return &m->runtime->weights[param];
}

static bool is_query(const struct gqa_param *p)
{
    return strstr(p->name, "q_proj") != NULL;
}

static bool is_attention(const struct gqa_param *p)
{
    return strstr(p->name, "self_attn") != NULL;
}

static bool is_feed_forward(const struct gqa_param *p)
{
    return strstr(p->name, "mlp") != NULL;
}

/* Whether they are trained or not: queries, keys, values, and their gradients;
 * so are biases. */
START_TEST(lie_behind_each_other)
{
    static trained_choice *const choices[] = {is_attention, is_feed_forward};
    struct trained_model m;
    struct gqa_weight weight, bias;
    const struct gqa_attention_block *a;

    trained_open(&m, "runtime/qwen2", GQA_F64, 1, choices[_i]);
    for (size_t i = 0; i < 2; i++) {
        a = attention(&m, i);
        ck_assert(gqa_joint_weights(&weight, &bias, m.runtime, a));
        ck_assert_ptr_eq(weight.data, weight_of(&m, a->q.weight)->data);
        ck_assert_ptr_eq(end_of(weight_of(&m, a->q.weight)),
                         weight_of(&m, a->k.weight)->data);
        ck_assert_ptr_eq(end_of(weight_of(&m, a->v.weight)), end_of(&weight));
        ck_assert_ptr_eq(bias.data, weight_of(&m, a->q.bias)->data);
        ck_assert_ptr_eq(end_of(weight_of(&m, a->v.bias)), end_of(&bias));
        ck_assert_uint_eq(weight.rows, gqa_joint_outputs(m.runtime, a));
        ck_assert_uint_eq(bias.rows, weight.rows);
        if (_i == 0)
            ck_assert_ptr_eq((char *)gqa_tape_gradient(m.tape, a->q.weight) +
                                 m.model->params[a->q.weight].n_elements *
                                     sizeof(double),
                             gqa_tape_gradient(m.tape, a->k.weight));
    }
    trained_close(&m);
}
END_TEST

/* Gate and up, trained or not, and their gradients. */
START_TEST(gated_lie_behind_each_other)
{
    static trained_choice *const choices[] = {is_attention, is_feed_forward};
    struct trained_model m;
    struct gqa_weight weight;
    const struct gqa_feed_forward *ff;

    trained_open(&m, "runtime/qwen2", GQA_F64, 1, choices[_i]);
    for (size_t i = 0; i < 2; i++) {
        ff = feed_forward(&m, i);
        ck_assert(gqa_joint_gated(&weight, m.runtime, ff));
        ck_assert_ptr_eq(weight.data, weight_of(&m, ff->gate.weight)->data);
        ck_assert_ptr_eq(end_of(weight_of(&m, ff->gate.weight)),
                         weight_of(&m, ff->up.weight)->data);
        ck_assert_ptr_eq(end_of(weight_of(&m, ff->up.weight)), end_of(&weight));
        if (_i == 1)
            ck_assert_ptr_eq(
                (char *)gqa_tape_gradient(m.tape, ff->gate.weight) +
                    m.model->params[ff->gate.weight].n_elements *
                        sizeof(double),
                gqa_tape_gradient(m.tape, ff->up.weight));
    }
    trained_close(&m);
}
END_TEST

static bool is_gate(const struct gqa_param *p)
{
    return strstr(p->name, "gate_proj") != NULL;
}

/* One that is trained alone; biases; a feed-forward without a gate; one with
 * experts; one whose gate and up are one weight. */
START_TEST(gated_do_not_where_they_cannot)
{
    static const struct {
        const char *name;
        trained_choice *choice;
    } others[] = {
        {"runtime/qwen2", is_gate}, {"runtime/llama-grouped", NULL},
        {"runtime/gpt_neox", NULL}, {"families/mixtral", NULL},
        {"families/phi3", NULL},
    };
    struct gqa_weight weight;
    struct trained_model m;

    trained_open(&m, others[_i].name, GQA_F64, 1, others[_i].choice);
    ck_assert(!gqa_joint_gated(&weight, m.runtime, feed_forward(&m, 0)));
    trained_close(&m);
}
END_TEST

/* Rows of such a product hold the heads of all three, side by side. */
START_TEST(heads_lie_side_by_side)
{
    struct trained_model m;
    struct gqa_heads q, k, v;
    const struct gqa_attention_block *a;
    uint64_t of_q, of_k;
    char x = 0;

    trained_open(&m, "runtime/llama-grouped", GQA_F64, 1, NULL);
    a = attention(&m, 0);
    of_q = gqa_runtime_outputs(m.runtime, &a->q);
    of_k = gqa_runtime_outputs(m.runtime, &a->k);
    gqa_joint_heads(&q, &k, &v, m.runtime, a, &x);
    ck_assert_uint_eq(q.place.base, 0);
    ck_assert_uint_eq(k.place.base, of_q);
    ck_assert_uint_eq(v.place.base, of_q + of_k);
    ck_assert_uint_eq(v.width, of_q + 2 * of_k);
    ck_assert_ptr_eq(v.x, &x);
    trained_close(&m);
}
END_TEST

/* Queries alone are trained: their master lies elsewhere. */
START_TEST(not_where_one_is_trained_alone)
{
    struct trained_model m;

    trained_open(&m, "runtime/llama", GQA_F64, 1, is_query);
    ck_assert(!is_joint(&m));
    trained_close(&m);
}
END_TEST

/* One weight already; inputs first; heads that are normed. */
START_TEST(not_what_is_otherwise)
{
    static const char *const others[] = {"runtime/gpt_neox", "runtime/gpt2",
                                         "families/qwen3"};
    struct trained_model m;

    trained_open(&m, others[_i], GQA_F64, 1, NULL);
    ck_assert(!gqa_joint_may(m.network, attention(&m, 0)));
    ck_assert(!is_joint(&m));
    trained_close(&m);
}
END_TEST

/* Each chosen parameter has a place of its own, and all of them the piece. */
START_TEST(places_do_not_overlap)
{
    struct trained_model m;
    uint64_t *places, n, sum = 0;
    size_t n_params, last = 0;

    trained_open(&m, "runtime/llama-grouped", GQA_F64, 1, is_attention);
    n_params = m.model->n_params;
    places = calloc(n_params, sizeof *places);
    ck_assert_ptr_nonnull(places);
    ck_assert_int_eq(gqa_joint_place(places, &n, m.network, m.trained), GQA_OK);
    for (size_t i = 0; i < n_params; i++) {
        const uint64_t end = places[i] + m.model->params[i].n_elements;

        if (!m.trained[i])
            continue;
        sum += m.model->params[i].n_elements;
        ck_assert_uint_le(end, n);
        if (end == n)
            last = i;
        for (size_t j = 0; j < i; j++)
            if (m.trained[j])
                ck_assert(end <= places[j] ||
                          places[i] >=
                              places[j] + m.model->params[j].n_elements);
    }
    ck_assert_uint_ge(n, sum);
    ck_assert(m.trained[last]);
    free(places);
    trained_close(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("joint");
    TCase *tcase = tcase_create("joint");

    tcase_add_loop_test(tcase, lie_behind_each_other, 0, 2);
    tcase_add_loop_test(tcase, gated_lie_behind_each_other, 0, 2);
    tcase_add_loop_test(tcase, gated_do_not_where_they_cannot, 0, 5);
    tcase_add_test(tcase, heads_lie_side_by_side);
    tcase_add_test(tcase, not_where_one_is_trained_alone);
    tcase_add_loop_test(tcase, not_what_is_otherwise, 0, 3);
    tcase_add_test(tcase, places_do_not_overlap);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
