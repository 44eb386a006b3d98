/* A model a layer at a time: held against its run as a whole, and against
 * differences. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/back/layer.h"
#include "runtime/back/state.h"
#include "runtime/weights.h"
#include "suite.h"
#include "trained_model.h"

static const char *const fixtures[] = {"runtime/llama",
                                       "runtime/llama-grouped",
                                       "runtime/gpt2",
                                       "runtime/gpt_neox",
                                       "runtime/t5-v1_0",
                                       "runtime/t5-v1_1",
                                       "runtime/umt5",
                                       "families/gemma2",
                                       "families/qwen3",
                                       "families/phi-grouped",
                                       "families/opt-post",
                                       "families/bloom",
                                       "families/falcon",
                                       "families/falcon-parallel",
                                       "families/qwen2_moe",
                                       "families/granitemoe",
                                       "families/olmoe-clip",
                                       "families/apertus",
                                       "families/blenderbot_small",
                                       "families/whisper",
                                       "families/gpt2-cross",
                                       "families/t5gemma",
                                       "families/chatglm"};

enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

static struct gqa_layer *make(const struct trained_model *m,
                              const struct gqa_layer_place *place,
                              const bool *trained)
{
    struct gqa_checkpoint_weights weights = {m->checkpoint, m->model};
    const struct gqa_weight_source source =
        gqa_checkpoint_weight_source(&weights);
    struct gqa_tape_options options = trained_options(m);
    struct gqa_layer *layer = NULL;

    options.trained = trained;
    ck_assert_int_eq(gqa_layer_create(&layer, m->network, gqa_cpu_backend(),
                                      m->device, &source, place, &options),
                     GQA_OK);
    return layer;
}

/* Projections of a block's attentions. */
static bool *mark(const struct trained_model *m, size_t stack, size_t block)
{
    const struct gqa_block *b = &m->network->stacks[stack].blocks[block];
    bool *marks = calloc(m->model->n_params, sizeof *marks);

    ck_assert_ptr_nonnull(marks);
    for (int i = 0; i < (b->has_cross ? 2 : 1); i++) {
        const struct gqa_attention_block *a = i ? &b->cross : &b->self;
        const struct gqa_linear *parts[] = {&a->q, &a->k, &a->v, &a->o};

        for (size_t k = 0; k < 4; k++) {
            marks[parts[k]->weight] = true;
            if (parts[k]->bias != GQA_NO_PARAM)
                marks[parts[k]->bias] = true;
        }
    }
    return marks;
}

static size_t stream_bytes(const struct trained_model *m,
                           const struct gqa_tape_stack *stack)
{
    return stack->n_rows * gqa_tape_row_width(m->tape, stack) * sizeof(double);
}

/* Fill a block's layer with what the whole tape has before it. */
static void feed(const struct trained_model *m, struct gqa_layer *layer,
                 size_t stack, size_t i)
{
    const struct gqa_tape_stack *stacks = m->tape->stacks;
    void *memory;

    ck_assert_int_eq(gqa_layer_begin(layer, trained_batch(m)), GQA_OK);
    ck_assert_uint_eq(gqa_layer_n_rows(layer), stacks[stack].n_rows);
    memcpy(gqa_layer_in(layer), stacks[stack].x[i],
           stream_bytes(m, &stacks[stack]));
    if ((memory = gqa_layer_memory(layer)))
        memcpy(memory, stacks[0].normed, stream_bytes(m, &stacks[0]));
}

static void check_part(const struct trained_model *m,
                       const struct gqa_layer_place *place, const bool *trained,
                       const void *before, const void *after)
{
    const struct gqa_tape_stack *s = &m->tape->stacks[place->stack];
    const size_t n_bytes = stream_bytes(m, s);
    struct gqa_layer *layer = make(m, place, trained);
    void *out = NULL;

    if (place->part == GQA_LAYER_BLOCK) {
        feed(m, layer, place->stack, place->block);
    } else {
        ck_assert_int_eq(gqa_layer_begin(layer, trained_batch(m)), GQA_OK);
        if (before)
            memcpy(gqa_layer_in(layer), before, n_bytes);
    }
    ck_assert_int_eq(gqa_layer_run(layer, &out), GQA_OK);
    ck_assert_mem_eq(out, after, n_bytes);
    gqa_layer_free(layer);
}

/* Whether it goes back or not, to the bit. */
START_TEST(runs_as_the_whole_does)
{
    struct trained_model m;

    trained_open(&m, fixtures[_i], GQA_F64, 2, NULL);
    ck_assert_int_eq(gqa_tape_forward(m.tape, trained_batch(&m)), GQA_OK);
    for (size_t s = 0; s < m.network->n_stacks; s++) {
        const struct gqa_tape_stack *stack = &m.tape->stacks[s];
        const size_t n = m.network->stacks[s].n_blocks;
        const struct gqa_layer_place embedding = {GQA_LAYER_EMBEDDING, s, 0};
        const struct gqa_layer_place norm = {GQA_LAYER_FINAL_NORM, s, 0};

        check_part(&m, &embedding, NULL, NULL, stack->x[0]);
        check_part(&m, &norm, NULL, stack->x[n], stack->normed);
        for (size_t i = 0; i < n; i++) {
            const struct gqa_layer_place place = {GQA_LAYER_BLOCK, s, i};
            bool *marks = mark(&m, s, i);

            check_part(&m, &place, NULL, NULL, stack->x[i + 1]);
            check_part(&m, &place, marks, NULL, stack->x[i + 1]);
            free(marks);
        }
    }
    trained_close(&m);
}
END_TEST

/* --- Back ----------------------------------------------------------------- */

/* An attention whose stream is weighted and summed. */
struct sum {
    const struct trained_model *m;
    struct gqa_layer *layer;
    struct gqa_masters *masters;
    size_t stack, block;
    bool cross;
};

/* Of the stream's element i; 0 in padding. */
static double weight(const struct sum *s, uint64_t i)
{
    const struct gqa_tape_stack *stack = &s->m->tape->stacks[s->stack];
    const uint64_t row = i / s->m->network->d_model;
    const uint64_t length = stack->batch.n_new;

    return row % length < stack->n_tokens[row / length]
               ? sin(1 + 7.0 * (double)i)
               : 0;
}

static double value(const struct sum *s)
{
    void *out = NULL;
    double sum = 0;
    uint64_t n;

    feed(s->m, s->layer, s->stack, s->block);
    n = gqa_layer_n_rows(s->layer) * s->m->network->d_model;
    ck_assert_int_eq(gqa_layer_attend(s->layer, s->cross, &out), GQA_OK);
    for (uint64_t i = 0; i < n; i++)
        sum += weight(s, i) == 0 ? 0 : weight(s, i) * ((double *)out)[i];
    return sum;
}

static void go_back(const struct sum *s)
{
    double *d_out = gqa_layer_d_out(s->layer);
    uint64_t n;

    value(s);
    n = gqa_layer_n_rows(s->layer) * s->m->network->d_model;
    ck_assert_int_eq(gqa_layer_zero(s->layer), GQA_OK);
    for (uint64_t i = 0; i < n; i++)
        d_out[i] = weight(s, i);
    ck_assert_int_eq(gqa_layer_attend_back(s->layer, s->cross), GQA_OK);
}

static double slope_at(const struct sum *s, double *x, double h)
{
    static const int steps[4] = {-2, -1, 1, 2};
    const double at = *x;
    double values[4];

    for (int k = 0; k < 4; k++) {
        *x = at + steps[k] * h;
        values[k] = value(s);
    }
    *x = at;
    return (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h);
}

/* Near a kink points have to be close. */
static void check_element(const struct sum *s, size_t param, uint64_t i)
{
    double *x = (double *)gqa_masters_of(s->masters, param)->weights + i;
    const double g = ((double *)gqa_layer_gradient(s->layer, param))[i];
    double slope = NAN;

    for (int k = 0; k < 3 && !(fabs(g - slope) <= 1e-7 * (1 + fabs(slope)));
         k++)
        slope = slope_at(s, x, pow(10, -3 - k));
    ck_assert_msg(fabs(g - slope) <= 1e-7 * (1 + fabs(slope)),
                  "%s: %g, by differences %g", s->m->model->params[param].name,
                  g, slope);
}

static void check_attention(const struct trained_model *m, size_t stack,
                            size_t block, bool cross)
{
    const struct gqa_layer_place place = {GQA_LAYER_BLOCK, stack, block};
    const struct gqa_block *b = &m->network->stacks[stack].blocks[block];
    const struct gqa_attention_block *a = cross ? &b->cross : &b->self;
    const size_t params[] = {a->q.weight, a->k.weight, a->v.weight,
                             a->o.weight, a->v.bias,   a->o.bias};
    bool *marks = mark(m, stack, block);
    struct sum s = {.m = m,
                    .layer = make(m, &place, marks),
                    .stack = stack,
                    .block = block,
                    .cross = cross};

    ck_assert_int_eq(
        gqa_masters_create(&s.masters, gqa_layer_runtime(s.layer), marks),
        GQA_OK);
    go_back(&s);
    for (size_t k = 0; k < sizeof params / sizeof *params; k++)
        for (uint64_t i = 0; params[k] != GQA_NO_PARAM && i < 3; i++)
            check_element(&s, params[k],
                          (i * 7919 + 3) %
                              m->model->params[params[k]].n_elements);
    gqa_masters_free(s.masters);
    gqa_layer_free(s.layer);
    free(marks);
}

START_TEST(an_attention_goes_back)
{
    struct trained_model m;

    trained_open(&m, fixtures[_i], GQA_F64, 2, NULL);
    ck_assert_int_eq(gqa_tape_forward(m.tape, trained_batch(&m)), GQA_OK);
    for (size_t s = 0; s < m.network->n_stacks; s++) {
        const size_t last = m.network->stacks[s].n_blocks - 1;

        if (m.network->stacks[s].n_blocks == 0)
            continue;
        check_attention(&m, s, last, false);
        if (m.network->stacks[s].blocks[last].has_cross)
            check_attention(&m, s, last, true);
    }
    trained_close(&m);
}
END_TEST

/* --- Memory --------------------------------------------------------------- */

START_TEST(takes_what_it_says)
{
    const struct gqa_layer_place place = {GQA_LAYER_BLOCK, 0, 0};
    struct gqa_tape_options options;
    struct trained_model m;
    uint64_t forth, back;

    trained_open(&m, "runtime/llama", GQA_F64, 1, NULL);
    options = trained_options(&m);
    options.trained = NULL;
    forth = gqa_layer_bytes(m.network, gqa_cpu_backend(), m.device, &place,
                            &options);
    options.trained = mark(&m, 0, 0);
    back = gqa_layer_bytes(m.network, gqa_cpu_backend(), m.device, &place,
                           &options);
    ck_assert_uint_gt(forth, 0);
    ck_assert_uint_gt(back, forth);
    options.n_sequences = UINT64_MAX;
    ck_assert_uint_eq(gqa_layer_bytes(m.network, gqa_cpu_backend(), m.device,
                                      &place, &options),
                      UINT64_MAX);
    free((void *)options.trained);
    trained_close(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layer");
    TCase *tcase = tcase_create("layer");

    tcase_add_loop_test(tcase, runs_as_the_whole_does, 0, N_FIXTURES);
    tcase_add_loop_test(tcase, an_attention_goes_back, 0, N_FIXTURES);
    tcase_add_test(tcase, takes_what_it_says);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
