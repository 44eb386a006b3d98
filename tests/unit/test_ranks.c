#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "suite.h"
#include "uptrain/ranks.h"
#include "uptrain/ranks_meet.h"
#include "uptrain/ranks_tokens.h"

enum { MOST = 4, N_VALUES = 200000 };

/* --- Processes ------------------------------------------------------------ */

static void never_stuck(const char *message)
{
    (void)message;
    _exit(77);
}

static struct gqa_ranks *join(unsigned rank, unsigned n,
                              const struct gqa_rank_link *links)
{
    const struct gqa_ranks_options options = {
        .rank = rank, .n = n, .links = links, .stuck = never_stuck};
    struct gqa_ranks *r = NULL;

    gqa_interrupt_ask(false); /* of a test before */
    ck_assert_int_eq(gqa_ranks_create(&r, &options), GQA_OK);
    return r;
}

static pid_t children[MOST];

/* n processes, of which this is the first; the others call `other` and end
 * with what it returns. */
static struct gqa_ranks *start(unsigned n, int (*other)(struct gqa_ranks *r))
{
    struct gqa_rank_link links[MOST];

    for (unsigned i = 0; i < MOST; i++)
        links[i] = (struct gqa_rank_link){-1, -1};
    for (unsigned i = 1; i < n; i++) {
        int data[2], watch[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, data), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, watch), 0);
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            close(data[0]);
            close(watch[0]);
            for (unsigned k = 0; k < i; k++) {
                if (links[k].data >= 0)
                    close(links[k].data);
                if (links[k].watch >= 0)
                    close(links[k].watch);
                links[k] = (struct gqa_rank_link){-1, -1};
            }
            links[0] = (struct gqa_rank_link){data[1], watch[1]};
            _exit(other(join(i, n, links)));
        }
        close(data[1]);
        close(watch[1]);
        links[i] = (struct gqa_rank_link){data[0], watch[0]};
    }
    return join(0, n, links);
}

static int status_of(unsigned rank)
{
    int status = -1;

    ck_assert_int_eq(waitpid(children[rank], &status, 0), children[rank]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- Parts ---------------------------------------------------------------- */

static int says_its_part(struct gqa_ranks *r)
{
    uint64_t first;
    const uint64_t n = gqa_ranks_part(r, 8, &first);

    (void)gqa_ranks_end(r, GQA_OK);
    return (int)(10 * first + n);
}

START_TEST(parts_come_first_to_last)
{
    uint64_t first = 9;
    struct gqa_ranks *r = start(3, says_its_part);

    ck_assert_uint_eq(gqa_ranks_part(r, 8, &first), 3);
    ck_assert_uint_eq(first, 0);
    ck_assert_uint_eq(gqa_ranks_most(r, 8), 3);
    ck_assert_int_eq(status_of(1), 33);
    ck_assert_int_eq(status_of(2), 62);
    ck_assert(!gqa_ranks_end(r, GQA_OK));
    ck_assert_uint_eq(gqa_ranks_part(NULL, 8, &first), 8);
    ck_assert_uint_eq(first, 0);
}
END_TEST

/* --- Sums ----------------------------------------------------------------- */

/* Floats whose sum depends on the order: 1, 2^24, -2^24. */
static int adds(struct gqa_ranks *r)
{
    static float x[N_VALUES];
    double y = gqa_ranks_rank(r) + 1;
    struct gqa_summands list[] = {{x, N_VALUES, GQA_F32}, {&y, 1, GQA_F64}};
    static const float term[] = {1, 0x1p24F, -0x1p24F};
    int wrong = 0;

    for (size_t i = 0; i < N_VALUES; i++)
        x[i] = term[gqa_ranks_rank(r)] + (float)(i % 3);
    if (gqa_ranks_sum(r, list, 2) != GQA_OK)
        return 1;
    for (size_t i = 0; i < N_VALUES; i++) {
        float expected = term[0] + (float)(i % 3);

        for (unsigned k = 1; k < gqa_ranks_n(r); k++)
            expected += term[k] + (float)(i % 3);
        wrong |= x[i] != expected;
    }
    wrong |= y != (gqa_ranks_n(r) == 2 ? 3 : 6);
    if (gqa_ranks_finish(r, GQA_OK) != GQA_OK)
        return 1;
    (void)gqa_ranks_end(r, GQA_OK);
    return wrong;
}

START_TEST(sums_are_taken_in_order)
{
    for (unsigned n = 2; n <= 3; n++) {
        ck_assert_int_eq(adds(start(n, adds)), 0);
        for (unsigned i = 1; i < n; i++)
            ck_assert_int_eq(status_of(i), 0);
    }
}
END_TEST

/* --- Words ---------------------------------------------------------------- */

static int tells(struct gqa_ranks *r)
{
    int32_t encoder[] = {1, 2, 3}, decoder[] = {4, 5}, next[] = {5, 6};
    struct gqa_sequence one = {encoder, 3, decoder, next, 2, true};
    struct gqa_tokens tokens = {NULL, 0};
    char *text = gqa_ranks_is_first(r) ? strdup("told") : NULL;
    unsigned number = 7 * gqa_ranks_rank(r);
    int wrong = 0;

    wrong |= gqa_ranks_tell(r, 2, &number, sizeof number) != GQA_OK;
    wrong |= number != 14;
    wrong |= gqa_ranks_tell_text(r, &text) != GQA_OK;
    wrong |= !text || strcmp(text, "told") != 0;
    wrong |= !gqa_ranks_decide(r, gqa_ranks_is_first(r));
    if (gqa_ranks_rank(r) == 1)
        tokens = (struct gqa_tokens){&one, 1};
    wrong |= gqa_ranks_tell_tokens(r, 1, &tokens) != GQA_OK;
    wrong |= tokens.n != 1 || tokens.sequences->n_encoder != 3 ||
             tokens.sequences->n_decoder != 2 || !tokens.sequences->starts ||
             tokens.sequences->encoder[2] != 3 ||
             tokens.sequences->decoder[0] != 4 ||
             tokens.sequences->next[1] != 6;
    if (gqa_ranks_rank(r) != 1)
        gqa_tokens_clear(&tokens);
    wrong |= gqa_ranks_check_same(r, "same", 4, "differs") != GQA_OK;
    wrong |= gqa_ranks_check_same(r, &number, 2, "differs") != GQA_OK;
    wrong |= gqa_ranks_finish(r, GQA_OK) != GQA_OK;
    (void)gqa_ranks_end(r, GQA_OK);
    free(text);
    return wrong;
}

START_TEST(all_know_what_one_tells)
{
    ck_assert_int_eq(tells(start(3, tells)), 0);
    ck_assert_int_eq(status_of(1), 0);
    ck_assert_int_eq(status_of(2), 0);
}
END_TEST

/* --- Failures ------------------------------------------------------------- */

static int fails_in_the_second(struct gqa_ranks *r)
{
    enum gqa_status st = gqa_ranks_agree(r, GQA_OK);

    if (st == GQA_OK && gqa_ranks_rank(r) == 2)
        st = gqa_fail(GQA_ERR_NOMEM, "no room");
    else if (st == GQA_OK && gqa_ranks_rank(r) == 1)
        st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    st = gqa_ranks_agree(r, st);
    if (st != GQA_ERR_NOMEM ||
        strcmp(gqa_error_message(), "rank 2: no room") != 0)
        return 1;
    return gqa_ranks_end(r, st) ? 0 : 2;
}

START_TEST(one_verdict_of_all)
{
    struct gqa_ranks *r = start(3, fails_in_the_second);

    /* Who counts first says it, the others need not. */
    ck_assert_int_eq(fails_in_the_second(r), 2);
    ck_assert_int_eq(status_of(1), 0);
    ck_assert_int_eq(status_of(2), 0);
}
END_TEST

static int differs(struct gqa_ranks *r)
{
    const unsigned rank = gqa_ranks_rank(r);
    const enum gqa_status st =
        gqa_ranks_check_same(r, &rank, sizeof rank, "differs");
    const int wrong =
        st != GQA_ERR_IO || strcmp(gqa_error_message(), "rank 1: differs") != 0;

    (void)gqa_ranks_end(r, st);
    return wrong;
}

START_TEST(what_differs_is_told)
{
    ck_assert_int_eq(differs(start(2, differs)), 0);
    ck_assert_int_eq(status_of(1), 0);
}
END_TEST

/* It ends by itself, and tells why; the others wait for it. */
static int fails_alone(struct gqa_ranks *r)
{
    double x = 0;
    const struct gqa_summands list = {&x, 1, GQA_F64};
    enum gqa_status st;

    if (gqa_ranks_rank(r) == 1) {
        st = gqa_fail(GQA_ERR_IO, "a disk is full");
    } else {
        st = gqa_ranks_sum(r, &list, 1);
        if (st != GQA_ERR_IO ||
            strcmp(gqa_error_message(), "rank 1: a disk is full") != 0)
            return 1;
    }
    return gqa_ranks_end(r, st) ? 0 : 2;
}

START_TEST(none_waits_for_one_that_failed)
{
    ck_assert_int_eq(fails_alone(start(3, fails_alone)), 2);
    ck_assert_int_eq(status_of(1), 0);
    ck_assert_int_eq(status_of(2), 0);
}
END_TEST

static int is_killed(struct gqa_ranks *r)
{
    double x = 0;
    const struct gqa_summands list = {&x, 1, GQA_F64};
    enum gqa_status st;

    if (gqa_ranks_rank(r) == 1)
        (void)raise(SIGKILL);
    st = gqa_ranks_sum(r, &list, 1);
    if (st != GQA_ERR_IO || !strstr(gqa_error_message(), "rank 1 ended"))
        return 1;
    return gqa_ranks_end(r, st) ? 0 : 2;
}

START_TEST(none_waits_for_one_that_was_killed)
{
    ck_assert_int_eq(is_killed(start(3, is_killed)), 2);
    ck_assert_int_eq(status_of(1), 128 + SIGKILL);
    ck_assert_int_eq(status_of(2), 0);
}
END_TEST

/* Whoever is lost behind finish() is not missed. */
static int leaves_early(struct gqa_ranks *r)
{
    const enum gqa_status st = gqa_ranks_finish(r, GQA_OK);

    if (gqa_ranks_rank(r) == 1)
        (void)raise(SIGKILL);
    return st == GQA_OK && !gqa_ranks_end(r, GQA_OK) ? 0 : 1;
}

START_TEST(after_all_is_done_none_is_missed)
{
    struct gqa_ranks *r = start(3, leaves_early);

    ck_assert_int_eq(gqa_ranks_finish(r, GQA_OK), GQA_OK);
    ck_assert_int_eq(status_of(1), 128 + SIGKILL);
    ck_assert_int_eq(status_of(2), 0);
    ck_assert_int_eq(gqa_ranks_check(r), GQA_OK);
    (void)gqa_ranks_end(r, GQA_OK);
}
END_TEST

/* --- Meetings ------------------------------------------------------------- */

/* One that was free a moment ago. */
static unsigned free_port(void)
{
    static unsigned next;

    return 20000 + (unsigned)(getpid() * 16 + (int)next++) % 12000;
}

static int comes(const struct gqa_meeting *m)
{
    struct gqa_rank_link links[MOST];

    if (gqa_ranks_meet(links, m) != GQA_OK)
        return 3;
    return adds(join(m->rank, m->n, links));
}

static struct gqa_meeting meeting(unsigned n)
{
    gqa_interrupt_ask(false);
    return (struct gqa_meeting){.n = n,
                                .host = "127.0.0.1",
                                .port = free_port(),
                                .job = 5,
                                .wait_s = 60};
}

START_TEST(ranks_find_each_other)
{
    for (unsigned n = 2; n <= 3; n++) {
        struct gqa_meeting m = meeting(n);

        for (unsigned i = 1; i < n; i++) {
            m.rank = i;
            children[i] = fork();
            ck_assert_int_ge(children[i], 0);
            if (children[i] == 0)
                _exit(comes(&m));
        }
        m.rank = 0;
        ck_assert_int_eq(comes(&m), 0);
        for (unsigned i = 1; i < n; i++)
            ck_assert_int_eq(status_of(i), 0);
    }
}
END_TEST

START_TEST(who_does_not_come_is_told)
{
    struct gqa_meeting m = meeting(3);
    struct gqa_rank_link links[MOST];

    m.wait_s = 0.3;
    ck_assert_int_eq(gqa_ranks_meet(links, &m), GQA_ERR_IO);
    ck_assert(strstr(gqa_error_message(), "2 of 3 ranks did not come to"));
    ck_assert(strstr(gqa_error_message(), ": 1, 2"));
    ck_assert_int_eq(links[1].data, -1);
    m.rank = 1;
    ck_assert_int_eq(gqa_ranks_meet(links, &m), GQA_ERR_IO);
    ck_assert(strstr(gqa_error_message(), "rank 0 does not answer"));
}
END_TEST

/* Of another run: it is sent away, and neither takes the other's. */
START_TEST(other_runs_are_sent_away)
{
    struct gqa_meeting m = meeting(2);
    struct gqa_rank_link links[MOST];

    children[1] = fork();
    ck_assert_int_ge(children[1], 0);
    m.rank = children[1] == 0;
    m.job = 5 + m.rank;
    m.wait_s = 1;
    if (children[1] == 0)
        _exit(gqa_ranks_meet(links, &m) == GQA_ERR_IO ? 0 : 1);
    ck_assert_int_eq(gqa_ranks_meet(links, &m), GQA_ERR_IO);
    ck_assert_int_eq(status_of(1), 0);
}
END_TEST

START_TEST(two_of_one_number_are_refused)
{
    struct gqa_meeting m = meeting(3);
    struct gqa_rank_link links[MOST];

    for (unsigned i = 1; i < 3; i++) {
        children[i] = fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0) {
            m.rank = 1;
            m.wait_s = 1;
            _exit(gqa_ranks_meet(links, &m) == GQA_OK ? 0 : 1);
        }
    }
    ck_assert_int_eq(gqa_ranks_meet(links, &m), GQA_ERR_USAGE);
    ck_assert(strstr(gqa_error_message(), "rank 1 came twice"));
    (void)status_of(1);
    (void)status_of(2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ranks");
    TCase *tc = tcase_create("ranks");

    tcase_add_test(tc, parts_come_first_to_last);
    tcase_add_test(tc, sums_are_taken_in_order);
    tcase_add_test(tc, all_know_what_one_tells);
    tcase_add_test(tc, one_verdict_of_all);
    tcase_add_test(tc, what_differs_is_told);
    tcase_add_test(tc, none_waits_for_one_that_failed);
    tcase_add_test(tc, none_waits_for_one_that_was_killed);
    tcase_add_test(tc, after_all_is_done_none_is_missed);
    tcase_add_test(tc, ranks_find_each_other);
    tcase_add_test(tc, who_does_not_come_is_told);
    tcase_add_test(tc, other_runs_are_sent_away);
    tcase_add_test(tc, two_of_one_number_are_refused);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
