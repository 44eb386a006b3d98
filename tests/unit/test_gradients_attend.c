/* Attention backwards, against differences of attention. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradient_check.h"
#include "suite.h"

enum { SEQUENCES = 3, REACH = 310 };

struct attend_case {
    uint64_t n_heads, n_kv_heads, head_dim;
    uint64_t n_new, n_tokens[SEQUENCES], capacity;
    bool causal, counted, biased;
    uint64_t window;
    double soft_cap;
};

static const struct attend_case cases[] = {
    {4, 4, 8, 12, {12, 7, 1}, 14, .causal = true},
    {6, 2, 5, 11, {11, 4, 0}, 11, .biased = true},
    {12, 6, 4, 9, {9, 5, 8}, 9, .causal = true, .window = 3, .biased = true},
    {4, 1, 8, 10, {10, 10, 3}, 17, .counted = true},
    {4,
     2,
     8,
     12,
     {12, 3, 9},
     12,
     .causal = true,
     .biased = true,
     .soft_cap = 0.4},
    {4, 2, 8, 12, {12, 3, 9}, 12, .soft_cap = 0.7},
    /* Several tiles of queries and keys. */
    {2, 1, 8, 290, {290, 97, 64}, 290, .causal = true, .biased = true},
    {2, 2, 3, 140, {140, 65, 129}, 150, .causal = true, .window = 70},
    {2, 1, 8, 70, {70, 64, 1}, 300, .counted = true, .soft_cap = 2},
};

enum { N_CASES = sizeof cases / sizeof *cases };

struct attend_ctx {
    const struct attend_case *c;
    uint64_t n_rows, width, counts[SEQUENCES];
    struct gqa_attention_op op;
    void *d_out; /* 0 where there is padding */
};

static double value(const struct problem *p)
{
    const struct attend_ctx *a = p->ctx;

    ck_assert_int_eq(backend->attend(device, &a->op), GQA_OK);
    return dot(a->op.out, a->d_out, a->n_rows * a->width);
}

static void back(const struct problem *p)
{
    const struct attend_ctx *a = p->ctx;
    void *lse = poisoned(a->n_rows * a->c->n_heads);
    struct gqa_attention_gradient op = {
        .forward = a->op,
        .d_out = a->d_out,
        .d_q = p->variables[0].dx,
        .d_k = p->variables[1].dx,
        .d_v = p->variables[2].dx,
        .d_bias = a->c->biased ? p->variables[3].dx : NULL,
    };

    op.forward.lse = lse;
    ck_assert_int_eq(backend->attend(device, &op.forward), GQA_OK);
    ck_assert_int_eq(ops.attend_back(device, &op), GQA_OK);
    free(lse);
}

static void set_batch(const struct attend_case *c)
{
    static const uint64_t starts[SEQUENCES];
    int32_t *tokens = make(SEQUENCES * c->n_new, sizeof *tokens);

    ck_assert_int_eq(
        backend->set_batch(device,
                           &(struct gqa_batch){SEQUENCES, c->n_new, tokens,
                                               c->n_tokens, starts}),
        GQA_OK);
    free(tokens);
}

static void make_case(struct problem *p, const void *wanted)
{
    const struct attend_case *c = wanted;
    struct attend_ctx *a = make(1, sizeof *a);
    const uint64_t keys = SEQUENCES * c->n_kv_heads * c->capacity * c->head_dim;

    a->c = c;
    a->n_rows = SEQUENCES * c->n_new;
    a->width = c->n_heads * c->head_dim;
    for (uint64_t s = 0; s < SEQUENCES; s++)
        a->counts[s] = c->capacity / (s + 1);
    p->ctx = a;
    p->value = value;
    p->back = back;
    a->op = (struct gqa_attention_op){
        .out = zero_reals(a->n_rows * a->width),
        .q_width = a->width + 3,
        .q_place = {c->n_heads, 2, c->n_heads, 0},
        .n_kv_heads = c->n_kv_heads,
        .head_dim = c->head_dim,
        .capacity = c->capacity,
        .scale = 0.9,
        .soft_cap = c->soft_cap,
        .causal = c->causal,
        .window = c->window,
        .key_counts = c->counted ? a->counts : NULL,
        .reach = REACH,
    };
    a->op.q = add_variable(p, "queries", a->n_rows * a->op.q_width);
    a->op.k = add_variable(p, "keys", keys);
    a->op.v = add_variable(p, "values", keys);
    if (c->biased)
        a->op.bias = add_variable(p, "biases", c->n_heads * (2 * REACH - 1));
    a->d_out = drawn_reals(a->n_rows * a->width);
    for (uint64_t r = 0; r < a->n_rows; r++)
        if (r % c->n_new >= c->n_tokens[r / c->n_new])
            memset((char *)a->d_out + r * a->width * bytes_of(real), 0,
                   a->width * bytes_of(real));
    set_batch(c);
}

static void end_case(struct problem *p)
{
    struct attend_ctx *a = p->ctx;

    free(a->op.out);
    free(a->d_out);
    free(a);
    end_problem(p);
}

static const struct gradient_test test = {make_case, end_case};

START_TEST(goes_back)
{
    check_gradients(&test, &cases[_i]);
}
END_TEST

/* What is set is set wherever it is. */
START_TEST(sets_all)
{
    const struct attend_case *c = &cases[1];
    struct problem p = {.n_variables = 0};
    const double *x;

    open_device(GQA_F64, 2);
    mend_ops();
    make_case(&p, c);
    for (int i = 1; i < 3; i++) {
        free(p.variables[i].dx);
        p.variables[i].dx = poisoned(p.variables[i].n);
    }
    back(&p);
    for (int i = 1; i < 3; i++) {
        x = p.variables[i].dx;
        for (size_t j = 0; j < p.variables[i].n; j++)
            ck_assert(!isnan(x[j]));
    }
    end_case(&p);
    close_device();
}
END_TEST

/* --- Broken --------------------------------------------------------------- */

static enum gqa_status call_with(struct gqa_device *d,
                                 const struct gqa_attention_gradient *op)
{
    return whole_ops()->attend_back(d, op);
}

static enum gqa_status without_mean(struct gqa_device *d,
                                    const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;
    const struct gqa_attention_op *f = &op->forward;
    void *zeros =
        zero_reals(SEQUENCES * 300 * f->q_place.n_heads * f->head_dim);
    enum gqa_status st;

    broken.forward.out = zeros;
    st = call_with(d, &broken);
    free(zeros);
    return st;
}

static enum gqa_status without_cap(struct gqa_device *d,
                                   const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.soft_cap = 0;
    return call_with(d, &broken);
}

static enum gqa_status without_bias(struct gqa_device *d,
                                    const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.bias = NULL;
    return call_with(d, &broken);
}

static enum gqa_status without_window(struct gqa_device *d,
                                      const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.window = 0;
    return call_with(d, &broken);
}

static enum gqa_status without_mask(struct gqa_device *d,
                                    const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.causal = false;
    return call_with(d, &broken);
}

static enum gqa_status without_counts(struct gqa_device *d,
                                      const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.key_counts = NULL;
    return call_with(d, &broken);
}

static enum gqa_status of_another_scale(struct gqa_device *d,
                                        const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.forward.scale = 0.91;
    return call_with(d, &broken);
}

static enum gqa_status without_d_bias(struct gqa_device *d,
                                      const struct gqa_attention_gradient *op)
{
    struct gqa_attention_gradient broken = *op;

    broken.d_bias = NULL;
    return call_with(d, &broken);
}

/* The keys' and values' of the last query head of each group alone. */
static enum gqa_status without_group(struct gqa_device *d,
                                     const struct gqa_attention_gradient *op)
{
    const struct gqa_attention_op *f = &op->forward;
    const size_t width = f->q_place.n_heads * f->head_dim;
    const size_t group = f->q_place.n_heads / f->n_kv_heads;
    struct gqa_attention_gradient broken = *op;
    double *d_out = make(SEQUENCES * 300 * width, sizeof *d_out);
    enum gqa_status st;

    for (size_t i = 0; i < 30 * width; i++)
        d_out[i] = i % width / f->head_dim % group == group - 1
                       ? ((const double *)op->d_out)[i]
                       : 0;
    broken.d_out = d_out;
    st = call_with(d, &broken);
    free(d_out);
    return st;
}

static enum gqa_status of_small_sums(struct gqa_device *d,
                                     const struct gqa_attention_gradient *op)
{
    ((double *)op->forward.lse)[0] -= 1e-3;
    return call_with(d, op);
}

static const struct {
    const char *how;
    int of; /* a case */
    enum gqa_status (*attend_back)(struct gqa_device *,
                                   const struct gqa_attention_gradient *);
} broken[] = {
    {"no mean of gradients", 0, without_mean},
    {"no soft cap", 4, without_cap},
    {"no bias", 2, without_bias},
    {"no window", 2, without_window},
    {"no causal mask", 0, without_mask},
    {"no counts of keys", 3, without_counts},
    {"another scale", 0, of_another_scale},
    {"no gradient of biases", 1, without_d_bias},
    {"a head of each group", 3, without_group},
    {"a wrong sum of exponentials", 0, of_small_sums},
};

enum { N_BROKEN = sizeof broken / sizeof *broken };

START_TEST(is_caught)
{
    mend_ops();
    ops.attend_back = broken[_i].attend_back;
    check_caught(&test, &cases[broken[_i].of], broken[_i].how);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradients of attention");
    TCase *tcase = tcase_create("attention");

    tcase_add_loop_test(tcase, goes_back, 0, N_CASES);
    tcase_add_test(tcase, sets_all);
    tcase_add_loop_test(tcase, is_caught, 0, N_BROKEN);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
