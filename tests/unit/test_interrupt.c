/* How a process ends that a signal asks to, and what stays behind. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/atomic_target.h"
#include "common/cli.h"
#include "common/clock.h"
#include "common/interrupt.h"
#include "common/whole_file.h"
#include "scratch.h"
#include "suite.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_SIGNALS = sizeof signals / sizeof *signals };

/* The wait status of a process that does this. */
static int status_of(void (*fn)(int number), int number)
{
    const pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        /* A test runs in the background, too, where SIGINT is ignored. */
        signal(number, SIG_DFL);
        fn(number);
        _exit(99);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static void ends_by(void (*fn)(int number), int number)
{
    const int status = status_of(fn, number);

    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), number);
}

static void ends_with(void (*fn)(int number), int number, int code)
{
    const int status = status_of(fn, number);

    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), code);
}

static void finish_after(int number)
{
    gqa_interrupt_catch(NULL);
    raise(number);
    if (gqa_interrupt_pending())
        _exit(gqa_cli_finish("tool", 0));
}

START_TEST(the_end_is_the_signal_that_came)
{
    ends_by(finish_after, signals[_i]);
}
END_TEST

static void finish_unasked(int number)
{
    (void)number;
    gqa_interrupt_catch(NULL);
    _exit(gqa_cli_finish("tool", 1));
}

START_TEST(without_a_signal_there_is_a_status)
{
    ends_with(finish_unasked, signals[_i], 1);
}
END_TEST

START_TEST(loops_can_be_asked_to_stop)
{
    ck_assert(!gqa_interrupt_pending());
    gqa_interrupt_ask(true);
    ck_assert(gqa_interrupt_pending());
    gqa_interrupt_ask(false);
    ck_assert(!gqa_interrupt_pending());
    gqa_interrupt_ask_at(gqa_clock_s() + 3600);
    ck_assert(!gqa_interrupt_pending() && !gqa_interrupt_is_late());
    gqa_interrupt_ask_at(gqa_clock_s());
    ck_assert(gqa_interrupt_pending() && gqa_interrupt_is_late());
    gqa_interrupt_ask(true);
    ck_assert(gqa_interrupt_pending() && !gqa_interrupt_is_late());
    gqa_interrupt_ask(false);
    gqa_interrupt_ask_at(0);
    ck_assert(!gqa_interrupt_pending() && !gqa_interrupt_is_late());
    ck_assert(!gqa_interrupt_pending());
}
END_TEST

static void come_after_the_end(int number)
{
    gqa_interrupt_catch(NULL);
    gqa_interrupt_end();
    raise(number);
}

START_TEST(after_the_end_none_gets_lost)
{
    ends_by(come_after_the_end, signals[_i]);
}
END_TEST

static void come_twice(int number)
{
    gqa_interrupt_catch(NULL);
    raise(number);
    raise(number);
}

static void come_after_another(int number)
{
    gqa_interrupt_catch(NULL);
    raise(number == SIGINT ? SIGTERM : SIGINT);
    raise(number);
}

START_TEST(a_second_one_ends_at_once)
{
    ends_by(come_twice, signals[_i]);
    signal(SIGINT, SIG_DFL);
    ends_by(come_after_another, signals[_i]);
}
END_TEST

static void come_ignored(int number)
{
    signal(number, SIG_IGN);
    gqa_interrupt_catch(NULL);
    raise(number);
    _exit(gqa_interrupt_pending() ? 98 : gqa_cli_finish("tool", 0));
}

START_TEST(what_was_ignored_stays_so)
{
    ends_with(come_ignored, signals[_i], 0);
}
END_TEST

static void begin_files(void)
{
    static struct gqa_whole_file report, dump;

    if (gqa_whole_file_begin(&report, scratch_path("report"), true) != GQA_OK ||
        gqa_whole_file_begin(&dump, scratch_path("dump"), true) != GQA_OK)
        _exit(97);
}

/* A loop that never looks. */
static void look_away(int number)
{
    begin_files();
    gqa_interrupt_catch(gqa_atomic_clean);
    raise(number);
    for (;;)
        pause();
}

static void come_twice_with_files(int number)
{
    begin_files();
    gqa_interrupt_catch(gqa_atomic_clean);
    raise(number);
    raise(number);
}

static struct gqa_atomic *begin_folder(void)
{
    struct gqa_atomic *folder;
    int fd;

    if (gqa_atomic_create_folder(&folder, scratch_path("out"), false, NULL) !=
            GQA_OK ||
        gqa_atomic_create_in(folder, &fd, "weights") != GQA_OK ||
        gqa_atomic_create_in(folder, &fd, "config") != GQA_OK)
        _exit(97);
    gqa_interrupt_catch(gqa_atomic_clean);
    return folder;
}

static void come_twice_with_folder(int number)
{
    (void)begin_folder();
    raise(number);
    raise(number);
}

static void look_away_with_folder(int number)
{
    (void)begin_folder();
    raise(number);
    for (;;)
        pause();
}

START_TEST(a_folder_that_is_not_committed_goes)
{
    void (*const how[])(int) = {come_twice_with_folder, look_away_with_folder};

    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        ends_by(how[i], signals[_i]);
        ck_assert_int_eq(rmdir(scratch_folder()), 0);
        scratch_create();
    }
}
END_TEST

/* The second one comes while the folder is being committed: not now. */
static void come_while_locked(int number)
{
    struct gqa_atomic *folder = begin_folder();

    gqa_atomic_lock();
    raise(number);
    raise(number);
    gqa_atomic_unlock();
    if (gqa_atomic_commit(folder) != GQA_OK)
        _exit(96);
    gqa_atomic_free(folder);
    for (;;)
        pause();
}

START_TEST(a_folder_that_is_committed_stays)
{
    ends_by(come_while_locked, signals[_i]);
    ck_assert_int_eq(unlink(scratch_path("out/weights")), 0);
    ck_assert_int_eq(unlink(scratch_path("out/config")), 0);
    ck_assert_int_eq(rmdir(scratch_path("out")), 0);
}
END_TEST

START_TEST(files_that_are_not_whole_go)
{
    void (*const how[])(int) = {look_away, come_twice_with_files};

    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        scratch_write_text("report", "older");
        ends_by(how[i], signals[_i]);
        ck_assert_int_eq(unlink(scratch_path("report")), 0);
        ck_assert_int_eq(rmdir(scratch_folder()), 0);
        scratch_create();
    }
}
END_TEST

START_TEST(files_that_are_whole_stay)
{
    struct gqa_whole_file file, other;

    ck_assert_int_eq(gqa_whole_file_begin(&file, scratch_path("report"), true),
                     GQA_OK);
    ck_assert_int_eq(gqa_whole_file_begin(&other, scratch_path("dump"), true),
                     GQA_OK);
    ck_assert_int_eq(gqa_whole_file_end(&file, GQA_OK), GQA_OK);
    ck_assert_int_eq(gqa_whole_file_end(&other, GQA_OK), GQA_OK);
    ck_assert(gqa_atomic_clean());
    ck_assert_int_eq(unlink(scratch_path("report")), 0);
    ck_assert_int_eq(unlink(scratch_path("dump")), 0);
    ck_assert_int_eq(rmdir(scratch_folder()), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interrupt");
    TCase *ends = tcase_create("ends");

    tcase_add_checked_fixture(ends, scratch_create, scratch_remove);
    tcase_add_loop_test(ends, the_end_is_the_signal_that_came, 0, N_SIGNALS);
    tcase_add_loop_test(ends, without_a_signal_there_is_a_status, 0, N_SIGNALS);
    tcase_add_test(ends, loops_can_be_asked_to_stop);
    tcase_add_loop_test(ends, after_the_end_none_gets_lost, 0, N_SIGNALS);
    tcase_add_loop_test(ends, a_second_one_ends_at_once, 0, N_SIGNALS);
    tcase_add_loop_test(ends, what_was_ignored_stays_so, 0, N_SIGNALS);
    tcase_add_loop_test(ends, files_that_are_not_whole_go, 0, N_SIGNALS);
    tcase_add_test(ends, files_that_are_whole_stay);
    tcase_add_loop_test(ends, a_folder_that_is_not_committed_goes, 0,
                        N_SIGNALS);
    tcase_add_loop_test(ends, a_folder_that_is_committed_stays, 0, N_SIGNALS);
    suite_add_tcase(suite, ends);
    return suite_run(suite);
}
