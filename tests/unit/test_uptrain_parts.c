#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "uptrain/batch.h"
#include "uptrain/data_file.h"
#include "uptrain/data_list.h"
#include "uptrain/history.h"
#include "uptrain/loss_mix.h"
#include "uptrain/order.h"
#include "uptrain/rates.h"
#include "uptrain/schedule.h"
#include "uptrain/time_plan.h"

/* --- Rates ---------------------------------------------------------------- */

START_TEST(rate_rises_and_falls)
{
    const struct gqa_schedule s = {
        .rate = 1, .n_steps = 12, .warmup = 2, .decay = GQA_DECAY_LINEAR};

    ck_assert_double_eq(gqa_schedule_rate(&s, 0), 0.5);
    ck_assert_double_eq(gqa_schedule_rate(&s, 1), 1);
    ck_assert_double_eq(gqa_schedule_rate(&s, 2), 1);
    ck_assert_double_eq(gqa_schedule_rate(&s, 7), 0.5);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 11), 0.1, 1e-15);
    ck_assert_double_eq(gqa_schedule_rate(&s, 12), 0);
}
END_TEST

START_TEST(other_ways_to_fall)
{
    struct gqa_schedule s = {
        .rate = 2, .n_steps = 10, .warmup = 0, .decay = GQA_DECAY_COSINE};

    ck_assert_double_eq(gqa_schedule_rate(&s, 0), 2);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 5), 1, 1e-15);
    s.decay = GQA_DECAY_NONE;
    ck_assert_double_eq(gqa_schedule_rate(&s, 9), 2);
    ck_assert_double_eq(gqa_schedule_rate(&s, 100), 2);
}
END_TEST

/* 12 steps, of which time is over behind 8: known behind 4, where 8 of the
 * fall's 10 are left. */
START_TEST(falls_in_the_time_that_there_is)
{
    struct gqa_schedule s = {
        .rate = 1, .n_steps = 12, .warmup = 2, .decay = GQA_DECAY_LINEAR};
    const struct gqa_time_plan all = gqa_time_plan_make(&s, 4, 100, true, 9);
    const struct gqa_time_plan first = gqa_time_plan_make(&s, 4, 4, true, 9);
    struct gqa_time_plan second;

    /* All steps fit: to the bit what it was. */
    ck_assert_uint_eq(all.n_steps, 12);
    gqa_time_plan_follow(&s, &all);
    ck_assert_uint_eq(s.end, 0);

    ck_assert_uint_eq(first.n_steps, 8);
    gqa_time_plan_follow(&s, &first);
    ck_assert_uint_eq(gqa_schedule_end(&s), 8);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 4), 0.8, 1e-15);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 7), 0.2, 1e-15);
    ck_assert_double_eq(gqa_schedule_rate(&s, 8), 0);

    /* Behind 6, with 0.4 left, there is time for all after all. */
    second = gqa_time_plan_make(&s, 6, 100, true, 9);
    ck_assert_uint_eq(second.n_steps, 12);
    gqa_time_plan_follow(&s, &second);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 6), 0.4, 1e-15);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 9), 0.2, 1e-15);
    ck_assert_double_eq(gqa_schedule_rate(&s, 12), 0);
}
END_TEST

/* Of 1000 steps, which have 20 to warm up, 100 fit, which have 5: but 7 are
 * made. */
START_TEST(warms_up_in_the_time_that_there_is)
{
    const struct gqa_schedule all = {
        .rate = 1, .n_steps = 1000, .warmup = 20, .decay = GQA_DECAY_LINEAR};
    struct gqa_schedule s = all;
    struct gqa_time_plan p = gqa_time_plan_make(&s, 7, 93, false, 9);

    ck_assert_uint_eq(p.warmup, 7);
    gqa_time_plan_follow(&s, &p);
    ck_assert_double_eq(gqa_schedule_rate(&s, 7), 1);
    ck_assert_double_eq_tol(gqa_schedule_rate(&s, 99), 1 / 93.0, 1e-15);
    p = gqa_time_plan_make(&all, 2, 98, false, 9);
    ck_assert_uint_eq(p.warmup, 5);
    p = gqa_time_plan_make(&all, 7, 93, true, 9);
    ck_assert_uint_eq(p.warmup, 20);
    s = all;
    gqa_time_plan_follow(&s, &p);
    ck_assert_double_eq(gqa_schedule_rate(&s, 9), 0.5);
    ck_assert_double_eq(gqa_schedule_rate(&s, 20), 1);
    ck_assert_double_eq(gqa_schedule_rate(&s, 60), 0.5);
    /* No step fits: the run is over. */
    p = gqa_time_plan_make(&all, 30, 0, false, 9);
    s = all;
    gqa_time_plan_follow(&s, &p);
    ck_assert_uint_eq(gqa_schedule_end(&s), 30);
}
END_TEST

/* Steps of 2 s; measures of 8 s, the last of which has 10. */
START_TEST(steps_that_fit)
{
    struct gqa_plan_times t = {.left_s = 110,
                               .step_s = 2,
                               .measure_s = 8,
                               .eval_every = 1000000000,
                               .apart_s = 1e9};
    const struct gqa_time_plan p = {.made = 10, .n_steps = 110};

    ck_assert_uint_eq(gqa_time_plan_fit(&t), 49); /* but for a hair */
    t.eval_every = 4;                             /* so that a step takes 4 s */
    ck_assert_uint_eq(gqa_time_plan_fit(&t), 25);
    t.apart_s = 4; /* one of two is measured: 6 s */
    ck_assert_uint_eq(gqa_time_plan_fit(&t), 16);
    t.left_s = 10;
    ck_assert_uint_eq(gqa_time_plan_fit(&t), 0);
    t.left_s = -1;
    ck_assert_uint_eq(gqa_time_plan_fit(&t), 0);

    ck_assert(!gqa_time_plan_is_off(&p, 10, 110));
    ck_assert(gqa_time_plan_is_off(&p, 10, 111));
    ck_assert(gqa_time_plan_is_off(&p, 10, 89));
    ck_assert(!gqa_time_plan_is_off(&p, 105, 7));
    ck_assert(gqa_time_plan_is_off(&p, 105, 8));
}
END_TEST

START_TEST(warmup_of_a_run)
{
    ck_assert_uint_eq(gqa_schedule_warmup(1), 1);
    ck_assert_uint_eq(gqa_schedule_warmup(100), 5);
    ck_assert_uint_eq(gqa_schedule_warmup(400), 20);
    ck_assert_uint_eq(gqa_schedule_warmup(100000), 20);
}
END_TEST

/* What is left behind a few steps, 1 before any: less with higher rates up to
 * `low`, `left_low` then, `left` at `best`, and nothing good beyond. */
struct landscape {
    double low, best, left, left_low;
    int n_attempts;
};

static enum gqa_status attempt(void *ctx, double rate, double *value)
{
    struct landscape *l = ctx;

    l->n_attempts++;
    if (rate > 1.5 * l->best)
        *value = INFINITY;
    else if (rate > 0.9 * l->best)
        *value = l->left;
    else if (rate > 0.9 * l->low)
        *value = l->left_low;
    else
        *value = 1 - (1 - l->left_low) * rate / l->low;
    return GQA_OK;
}

static double found_below(struct landscape *l, double highest)
{
    const struct gqa_rate_search search = {l, attempt, 1, highest};
    double rate = 0;

    ck_assert_int_eq(gqa_rates_search(&rate, &search), GQA_OK);
    return rate;
}

static double found(struct landscape *l)
{
    return found_below(l, 1);
}

static uint64_t steps_in(uint64_t n_steps, double left_s)
{
    const struct gqa_rate_times times = {
        .step_s = 1, .measure_s = 2, .left_s = left_s};

    return gqa_rates_steps(n_steps, &times);
}

/* A twentieth, or 20, or all; in short time what a third of it holds beside a
 * measure of 2 s, and nothing where that is less than 5 steps of 1 s. */
START_TEST(rates_are_tried_in_time)
{
    ck_assert_uint_eq(steps_in(1000, INFINITY), 50);
    ck_assert_uint_eq(steps_in(400, INFINITY), 20);
    ck_assert_uint_eq(steps_in(3, INFINITY), 3);
    ck_assert_uint_eq(steps_in(1000000, 3 * 102), 100);
    ck_assert_uint_eq(steps_in(400, 3 * 22), 20);
    ck_assert_uint_eq(steps_in(400, 3 * 21.5), 19);
    ck_assert_uint_eq(steps_in(400, 3 * 7), 5);
    ck_assert_uint_eq(steps_in(400, 3 * 6.5), 0);
    ck_assert_uint_eq(steps_in(3, 3 * 5), 3);
    ck_assert_uint_eq(steps_in(400, -1), 0);
}
END_TEST

/* As high as pays, and a little more. */
START_TEST(rate_is_found)
{
    struct landscape up = {1e-2, 1e-2, 0.5, 0.5, 0};
    struct landscape down = {1e-5, 1e-5, 0.5, 0.5, 0};
    struct landscape near = {1e-3, 3e-3, 0.59, 0.5, 0};
    struct landscape far = {1e-3, 3e-3, 0.61, 0.5, 0};
    struct landscape none = {1e-9, 1e-9, 2, 2, 0};

    ck_assert_double_eq(found(&up), 1e-2);
    ck_assert_int_eq(up.n_attempts, 4);
    ck_assert_double_eq(found_below(&up, 3e-3), 3e-3);
    ck_assert_double_eq(found(&down), 1e-5);
    ck_assert_double_eq(found(&near), 3e-3);
    ck_assert_double_eq(found(&far), 1e-3);
    ck_assert_double_eq(found(&none), 1e-6);
    ck_assert_int_eq(none.n_attempts, 8);
}
END_TEST

/* --- Losses --------------------------------------------------------------- */

START_TEST(losses_add_up)
{
    struct gqa_loss_mix m;

    ck_assert_int_eq(gqa_loss_parse(&m, "kl"), GQA_OK);
    ck_assert_double_eq(m.kl, 1);
    ck_assert(gqa_loss_wants_teacher(&m));
    ck_assert_int_eq(gqa_loss_parse(&m, "kl:0.5,symmetric:1,ce:0.25"), GQA_OK);
    ck_assert_double_eq(m.kl, 1);
    ck_assert_double_eq(m.reverse_kl, 0.5);
    ck_assert_double_eq(m.cross_entropy, 0.25);
    ck_assert_int_eq(gqa_loss_parse(&m, "ce"), GQA_OK);
    ck_assert(!gqa_loss_wants_teacher(&m));
}
END_TEST

START_TEST(losses_that_are_none)
{
    static const char *const texts[] = {
        "",      "mse",  "kl,",    "kl:",    "kl:0",
        "kl:-1", "kl:x", "kl:inf", "kl:1:1", ",kl"};
    struct gqa_loss_mix m;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(gqa_loss_parse(&m, texts[i]) == GQA_ERR_USAGE, "%s",
                      texts[i]);
}
END_TEST

/* --- Data ----------------------------------------------------------------- */

START_TEST(shares_of_data)
{
    static const char *const bad[] = {
        "a:-1",    "a:nan",    "a:inf", "a:-0",    "a:1e999", "self:0",
        "self:-1", "self:abc", "self:", "self:1x", "self:nan"};
    static const char *const names[][2] = {
        {"a:1:1", "a:1"}, {"a:nan:1", "a:nan"}, {"./self", "./self"},
        {"a:", "a:"},     {"a: b", "a: b"},     {"./self:abc", "./self:abc"},
        {"a:1s", "a:1s"}};
    struct gqa_data_list list = {NULL, 0};

    ck_assert_int_eq(
        gqa_data_list_parse(&list, "self:0.5,a:b.txt:2,C:name,d.npy"), GQA_OK);
    ck_assert_uint_eq(list.n, 4);
    ck_assert_int_eq(list.items[0].kind, GQA_DATA_SELF);
    ck_assert_ptr_null(list.items[0].path);
    ck_assert_double_eq(list.items[0].share, 0.5);
    ck_assert_str_eq(list.items[1].path, "a:b.txt");
    ck_assert_double_eq(list.items[1].share, 2);
    ck_assert_str_eq(list.items[2].path, "C:name");
    ck_assert_double_eq(list.items[2].share, 1);
    ck_assert_str_eq(list.items[3].path, "d.npy");
    gqa_data_list_clear(&list);
    /* As a file it may be called so. */
    ck_assert_int_eq(gqa_data_list_add(&list, "self", 4, GQA_DATA_TEXT),
                     GQA_OK);
    ck_assert_str_eq(list.items[0].path, "self");
    gqa_data_list_clear(&list);
    ck_assert_int_eq(gqa_data_list_parse(&list, "a:0"), GQA_ERR_USAGE);
    gqa_data_list_clear(&list);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(gqa_data_list_parse(&list, bad[i]), GQA_ERR_USAGE);
        gqa_data_list_clear(&list);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(gqa_data_list_parse(&list, names[i][0]), GQA_OK);
        ck_assert_int_eq(list.items[0].kind, GQA_DATA_FILE);
        ck_assert_str_eq(list.items[0].path, names[i][1]);
        ck_assert_double_eq(list.items[0].share, 1);
        gqa_data_list_clear(&list);
    }
    ck_assert_int_eq(gqa_data_list_parse(&list, "a,,b"), GQA_ERR_USAGE);
    gqa_data_list_clear(&list);
    ck_assert_int_eq(gqa_data_list_parse(&list, ":2"), GQA_ERR_USAGE);
    gqa_data_list_clear(&list);
}
END_TEST

static enum gqa_data_kind kind_of(const char *start, size_t n)
{
    return gqa_data_kind_of((const unsigned char *)start, n);
}

START_TEST(kinds_of_files)
{
    ck_assert_int_eq(kind_of("1 2, 3\n4|5\n", 10), GQA_DATA_TOKENS);
    ck_assert_int_eq(kind_of("1 2 three", 9), GQA_DATA_TEXT);
    ck_assert_int_eq(kind_of("\x93NUMPY\x01\x00", 8), GQA_DATA_TOKENS);
    ck_assert_int_eq(kind_of("\x08\0\0\0\0\0\0\0{\"a\":1}", 16),
                     GQA_DATA_TOKENS);
    ck_assert_int_eq(kind_of("{\"a\": 1}", 8), GQA_DATA_TEXT);
    ck_assert_int_eq(kind_of("", 0), GQA_DATA_TEXT);
    ck_assert_int_eq(kind_of("\xef\xbb\xbf"
                             "1 2\n",
                             7),
                     GQA_DATA_TOKENS);
    ck_assert_int_eq(kind_of("\xef\xbb\xbf"
                             "a\n",
                             5),
                     GQA_DATA_TEXT);
    ck_assert_int_eq(kind_of("\xef\xbb\xbf", 3), GQA_DATA_TEXT);
    /* UTF-16, an archive */
    ck_assert_int_eq(kind_of("\xff\xfe"
                             "1\0 \0",
                             6),
                     GQA_DATA_FILE);
    ck_assert_int_eq(kind_of("PK\3\4\x14\0\0\0", 8), GQA_DATA_FILE);
}
END_TEST

/* Each time round all are seen once, and not in the same order. */
START_TEST(all_are_seen_each_time)
{
    enum { N = 20 };
    struct gqa_order order;
    uint64_t first[N] = {0}, at;
    size_t n_same = 0;

    gqa_order_init(&order, 7, N);
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        bool seen[N] = {false};

        for (uint64_t i = 0; i < N; i++) {
            ck_assert_int_eq(gqa_order_at(&at, &order, epoch * N + i), GQA_OK);
            ck_assert(at < N && !seen[at]);
            seen[at] = true;
            n_same += epoch == 1 && first[i] == at;
            if (epoch == 0)
                first[i] = at;
        }
    }
    ck_assert_uint_lt(n_same, N / 2);
    /* Back to what was. */
    ck_assert_int_eq(gqa_order_at(&at, &order, 3), GQA_OK);
    ck_assert_uint_eq(at, first[3]);
    gqa_order_clear(&order);
}
END_TEST

START_TEST(sources_by_their_shares)
{
    const double shares[] = {1, 3};
    size_t n = 0;

    for (uint64_t k = 0; k < 10000; k++)
        n += gqa_order_choose(5, k, shares, 2);
    ck_assert_uint_gt(n, 7300);
    ck_assert_uint_lt(n, 7700);
    ck_assert_uint_eq(gqa_order_choose(5, 17, shares, 2),
                      gqa_order_choose(5, 17, shares, 2));
}
END_TEST

static struct gqa_tokens make_tokens(size_t n, int64_t length)
{
    const struct gqa_token_rules rules = {.vocab_size = 1000};
    struct gqa_tokens tokens = {NULL, 0};
    int64_t ids[64];

    for (size_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < length; k++)
            ids[k] = (int64_t)i * 10 + k;
        ck_assert_int_eq(
            gqa_tokens_add(&tokens, &rules, ids, (uint64_t)length, NULL, 0),
            GQA_OK);
    }
    return tokens;
}

START_TEST(some_are_held_out)
{
    struct gqa_tokens tokens = make_tokens(50, 4), held_out = {NULL, 0};
    uint64_t n = 0;

    ck_assert_int_eq(gqa_data_hold_out(&held_out, &n, &tokens, 100), GQA_OK);
    ck_assert_uint_eq(n, 5);
    ck_assert_uint_eq(held_out.n, 5);
    ck_assert_uint_eq(tokens.n, 45);
    for (size_t i = 0; i < held_out.n; i++)
        for (size_t k = 0; k < tokens.n; k++)
            ck_assert_int_ne(held_out.sequences[i].decoder[0],
                             tokens.sequences[k].decoder[0]);
    gqa_tokens_clear(&tokens);
    gqa_tokens_clear(&held_out);
}
END_TEST

START_TEST(of_few_one_is_both)
{
    struct gqa_tokens tokens = make_tokens(3, 4), held_out = {NULL, 0};
    uint64_t n = 0;

    ck_assert_int_eq(gqa_data_hold_out(&held_out, &n, &tokens, 100), GQA_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(tokens.n, 3);
    ck_assert_uint_eq(held_out.n, 1);
    ck_assert_int_eq(held_out.sequences[0].decoder[2], 2);
    gqa_tokens_clear(&tokens);
    gqa_tokens_clear(&held_out);
}
END_TEST

/* Two sequences, of 3 and 2 tokens, one of which does not count. */
START_TEST(batches_are_padded)
{
    int32_t first[] = {1, 2, 3}, first_next[] = {2, GQA_NOT_COUNTED, 9};
    int32_t second[] = {7, 8}, second_next[] = {8, GQA_NO_TOKEN};
    const struct gqa_sequence a = {
        .decoder = first, .next = first_next, .n_decoder = 3, .starts = true};
    const struct gqa_sequence b = {
        .decoder = second, .next = second_next, .n_decoder = 2};
    const struct gqa_sequence *const list[] = {&a, &b};
    const int32_t decoder[] = {5, 2, 3, 7, 8, 0};
    const int32_t labels[] = {2, -1, 9, 8, -1, -1};
    const double weights[] = {0.25, 0, 0.25, 0.25, 0.25, 0};
    struct gqa_train_batch batch;

    ck_assert_int_eq(gqa_train_batch_create(&batch, 2, 4), GQA_OK);
    gqa_train_batch_fill(&batch, list, 2, 5, 0.25);
    ck_assert_uint_eq(gqa_sequence_counted(&a) + gqa_sequence_counted(&b), 4);
    ck_assert_uint_eq(batch.tape.length, 3);
    ck_assert_ptr_null(batch.tape.encoder);
    ck_assert_mem_eq(batch.tape.decoder, decoder, sizeof decoder);
    ck_assert_uint_eq(batch.tape.n_decoder[1], 2);
    ck_assert_mem_eq(batch.labels, labels, sizeof labels);
    ck_assert_mem_eq(batch.weights, weights, sizeof weights);
    gqa_train_batch_clear(&batch);
}
END_TEST

/* --- History -------------------------------------------------------------- */

static void add(struct gqa_history *h, uint64_t step, double kl, bool best)
{
    const struct gqa_fidelity_result r = {
        .n_positions = 10, .kl_mean = kl, .top1 = 0.1};
    bool is_best = !best;

    h->n_steps = step;
    ck_assert_int_eq(gqa_history_add(h, step, &r, &is_best), GQA_OK);
    ck_assert(is_best == best);
}

START_TEST(the_best_is_known)
{
    struct gqa_history h;

    ck_assert_int_eq(gqa_history_create(&h, 20), GQA_OK);
    add(&h, 0, 0.5, true);
    add(&h, 5, 0.6, false);
    add(&h, 10, 0.3, true);
    add(&h, 15, 0.3, false);
    ck_assert_uint_eq(gqa_history_best(&h)->step, 10);
    ck_assert_double_eq(gqa_history_start(&h)->kl, 0.5);
    ck_assert(gqa_history_is_measured(&h));
    h.n_steps++;
    ck_assert(!gqa_history_is_measured(&h));
    gqa_history_clear(&h);
}
END_TEST

START_TEST(history_as_json_and_back)
{
    struct gqa_history h, again;
    json_t *json;

    ck_assert_int_eq(gqa_history_create(&h, 20), GQA_OK);
    add(&h, 0, 1.0 / 3, true);
    add(&h, 5, 0.1, true);
    h.rate = 1e-3;
    h.n_tokens = UINT64_C(1) << 40;
    ck_assert_int_eq(gqa_history_add_probe(&h, 3e-3, INFINITY), GQA_OK);
    h.plan = (struct gqa_time_plan){
        .made = 0, .n_steps = 15, .warmup = 1, .left = 0.5, .budget_s = 90};
    json = gqa_history_describe(&h);
    ck_assert_int_eq(gqa_history_create(&again, 20), GQA_OK);
    ck_assert(gqa_history_read(&again, json));
    ck_assert_uint_eq(again.plan.n_steps, 15);
    ck_assert_double_eq(again.plan.left, 0.5);
    ck_assert_double_eq(again.plan.budget_s, 90);
    ck_assert_uint_eq(again.n_steps, 5);
    ck_assert_uint_eq(again.n_tokens, h.n_tokens);
    ck_assert_double_eq(again.evaluations[0].kl, 1.0 / 3);
    ck_assert_uint_eq(again.best, 1);
    ck_assert(isnan(again.probes[0].kl));
    gqa_history_clear(&again);
    /* More steps than the run has. */
    ck_assert_int_eq(gqa_history_create(&again, 4), GQA_OK);
    ck_assert(!gqa_history_read(&again, json));
    gqa_history_clear(&again);
    json_decref(json);
    gqa_history_clear(&h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uptrain_parts");
    TCase *tcase = tcase_create("uptrain_parts");

    tcase_add_test(tcase, rate_rises_and_falls);
    tcase_add_test(tcase, other_ways_to_fall);
    tcase_add_test(tcase, falls_in_the_time_that_there_is);
    tcase_add_test(tcase, warms_up_in_the_time_that_there_is);
    tcase_add_test(tcase, steps_that_fit);
    tcase_add_test(tcase, warmup_of_a_run);
    tcase_add_test(tcase, rates_are_tried_in_time);
    tcase_add_test(tcase, rate_is_found);
    tcase_add_test(tcase, losses_add_up);
    tcase_add_test(tcase, losses_that_are_none);
    tcase_add_test(tcase, shares_of_data);
    tcase_add_test(tcase, kinds_of_files);
    tcase_add_test(tcase, all_are_seen_each_time);
    tcase_add_test(tcase, sources_by_their_shares);
    tcase_add_test(tcase, some_are_held_out);
    tcase_add_test(tcase, of_few_one_is_both);
    tcase_add_test(tcase, batches_are_padded);
    tcase_add_test(tcase, the_best_is_known);
    tcase_add_test(tcase, history_as_json_and_back);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
