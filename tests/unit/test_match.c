/* An attention that was spoilt is matched to what it was, and nothing else
 * changes. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/interrupt.h"
#include "runtime/data/sample.h"
#include "runtime/state.h"
#include "scratch.h"
#include "suite.h"
#include "uptrain/match.h"
#include "uptrain/rates.h"

enum { BATCH = 4, LENGTH = 12, N_STEPS = 30 };

/* A model that is its own teacher, and what the last block of its decoder
 * trains. */
struct world {
    struct gqa_train_device device;
    struct gqa_pair pair;
    struct gqa_tokens tokens, held_out;
    struct gqa_walk *walk;
    struct gqa_match match;
    const struct gqa_block *block;
    bool *trained; /* both attentions' */
};

static void draw(struct gqa_tokens *out, const struct world *w, uint64_t n,
                 uint64_t seed)
{
    const struct gqa_sample_options options = {
        .n = n, .length = LENGTH, .seed = seed};

    ck_assert_int_eq(gqa_sample_uniform(out, w->pair.teacher.network, &options),
                     GQA_OK);
}

static void walk_part(struct world *w, enum gqa_layer_part part, size_t stack,
                      size_t block)
{
    const struct gqa_layer_place place = {part, stack, block};

    for (int who = 0; who < GQA_N_WALKERS; who++) {
        struct gqa_layer *layer = NULL;

        ck_assert_int_eq(
            gqa_walk_load(&layer, w->walk, (enum gqa_walker)who, &place, NULL),
            GQA_OK);
        ck_assert_int_eq(
            gqa_walk_on(w->walk, (enum gqa_walker)who, layer, &place), GQA_OK);
        gqa_layer_free(layer);
    }
}

/* Streams up to the last block of the decoder. */
static void walk_up(struct world *w)
{
    const struct gqa_network *n = w->pair.student.network;

    for (size_t s = 0; s < n->n_stacks; s++) {
        const bool last = s + 1 == n->n_stacks;

        walk_part(w, GQA_LAYER_EMBEDDING, s, 0);
        for (size_t i = 0; i + last < n->stacks[s].n_blocks; i++)
            walk_part(w, GQA_LAYER_BLOCK, s, i);
        if (!last)
            walk_part(w, GQA_LAYER_FINAL_NORM, s, 0);
    }
}

static void open_world(struct world *w, const char *fixture)
{
    const char *path = test_data(fixture);
    const struct gqa_pair_options pair = {
        .teacher = path, .student = path, .n_threads = 1};
    const struct gqa_network *n;
    struct gqa_walk_options options = {.batch = BATCH,
                                       .length = LENGTH,
                                       .tokens = &w->tokens,
                                       .held_out = &w->held_out};
    bool *all;

    memset(w, 0, sizeof *w);
    w->device.backend = gqa_cpu_backend();
    ck_assert_int_eq(
        w->device.backend->open(
            &w->device.device,
            &(struct gqa_device_options){.real = GQA_F32, .n_threads = 2}),
        GQA_OK);
    ck_assert_int_eq(
        w->device.backend->describe(w->device.device, &w->device.info), GQA_OK);
    ck_assert_int_eq(gqa_pair_open(&w->pair, &pair), GQA_OK);
    n = w->pair.student.network;
    draw(&w->tokens, w, UINT64_C(4) * BATCH, 1);
    /* The last batch is not full. */
    draw(&w->held_out, w, BATCH + 1, 2);
    ck_assert_int_eq(gqa_walk_create(&w->walk, &w->device, &w->pair, &options),
                     GQA_OK);
    ck_assert_uint_eq(gqa_walk_n_trained_on(w->walk), 4);
    ck_assert_uint_eq(gqa_walk_n_batches(w->walk), 6);
    walk_up(w);
    w->match =
        (struct gqa_match){.walk = w->walk,
                           .device = &w->device,
                           .network = n,
                           .place = {GQA_LAYER_BLOCK, n->n_stacks - 1, 0}};
    w->match.place.block = n->stacks[n->n_stacks - 1].n_blocks - 1;
    w->block = &n->stacks[n->n_stacks - 1].blocks[w->match.place.block];
    all = malloc(n->model->n_params * sizeof *all);
    w->trained = calloc(n->model->n_params, sizeof *w->trained);
    ck_assert(all && w->trained);
    memset(all, true, n->model->n_params * sizeof *all);
    gqa_match_mark(w->trained, n->model, &w->block->self, all);
    if (w->block->has_cross)
        gqa_match_mark(w->trained, n->model, &w->block->cross, all);
    free(all);
    ck_assert_int_eq(gqa_walk_load(&w->match.teacher, w->walk, GQA_WALK_TEACHER,
                                   &w->match.place, NULL),
                     GQA_OK);
    ck_assert_int_eq(gqa_walk_load(&w->match.student, w->walk, GQA_WALK_STUDENT,
                                   &w->match.place, w->trained),
                     GQA_OK);
    ck_assert_int_eq(gqa_masters_create(&w->match.masters,
                                        gqa_layer_runtime(w->match.student),
                                        w->trained),
                     GQA_OK);
}

static void close_world(struct world *w)
{
    gqa_masters_free(w->match.masters);
    gqa_layer_free(w->match.student);
    gqa_layer_free(w->match.teacher);
    gqa_walk_free(w->walk);
    gqa_tokens_clear(&w->tokens);
    gqa_tokens_clear(&w->held_out);
    gqa_pair_close(&w->pair);
    w->device.backend->close(w->device.device);
    free(w->trained);
}

static size_t weight_bytes(const struct gqa_weight *w)
{
    return (size_t)(w->rows * w->cols * gqa_dtype_bits(w->dtype) / 8);
}

/* All weights of the student's block, by parameter. */
static void **copy_weights(const struct world *w)
{
    const struct gqa_runtime *r = gqa_layer_runtime(w->match.student);
    const size_t n = w->match.network->model->n_params;
    void **copies = calloc(n, sizeof *copies);

    ck_assert_ptr_nonnull(copies);
    for (size_t i = 0; i < n; i++) {
        const size_t n_bytes = weight_bytes(&r->weights[i]);

        if (!r->weights[i].data)
            continue;
        copies[i] = malloc(n_bytes);
        ck_assert_ptr_nonnull(copies[i]);
        memcpy(copies[i], r->weights[i].data, n_bytes);
    }
    return copies;
}

/* Those that are marked differ from the copies, all others do not; the copies
 * are freed. */
static void check_changed(const struct world *w, void **copies,
                          const bool *marks)
{
    const struct gqa_runtime *r = gqa_layer_runtime(w->match.student);

    for (size_t i = 0; i < w->match.network->model->n_params; i++) {
        if (!copies[i])
            continue;
        ck_assert_msg((memcmp(copies[i], r->weights[i].data,
                              weight_bytes(&r->weights[i])) != 0) == marks[i],
                      "%s", w->match.network->model->params[i].name);
        free(copies[i]);
    }
    free(copies);
}

static void spoil(const struct world *w, const struct gqa_attention_block *a)
{
    const struct gqa_master *m = gqa_masters_of(w->match.masters, a->v.weight);
    float *values = m->weights;

    for (uint64_t i = 0; i < m->n; i++)
        values[i] *= i % 3 == 0 ? 0.5f : 1.25f;
}

static const char *const models[] = {"runtime/llama", "runtime/gpt2",
                                     "runtime/gpt_neox", "runtime/t5-v1_1"};

static struct gqa_match_options options_of(double rate)
{
    return (struct gqa_match_options){
        .schedule = {.rate = rate, .n_steps = N_STEPS, .warmup = 2},
        .accumulate = 2};
}

START_TEST(comes_nearer_and_leaves_the_rest)
{
    struct world w;

    open_world(&w, models[_i]);
    for (int cross = 0; cross < (w.block->has_cross ? 2 : 1); cross++) {
        const struct gqa_attention_block *a =
            cross ? &w.block->cross : &w.block->self;
        const struct gqa_match_options options = options_of(3e-3);
        const size_t n_params = w.match.network->model->n_params;
        bool *marks = calloc(n_params, sizeof *marks);
        struct gqa_match_result r;
        void **copies;

        ck_assert_ptr_nonnull(marks);
        ck_assert_uint_gt(
            gqa_match_mark(marks, w.match.network->model, a, w.trained), 0);
        spoil(&w, a);
        copies = copy_weights(&w);
        ck_assert_int_eq(
            gqa_match_attention(&r, &w.match, cross, marks, &options), GQA_OK);
        ck_assert(r.gained);
        ck_assert_double_gt(r.before, 0);
        ck_assert_double_lt(r.after, 0.9 * r.before);
        check_changed(&w, copies, marks);
        free(marks);
    }
    close_world(&w);
}
END_TEST

/* No time at all, time for a few steps, and loops that are asked to stop. */
START_TEST(makes_what_there_is_time_for)
{
    struct gqa_match_options options = options_of(0);
    struct gqa_match_result r;
    struct world w;
    void **copies;
    bool *none;

    open_world(&w, models[_i]);
    none = calloc(w.match.network->model->n_params, sizeof *none);
    ck_assert_ptr_nonnull(none);
    spoil(&w, &w.block->self);
    copies = copy_weights(&w);
    options.until_s = 1e-9;
    ck_assert_int_eq(
        gqa_match_attention(&r, &w.match, false, w.trained, &options), GQA_OK);
    ck_assert_uint_eq(r.n_steps, 0);
    ck_assert(!r.gained && r.before > 0);
    gqa_interrupt_ask_at(1e-9);
    ck_assert_int_eq(
        gqa_match_attention(&r, &w.match, false, w.trained, &options),
        GQA_ERR_INTERRUPTED);
    gqa_interrupt_ask_at(0);
    ck_assert_uint_eq(r.n_steps, 0);
    check_changed(&w, copies, none);
    options.until_s = gqa_clock_s() + 1000;
    ck_assert_int_eq(
        gqa_match_attention(&r, &w.match, false, w.trained, &options), GQA_OK);
    ck_assert_uint_eq(r.n_steps, GQA_LEAST_STEPS);
    ck_assert(r.gained);
    ck_assert_double_eq(r.rate, gqa_rate_untried);
    free(none);
    close_world(&w);
}
END_TEST

/* What is the original's, and what a rate ruins. */
START_TEST(keeps_its_start)
{
    struct world w;

    open_world(&w, models[_i]);
    for (int ruined = 0; ruined < 2; ruined++) {
        const struct gqa_match_options options = options_of(ruined ? 1e30 : 1);
        const size_t n_params = w.match.network->model->n_params;
        bool *none = calloc(n_params, sizeof *none);
        struct gqa_match_result r;
        void **copies;

        ck_assert_ptr_nonnull(none);
        if (ruined)
            spoil(&w, &w.block->self);
        copies = copy_weights(&w);
        ck_assert_int_eq(
            gqa_match_attention(&r, &w.match, false, w.trained, &options),
            GQA_OK);
        ck_assert(!r.gained);
        ck_assert_int_eq(r.before > 0, ruined);
        check_changed(&w, copies, none);
        free(none);
    }
    close_world(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("match");
    TCase *tcase = tcase_create("match");

    tcase_add_loop_test(tcase, comes_nearer_and_leaves_the_rest, 0,
                        sizeof models / sizeof *models);
    tcase_add_loop_test(tcase, makes_what_there_is_time_for, 0,
                        sizeof models / sizeof *models);
    tcase_add_loop_test(tcase, keeps_its_start, 0,
                        sizeof models / sizeof *models);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
