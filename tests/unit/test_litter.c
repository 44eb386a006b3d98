/*
 * What a killed run leaves is removed by the next one into the same place, and
 * nothing else is.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/atomic.h"
#include "scratch.h"
#include "suite.h"

/* Nothing is ours: what can be told has to be told otherwise. */
static enum gqa_status judge_none(void *ctx, int fd,
                                  struct gqa_entries *entries)
{
    (void)ctx;
    (void)fd;
    (void)entries;
    return GQA_OK;
}

static const struct gqa_atomic_judge none = {judge_none, NULL, "others"};

/* Begin a folder of one file. */
static struct gqa_atomic *begin_folder(void)
{
    struct gqa_atomic *a = NULL;
    int fd;

    ck_assert_int_eq(
        gqa_atomic_create_folder(&a, scratch_path("out"), false, &none),
        GQA_OK);
    ck_assert_int_eq(gqa_atomic_create_in(a, &fd, "model"), GQA_OK);
    close(fd);
    return a;
}

static struct gqa_atomic *begin_file(void)
{
    struct gqa_atomic *a = NULL;

    ck_assert_int_eq(gqa_atomic_create_file(&a, scratch_path("out"), false),
                     GQA_OK);
    return a;
}

/* A run that is killed in the midst of it. */
static void kill_in(struct gqa_atomic *(*begin)(void))
{
    const pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)begin();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* How many hidden entries there are; *name: of one, or "". */
static unsigned count_hidden(char name[256])
{
    DIR *dir = opendir(scratch_folder());
    struct dirent *entry;
    unsigned n = 0;

    *name = '\0';
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, ".out.partial-", 13) == 0) {
            n++;
            snprintf(name, 256, "%s", entry->d_name);
        }
    closedir(dir);
    return n;
}

START_TEST(the_next_run_removes_a_folder)
{
    struct gqa_atomic *a;
    struct stat info;
    char name[256];

    kill_in(begin_folder);
    kill_in(begin_folder);
    /* The second one had the first one's removed. */
    ck_assert_uint_eq(count_hidden(name), 1);
    a = begin_folder();
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    ck_assert_uint_eq(count_hidden(name), 0);
    ck_assert_int_eq(stat(scratch_path("out/model"), &info), 0);
    ck_assert_int_ne(stat(scratch_path("out/.gqa-partial"), &info), 0);
}
END_TEST

START_TEST(a_run_that_lives_keeps_its_own)
{
    struct gqa_atomic *first = begin_folder(), *second = begin_folder();
    struct stat info;
    char name[256];

    ck_assert_uint_eq(count_hidden(name), 2);
    ck_assert_int_eq(gqa_atomic_commit(first), GQA_OK);
    ck_assert_int_eq(gqa_atomic_commit(second), GQA_ERR_USAGE);
    gqa_atomic_free(first);
    gqa_atomic_free(second);
    ck_assert_uint_eq(count_hidden(name), 0);
    ck_assert_int_eq(stat(scratch_path("out/model"), &info), 0);
}
END_TEST

START_TEST(what_a_run_did_not_write_stays)
{
    char name[256], inside[300];
    struct gqa_atomic *a;
    struct stat info;

    kill_in(begin_folder);
    count_hidden(name);
    snprintf(inside, sizeof inside, "%s/thesis.txt", name);
    scratch_write_text(inside, "years of work");
    a = begin_folder();
    gqa_atomic_free(a);
    ck_assert_int_eq(stat(scratch_path(inside), &info), 0);
    snprintf(inside, sizeof inside, "%s/model", name);
    ck_assert_int_eq(stat(scratch_path(inside), &info), 0);
}
END_TEST

/* As a file system leaves them that has no files without a name. */
START_TEST(the_next_run_removes_a_file)
{
    static const char *const others[] = {
        ".out.partial-abcde",  ".out.partial-abcdefg", ".out.partial-ABCDEF",
        ".put.partial-abcdef", "out.partial-abcdef",   ".out.partial-abcd/f",
    };
    struct gqa_atomic *a;
    struct stat info;

    mkdir(scratch_path(".out.partial-abcd"), 0700);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        scratch_write_text(others[i], "x");
    scratch_write_text(".out.partial-abc012", "x");
    a = begin_file();
    ck_assert_int_ne(stat(scratch_path(".out.partial-abc012"), &info), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_int_eq(stat(scratch_path(others[i]), &info), 0);
    gqa_atomic_free(a);
}
END_TEST

/* Somebody uses it, or has another name for it, or it is no file at all. */
START_TEST(what_is_in_use_stays)
{
    static const char *const names[] = {
        ".out.partial-locked", ".out.partial-linked", ".out.partial-symlnk"};
    struct stat info;
    int fd;

    scratch_write_text(names[0], "x");
    fd = open(scratch_path(names[0]), O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    scratch_write_text(names[1], "x");
    ck_assert_int_eq(link(scratch_path(names[1]), scratch_path("other")), 0);
    ck_assert_int_eq(symlink("other", scratch_path(names[2])), 0);
    gqa_atomic_free(begin_file());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(lstat(scratch_path(names[i]), &info), 0);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("litter");
    TCase *tc = tcase_create("litter");

    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, the_next_run_removes_a_folder);
    tcase_add_test(tc, a_run_that_lives_keeps_its_own);
    tcase_add_test(tc, what_a_run_did_not_write_stays);
    tcase_add_test(tc, the_next_run_removes_a_file);
    tcase_add_test(tc, what_is_in_use_stays);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
