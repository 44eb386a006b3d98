/* Jobs on threads of their own. */
#include <check.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/jobs.h"
#include "suite.h"

enum { N = 40 };

struct number {
    atomic_uint *running, *most;
    unsigned value, result;
    bool fails;
};

static enum gqa_status square(void *ctx)
{
    struct number *n = ctx;
    const unsigned running = atomic_fetch_add(n->running, 1) + 1;
    unsigned most = atomic_load(n->most);

    while (running > most &&
           !atomic_compare_exchange_weak(n->most, &most, running))
        ;
    n->result = n->value * n->value;
    atomic_fetch_sub(n->running, 1);
    return n->fails ? gqa_fail(GQA_ERR_FORMAT, "job %u", n->value) : GQA_OK;
}

static void make(struct number *numbers, atomic_uint *running,
                 atomic_uint *most)
{
    for (unsigned i = 0; i < N; i++)
        numbers[i] = (struct number){running, most, i, 0, false};
}

START_TEST(runs_all)
{
    const unsigned at_once[] = {0, 1, 3, 64};
    struct number numbers[N];
    atomic_uint running = 0, most = 0;
    struct gqa_jobs *jobs = NULL;

    make(numbers, &running, &most);
    ck_assert_int_eq(gqa_jobs_create(&jobs, at_once[_i]), GQA_OK);
    for (unsigned i = 0; i < N; i++)
        ck_assert_int_eq(gqa_jobs_start(jobs, square, &numbers[i]), GQA_OK);
    ck_assert_int_eq(gqa_jobs_wait(jobs), GQA_OK);
    for (unsigned i = 0; i < N; i++)
        ck_assert_uint_eq(numbers[i].result, i * i);
    ck_assert_uint_le(most, at_once[_i] ? at_once[_i] : 1);
    gqa_jobs_free(jobs);
}
END_TEST

/* Those that run end, those that come later are not begun. */
START_TEST(tells_the_first_failure)
{
    struct number numbers[N];
    atomic_uint running = 0, most = 0;
    struct gqa_jobs *jobs = NULL;
    enum gqa_status st = GQA_OK;
    unsigned n = 0;

    make(numbers, &running, &most);
    numbers[5].fails = numbers[7].fails = true;
    ck_assert_int_eq(gqa_jobs_create(&jobs, 4), GQA_OK);
    while (n < N && st == GQA_OK)
        st = gqa_jobs_start(jobs, square, &numbers[n++]);
    ck_assert_int_eq(st, GQA_ERR_FORMAT);
    ck_assert_uint_eq(n, 10); /* the place of job 5 is that of job 9 */
    ck_assert_int_eq(gqa_jobs_wait(jobs), GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), "job 5");
    ck_assert_uint_eq(numbers[8].result, 64);
    ck_assert_uint_eq(numbers[9].result, 0);
    gqa_jobs_free(jobs);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobs");
    TCase *all = tcase_create("all");

    tcase_add_loop_test(all, runs_all, 0, 4);
    tcase_add_test(all, tells_the_first_failure);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
