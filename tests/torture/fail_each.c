/*
 * Run a command again and again, each time with another allocation failing.
 *
 * usage: fail_each [-t TRIES] [-a N] [-s SEED] SHIM FOLDER COMMAND
 * [ARGUMENT]...
 *
 *   SHIM    fail_alloc.so
 *   FOLDER  what the command writes goes in here; it is emptied before each
 *           run
 *   -s      before each run FOLDER is a copy of this one; a command that
 *           refuses is fine, then
 *   -t      no more than TRIES allocations, spread over the run, and the last
 *           LAST ones of each process (default: each one)
 *   -a      allocation N alone, and tell what its run said
 *
 * Each allocation fails once alone and once with all that follow. The run
 * must then say that it was out of memory, end with 2 and leave FOLDER empty
 * and no half of a JSON text on standard output, or in either a whole report
 * that says so; or do all that it does when nothing fails, byte for byte. With
 * -s "empty" is "as it was". Ends with 1 where one did not.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail_alloc.h"
#include "trial.h"

enum { SECONDS = 60, LAST = 100 };

/* What a run left behind. */
struct result {
    int status; /* as waitpid() gives it */
    uint64_t n_allocations;
    uint64_t last[GQA_FAIL_ALLOC_PROCESSES];
    struct bytes out, err, folder;
};

static struct {
    const char *shim, *folder, *seed;
    char **command;
    uint64_t tries, only;
    char scratch[64], map_path[80], out_path[80], err_path[80];
    struct gqa_fail_alloc *map;
    struct bytes before; /* FOLDER, when a run begins */
} run;

static _Noreturn void become_command(void)
{
    const struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    send_to(STDOUT_FILENO, run.out_path);
    send_to(STDERR_FILENO, run.err_path);
    setenv("GQA_FAIL_ALLOC", run.map_path, 1);
    setenv("LD_PRELOAD", run.shim, 1);
    alarm(SECONDS); /* one that hangs is killed by it */
    execvp(run.command[0], run.command);
    _exit(127);
}

/* In the folder as it is. */
static struct result run_again(uint64_t fail_at, bool and_later)
{
    struct result r = {0};
    pid_t pid;

    memset(run.map, 0, sizeof *run.map);
    run.map->fail_at = fail_at;
    run.map->and_later = and_later;
    pid = fork();
    if (pid == 0)
        become_command();
    if (pid < 0 || waitpid(pid, &r.status, 0) != pid)
        die("fork");
    r.n_allocations = run.map->count;
    for (size_t i = 0; i < GQA_FAIL_ALLOC_PROCESSES; i++)
        r.last[i] = run.map->last[i];
    append_file(&r.out, AT_FDCWD, run.out_path);
    append_file(&r.err, AT_FDCWD, run.err_path);
    append_folder(&r.folder, AT_FDCWD, run.folder, NULL);
    return r;
}

static struct result run_once(uint64_t fail_at, bool and_later)
{
    prepare_folder(run.folder, run.seed);
    return run_again(fail_at, and_later);
}

static void result_clear(struct result *r)
{
    free(r->out.data);
    free(r->err.data);
    free(r->folder.data);
}

/* A report that is whole and says what kept it from being one of checks. */
static bool says_so(const struct bytes *text)
{
    return (has(text, "\"error\": \"") && has(text, "\n}\n") &&
            has(text, "out of memory")) ||
           (has(text, "<error message=\"") && has(text, "</testsuites>\n") &&
            has(text, "out of memory"));
}

/* What is wrong with a run in which memory was short; NULL: nothing. */
static const char *find_fault(const struct result *r,
                              const struct result *expected)
{
    if (WIFSIGNALED(r->status))
        return WTERMSIG(r->status) == SIGALRM ? "hangs" : "dies of a signal";
    if (r->status == expected->status &&
        (WEXITSTATUS(r->status) != 2 || same(&r->err, &expected->err))) {
        if (!same(&r->out, &expected->out))
            return "does not say it, and standard output differs";
        if (!same(&r->folder, &expected->folder))
            return "does not say it, and what it writes differs";
        return NULL;
    }
    if (WEXITSTATUS(r->status) != 2)
        return "ends with another status than 2";
    if (!strstr(r->err.data, "out of memory"))
        return "does not say that it is out of memory";
    if (!same(&r->folder, &run.before) && !says_so(&r->folder))
        return run.seed ? "changes files" : "leaves files behind";
    if (r->out.n > 0 && *r->out.data == '{' && !says_so(&r->out))
        return "leaves half a text on standard output";
    return NULL;
}

/* What could not be deleted behind a target that is whole, as a warning says:
 * the next run does. */
static bool mends_itself(const struct result *r, const struct result *expected)
{
    struct result next;
    bool mended;

    if (WEXITSTATUS(r->status) != 0 || !same(&r->out, &expected->out) ||
        !strstr(r->err.data, "the next run into this place will try again"))
        return false;
    next = run_again(UINT64_MAX, false);
    mended = next.status == 0 && same(&next.folder, &expected->folder);
    result_clear(&next);
    return mended;
}

static bool try_one(uint64_t n, bool and_later, const struct result *expected)
{
    struct result r = run_once(n, and_later);
    const char *fault = find_fault(&r, expected);

    if (fault && !WIFSIGNALED(r.status) && mends_itself(&r, expected))
        fault = NULL;
    if (fault || run.only)
        printf("  allocation %llu%s: %s (status %#x)\n%s",
               (unsigned long long)n, and_later ? " and all later" : "",
               fault ? fault : "well", (unsigned)r.status, r.err.data);
    result_clear(&r);
    return !fault;
}

/* Every step-th one, and the last ones of each process. */
static bool is_wanted(uint64_t n, uint64_t step, const struct result *expected)
{
    bool is_last = false;

    if (run.only)
        return n == run.only;
    for (size_t i = 0; i < GQA_FAIL_ALLOC_PROCESSES; i++)
        is_last =
            is_last || (n <= expected->last[i] && n + LAST > expected->last[i]);
    return is_last || n % step == (step + 1) / 2 % step;
}

static int run_all(void)
{
    struct result expected;
    uint64_t n, step;
    unsigned long long tried = 0, failed = 0;

    prepare_folder(run.folder, run.seed);
    append_folder(&run.before, AT_FDCWD, run.folder, NULL);
    expected = run_once(UINT64_MAX, false);
    n = expected.n_allocations;
    step = run.tries && n > run.tries ? n / run.tries : 1;
    if (!WIFEXITED(expected.status) ||
        WEXITSTATUS(expected.status) > (run.seed ? 2 : 1) || n == 0) {
        fprintf(stderr, "fail_each: undisturbed: status %#x, %llu counted\n%s",
                (unsigned)expected.status, (unsigned long long)n,
                expected.err.data);
        exit(2);
    }
    for (uint64_t i = 1; i <= n; i++) {
        if (!is_wanted(i, step, &expected))
            continue;
        tried += 2;
        failed += !try_one(i, false, &expected);
        failed += !try_one(i, true, &expected);
    }
    printf("%llu of %llu tries went wrong, %llu allocations:", failed, tried,
           (unsigned long long)n);
    for (char **word = run.command; *word; word++)
        printf(" %s", *word);
    printf("\n");
    result_clear(&expected);
    free(run.before.data);
    return failed > 0;
}

static void make_scratch(void)
{
    int fd;

    strcpy(run.scratch, "/tmp/fail_each-XXXXXX");
    if (!mkdtemp(run.scratch))
        die(run.scratch);
    snprintf(run.map_path, sizeof run.map_path, "%s/map", run.scratch);
    snprintf(run.out_path, sizeof run.out_path, "%s/out", run.scratch);
    snprintf(run.err_path, sizeof run.err_path, "%s/err", run.scratch);
    fd = open(run.map_path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *run.map) != 0)
        die(run.map_path);
    run.map =
        mmap(NULL, sizeof *run.map, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (run.map == MAP_FAILED)
        die(run.map_path);
    close(fd);
}

static void remove_scratch(void)
{
    unlink(run.map_path);
    unlink(run.out_path);
    unlink(run.err_path);
    rmdir(run.scratch);
}

int main(int argc, char **argv)
{
    int option, status;

    while ((option = getopt(argc, argv, "+t:a:s:")) != -1) {
        if (option == 't')
            run.tries = strtoull(optarg, NULL, 10);
        else if (option == 'a')
            run.only = strtoull(optarg, NULL, 10);
        else if (option == 's')
            run.seed = optarg;
        else
            return 2;
    }
    if (argc - optind < 3) {
        fprintf(stderr, "usage: fail_each [-t TRIES] [-a N] [-s SEED] SHIM "
                        "FOLDER COMMAND [ARGUMENT]...\n");
        return 2;
    }
    run.shim = argv[optind];
    run.folder = argv[optind + 1];
    run.command = argv + optind + 2;
    setlinebuf(stdout);
    make_scratch();
    status = run_all();
    remove_scratch();
    return status;
}
