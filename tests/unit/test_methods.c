/*
 * What becomes of K and V by each option, on fixtures with six or twelve heads:
 * llama (separate), gpt2 (fused [q|k|v]) and gpt_neox (fused per head).
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/produce.h"
#include "formats/model/regroup.h"
#include "suite.h"

/* A fixture opened, and one conversion of it. */
struct conversion {
    struct gqa_checkpoint *checkpoint;
    struct gqa_model *model;
    struct gqa_plan *plan;
    struct gqa_producer *producer;
};

static const struct gqa_plan_options keep = {.attentions = GQA_SELECT_DECODER,
                                             .keep_dtype = true};

static void open_fixture(struct conversion *c, const char *fixture)
{
    const struct gqa_checkpoint_options options = {0};
    const char *data = getenv("GQA_TEST_DATA");
    char path[4096];

    memset(c, 0, sizeof *c);
    snprintf(path, sizeof path, "%s/good/%s", data ? data : "tests/data",
             fixture);
    ck_assert_msg(gqa_checkpoint_open(&c->checkpoint, path, &options) == GQA_OK,
                  "%s", gqa_error_message());
    ck_assert_msg(gqa_model_create(&c->model, c->checkpoint, NULL) == GQA_OK,
                  "%s", gqa_error_message());
}

static void convert(struct conversion *c, const char *fixture,
                    const struct gqa_plan_options *options)
{
    open_fixture(c, fixture);
    ck_assert_msg(gqa_plan_create(&c->plan, c->model, options) == GQA_OK, "%s",
                  gqa_error_message());
    ck_assert_int_eq(
        gqa_producer_create(&c->producer, c->plan, c->checkpoint, 2), GQA_OK);
}

static void close_conversion(struct conversion *c)
{
    gqa_producer_free(c->producer);
    gqa_plan_free(c->plan);
    gqa_model_free(c->model);
    gqa_checkpoint_close(c->checkpoint);
}

/* A whole output tensor as doubles; the caller frees. */
static double *values(struct conversion *c, size_t index, uint64_t *n)
{
    const struct gqa_plan_tensor *t = &c->plan->tensors[index];
    char *bytes = malloc((size_t)t->n_bytes + 1);
    double *out;

    *n = t->n_bytes / (gqa_dtype_bits(t->dtype) / 8);
    out = malloc((size_t)*n * sizeof *out + 1);
    ck_assert_msg(gqa_produce(c->producer, 1, index, 0, (size_t)t->n_bytes,
                              bytes) == GQA_OK,
                  "%s", gqa_error_message());
    gqa_load_f64(out, bytes, t->dtype, (size_t)*n);
    free(bytes);
    return out;
}

/* Element i (within the head) and j (across) of KV head h of an output. */
static double kv_at(const struct conversion *c, const double *tensor,
                    const struct gqa_slice *slice, uint64_t head_dim,
                    uint64_t h, uint64_t i, uint64_t j)
{
    const struct gqa_plan_tensor *t = &c->plan->tensors[slice->weight];
    const uint64_t along = gqa_slice_head(slice, head_dim, h) + i;

    return slice->axis == 0 ? tensor[along * t->cols + j]
                            : tensor[j * t->cols + along];
}

/* Where the heads of the output lie. */
static struct gqa_slice output_slice(const struct gqa_plan_attention *out,
                                     bool value)
{
    const struct gqa_attention to =
        gqa_attention_regrouped(out->attention, out->written);

    return value ? to.v : to.k;
}

static const char *const fixtures[] = {"llama", "gpt2", "gpt_neox"};
enum { N_FIXTURES = 3 };

/* Compare every KV head of the first attention of two conversions: head h
 * of `b` with head map(h) of `a`. */
static void compare_heads(struct conversion *a, struct conversion *b,
                          uint64_t (*map)(uint64_t h, uint64_t ratio),
                          uint64_t ratio)
{
    for (int value = 0; value < 2; value++) {
        const struct gqa_plan_attention *pa = &a->plan->attentions[0];
        const struct gqa_plan_attention *pb = &b->plan->attentions[0];
        const struct gqa_slice sa = output_slice(pa, value);
        const struct gqa_slice sb = output_slice(pb, value);
        const uint64_t d = pa->attention->head_dim;
        uint64_t na, nb;
        double *va = values(a, sa.weight, &na);
        double *vb = values(b, sb.weight, &nb);

        for (uint64_t h = 0; h < pb->written; h++)
            for (uint64_t i = 0; i < d; i++)
                for (uint64_t j = 0; j < a->model->d_model; j++)
                    ck_assert_double_eq(
                        kv_at(b, vb, &sb, d, h, i, j),
                        kv_at(a, va, &sa, d, map(h, ratio), i, j));
        free(va);
        free(vb);
    }
}

static uint64_t divide(uint64_t h, uint64_t ratio)
{
    return h / ratio;
}

static uint64_t multiply(uint64_t h, uint64_t ratio)
{
    return h * ratio;
}

/* Two groups, written in multi-head shape: each half of the heads is equal to
 * head 0 or 1 of the grouped output. By each method. */
START_TEST(expanded_repeats_the_groups)
{
    struct gqa_plan_options options = keep;
    struct conversion grouped, expanded;
    uint64_t n_heads;

    options.method = (enum gqa_method)(_i / N_FIXTURES);
    open_fixture(&grouped, fixtures[_i % N_FIXTURES]);
    n_heads = grouped.model->attentions[0].n_heads;
    close_conversion(&grouped);
    options.asked = 2;
    convert(&grouped, fixtures[_i % N_FIXTURES], &options);
    options.expand = true;
    convert(&expanded, fixtures[_i % N_FIXTURES], &options);
    ck_assert_uint_eq(expanded.plan->attentions[0].written, n_heads);
    compare_heads(&grouped, &expanded, divide, n_heads / 2);
    close_conversion(&grouped);
    close_conversion(&expanded);
}
END_TEST

/* The first head of each group is head 0, group_size, ... of the source. */
START_TEST(first_copies_a_head)
{
    struct gqa_plan_options options = keep;
    struct conversion source, first;
    uint64_t ratio;

    options.method = GQA_METHOD_FIRST;
    options.asked = 2;
    convert(&first, fixtures[_i], &options);
    ratio = first.model->attentions[0].n_kv_heads / 2;
    options.asked = first.model->attentions[0].n_kv_heads;
    convert(&source, fixtures[_i], &options);
    compare_heads(&source, &first, multiply, ratio);
    close_conversion(&source);
    close_conversion(&first);
}
END_TEST

START_TEST(random_follows_the_seed)
{
    struct gqa_plan_options options = keep;
    struct conversion a, b, other;
    uint64_t n;
    double *va, *vb, *vo;
    double sum = 0;
    double squares = 0;
    unsigned n_equal = 0;

    options.method = GQA_METHOD_RANDOM;
    options.asked = 2;
    options.seed = 7;
    convert(&a, "llama", &options);
    convert(&b, "llama", &options);
    options.seed = 8;
    convert(&other, "llama", &options);
    va = values(&a, a.model->attentions[0].k.weight, &n);
    vb = values(&b, b.model->attentions[0].k.weight, &n);
    vo = values(&other, other.model->attentions[0].k.weight, &n);
    for (uint64_t i = 0; i < n; i++) {
        ck_assert_double_eq(va[i], vb[i]);
        n_equal += va[i] == vo[i];
        sum += va[i];
        squares += va[i] * va[i];
    }
    ck_assert_uint_lt(n_equal, n / 8);
    /* initializer_range is 0.02; the bounds are five standard errors. */
    ck_assert(fabs(sum / (double)n) < 5 * 0.02 / sqrt((double)n));
    ck_assert(fabs(sqrt(squares / (double)n) - 0.02) <
              5 * 0.02 / sqrt(2 * (double)n));
    free(va);
    free(vb);
    free(vo);
    close_conversion(&a);
    close_conversion(&b);
    close_conversion(&other);
}
END_TEST

/* Fresh projections have no bias, as the families draw them. */
START_TEST(random_biases_are_zero)
{
    struct gqa_plan_options options = keep;
    struct conversion c;
    uint64_t n;
    double *v;

    options.method = GQA_METHOD_RANDOM;
    options.asked = 1;
    convert(&c, "qwen2", &options);
    v = values(&c, c.model->attentions[0].v.bias, &n);
    ck_assert_uint_eq(n, c.model->attentions[0].head_dim);
    for (uint64_t i = 0; i < n; i++)
        ck_assert_double_eq(v[i], 0);
    free(v);
    close_conversion(&c);
}
END_TEST

/* A pooled value in another dtype is rounded from the exact mean, once. */
START_TEST(dtype_rounds_once)
{
    static const enum gqa_dtype dtypes[] = {GQA_F16, GQA_BF16, GQA_F32};
    struct gqa_plan_options options = keep;
    struct conversion source, c;
    const struct gqa_attention *a;
    uint64_t n, m;
    double *in, *out;

    options.asked = 2;
    options.keep_dtype = false;
    options.dtype = dtypes[_i];
    convert(&c, "llama-f64", &options);
    options = keep;
    options.asked = c.model->attentions[0].n_kv_heads;
    convert(&source, "llama-f64", &options);
    a = &c.model->attentions[0];
    in = values(&source, a->k.weight, &n);
    out = values(&c, a->k.weight, &m);
    for (uint64_t r = 0; r < 2 * a->head_dim; r++)
        for (uint64_t j = 0; j < c.model->d_model; j++) {
            const uint64_t pooled = a->n_kv_heads / 2;
            const uint64_t first =
                r / a->head_dim * pooled * a->head_dim + r % a->head_dim;
            double sum = in[first * c.model->d_model + j];
            unsigned char bytes[8];
            double want;

            for (uint64_t h = 1; h < pooled; h++)
                sum += in[(first + h * a->head_dim) * c.model->d_model + j];
            sum /= (double)pooled;
            gqa_store_f64(bytes, dtypes[_i], &sum, 1);
            gqa_load_f64(&want, bytes, dtypes[_i], 1);
            ck_assert_double_eq(out[r * c.model->d_model + j], want);
        }
    free(in);
    free(out);
    close_conversion(&c);
    close_conversion(&source);
}
END_TEST

START_TEST(selects_attentions)
{
    struct gqa_plan_options options = keep;
    struct conversion c;

    options.asked = 1;
    options.attentions = GQA_SELECT_ENCODER | GQA_SELECT_DECODER_CROSS;
    convert(&c, "t5-v1_1", &options);
    for (size_t i = 0; i < c.model->n_attentions; i++) {
        const struct gqa_attention *a = &c.model->attentions[i];
        const bool decoder_self =
            a->stack == GQA_STACK_DECODER && a->kind == GQA_ATTENTION_SELF;

        ck_assert_uint_eq(c.plan->attentions[i].written,
                          decoder_self ? a->n_heads : 1);
    }
    close_conversion(&c);
}
END_TEST

START_TEST(layers_may_differ)
{
    const struct gqa_layer_groups layers[] = {{1, 1, 2}};
    struct gqa_plan_options options = keep;
    struct conversion c;

    options.layer_groups = layers;
    options.n_layer_groups = 1;
    convert(&c, "flan-t5", &options);
    for (size_t i = 0; i < c.model->n_attentions; i++) {
        const struct gqa_attention *a = &c.model->attentions[i];
        const bool named = a->stack == GQA_STACK_DECODER && a->layer == 1;

        ck_assert(c.plan->attentions[i].selected == named);
        ck_assert_uint_eq(c.plan->attentions[i].written, named ? 2 : 6);
    }
    close_conversion(&c);
}
END_TEST

static void expect_refusal(const char *fixture,
                           const struct gqa_plan_options *options,
                           const char *message)
{
    struct conversion c;

    open_fixture(&c, fixture);
    ck_assert_int_eq(gqa_plan_create(&c.plan, c.model, options), GQA_ERR_USAGE);
    ck_assert_msg(strstr(gqa_error_message(), message) != NULL, "%s",
                  gqa_error_message());
    close_conversion(&c);
}

START_TEST(refuses_what_does_not_fit)
{
    const struct gqa_layer_groups beyond[] = {{0, 99, 2}};
    struct gqa_plan_options options = keep;

    options.asked = 5;
    expect_refusal("llama", &options, "possible are 1, 2, 3, 4, 6, 12");
    options.asked = 24;
    expect_refusal("llama", &options, "possible are 1, 2, 3, 4, 6, 12");
    options.asked = 2;
    options.attentions = GQA_SELECT_ENCODER;
    expect_refusal("llama", &options, "no attention of those");
    options.attentions = GQA_SELECT_DECODER;
    options.layer_groups = beyond;
    options.n_layer_groups = 1;
    expect_refusal("llama", &options, "there is no layer 99");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("methods");
    TCase *tc = tcase_create("heads");

    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, expanded_repeats_the_groups, 0, 3 * N_FIXTURES);
    tcase_add_loop_test(tc, first_copies_a_head, 0, N_FIXTURES);
    tcase_add_test(tc, random_follows_the_seed);
    tcase_add_test(tc, random_biases_are_zero);
    tcase_add_loop_test(tc, dtype_rounds_once, 0, 3);
    tcase_add_test(tc, selects_attentions);
    tcase_add_test(tc, layers_may_differ);
    tcase_add_test(tc, refuses_what_does_not_fit);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
