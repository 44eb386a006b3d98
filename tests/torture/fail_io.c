/*
 * Run a command again and again, each time with another of its calls of the
 * system failing (io_calls.h), or with a signal that ends it there.
 *
 * usage: fail_io [-t TRIES] [-a CALL] [-v] [-s SEED] CLOCK FOLDER COMMAND
 * [ARGUMENT]...
 *
 *   CLOCK   fail_alloc.so, for which time stands still
 *   FOLDER  what the command writes goes in here; it is emptied before each
 *           run
 *   -s      before each run FOLDER is a copy of this one
 *   -t      no more than TRIES, spread over the run, and the last LAST calls
 *           (default: each one)
 *   -a      this call alone, and -v: tell what each run said
 *
 * Each call fails in each way that it may, once alone and, where that can be,
 * once with all later ones. The run must then do all that it does when nothing
 * fails, byte for byte; or end with 2, say in one line what the matter was, and
 * leave FOLDER as it was or as it should be, but for entries under hidden
 * names: and these the next run removes. Instead of what should be there,
 * a whole report may say what was wrong. Half a call must do no harm at all.
 * Ends with 1 where that does not hold, and with 77 where calls cannot be
 * watched.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io_watch.h"
#include "trial.h"

enum { LAST = 12, SKIPPED = 77 };

/* What a run left behind. */
struct result {
    struct io_run run;
    struct bytes out, err, folder, shown;
};

static struct {
    const char *clock, *folder, *seed;
    char **command;
    size_t tries, only;
    bool verbose;
    char scratch[64], out_path[80], err_path[80];
    struct bytes before; /* FOLDER, when a run begins */
    size_t n_tried, n_failed, n_pairs;
} run = {.only = SIZE_MAX};

static void become_command(void)
{
    const struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    send_to(STDOUT_FILENO, run.out_path);
    send_to(STDERR_FILENO, run.err_path);
    setenv("LD_PRELOAD", run.clock, 1);
    execvp(run.command[0], run.command);
}

/* Names that a run has for what is not whole, or no longer there. */
static bool is_shown(const char *name)
{
    return !strstr(name, ".partial-") && !strstr(name, ".replaced-");
}

static void clear(struct result *r)
{
    free(r->out.data);
    free(r->err.data);
    free(r->folder.data);
    free(r->shown.data);
    r->out = r->err = r->folder = r->shown = (struct bytes){0};
}

static void run_once(struct result *r, const struct io_plan *plan)
{
    if (!io_watch(&r->run, plan, become_command)) {
        printf("skipped: calls of the system cannot be watched here\n");
        exit(SKIPPED);
    }
    append_file(&r->out, AT_FDCWD, run.out_path);
    append_file(&r->err, AT_FDCWD, run.err_path);
    append_folder(&r->folder, AT_FDCWD, run.folder, NULL);
    append_folder(&r->shown, AT_FDCWD, run.folder, is_shown);
}

/* A report that is whole and says what kept it from being one of checks. */
static bool says_so(const struct bytes *text)
{
    return (has(text, "\"error\": \"") && has(text, "\n}\n")) ||
           (has(text, "<error message=\"") && has(text, "</testsuites>\n"));
}

/* Lines that are no warnings; a usage error has a second one. */
static size_t count_errors(const struct bytes *err)
{
    size_t n = 0;

    for (const char *at = err->data; at && *at; at++) {
        n += strncmp(at, "gqa-", 4) == 0 && !strstr(at, ": warning: ");
        at = strchr(at, '\n');
        if (!at)
            break;
    }
    return n;
}

/* Where data is in danger, an alert says where it is, in a line of its own. */
static bool tells(const struct result *r, const struct io_fault *fault)
{
    const size_t n = count_errors(&r->err);

    if (n == 0 || n > 2)
        return false;
    return fault->kind != IO_ERROR ||
           strstr(r->err.data, strerror(fault->error)) ||
           (fault->words && strstr(r->err.data, fault->words));
}

static const char *find_in_folder(const struct result *r,
                                  const struct result *expected)
{
    static struct result next;
    const struct io_plan none = {.at = SIZE_MAX};
    bool is_clean;

    if (same(&r->folder, &run.before) || same(&r->folder, &expected->folder))
        return NULL;
    if (!same(&r->shown, &run.before) && !same(&r->shown, &expected->folder) &&
        !says_so(&r->shown))
        return "what was there is not whole";
    run_once(&next, &none);
    is_clean = same(&next.folder, &expected->folder);
    clear(&next);
    return is_clean ? NULL : "the next run leaves what this one left";
}

/* What is wrong with a run in which something failed; NULL: nothing. */
static const char *find_fault(const struct result *r,
                              const struct result *expected,
                              const struct io_plan *plan)
{
    const struct io_fault *fault = plan->fault;
    const int status = r->run.status;
    const int signal = fault->kind == IO_KILL   ? SIGKILL
                       : fault->kind == IO_TERM ? SIGTERM
                                                : 0;

    if (r->run.hangs)
        return "hangs";
    if (signal && WIFSIGNALED(status) && WTERMSIG(status) == signal)
        return find_in_folder(r, expected);
    if (WIFSIGNALED(status))
        return "dies of a signal";
    if (status == expected->run.status) {
        if (!same(&r->out, &expected->out))
            return "does not say it, and standard output differs";
        if (!same(&r->shown, &expected->shown))
            return "does not say it, and what it writes differs";
        return find_in_folder(r, expected);
    }
    if (fault->kind == IO_SHORT)
        return "takes a half for a failure";
    if (WEXITSTATUS(status) != 2)
        return "ends with another status than 2";
    if (!tells(r, fault))
        return "does not say what the matter was, in one line";
    return find_in_folder(r, expected);
}

static void try_one(const struct io_plan *plan, const struct result *expected)
{
    static struct result r;
    const char *fault, *name = io_calls[expected->run.calls[plan->at]].name;

    prepare_folder(run.folder, run.seed);
    run_once(&r, plan);
    fault = find_fault(&r, expected, plan);
    run.n_tried++;
    run.n_failed += fault != NULL;
    if (fault || run.verbose)
        printf("  call %zu, %s%s: %s: %s (status %#x)\n%s", plan->at, name,
               plan->and_later ? " and later" : "", plan->fault->name,
               fault ? fault : "well", (unsigned)r.run.status, r.err.data);
    clear(&r);
}

/* Each in turn, or every step-th one and those of the last calls. */
static bool is_wanted(size_t call, const struct result *expected, size_t step)
{
    if (run.only != SIZE_MAX)
        return call == run.only;
    return run.n_pairs++ % step == step / 2 ||
           call + LAST >= expected->run.n_calls;
}

static size_t go_through(const struct result *expected, size_t step)
{
    size_t n = 0;

    for (size_t i = 0; i < expected->run.n_calls; i++)
        for (const struct io_fault *const *fault =
                 io_calls[expected->run.calls[i]].faults;
             *fault; fault++)
            for (int later = 0; later < ((*fault)->stays ? 2 : 1); later++) {
                const struct io_plan plan = {i, *fault, later};

                n++;
                if (step > 0 && is_wanted(i, expected, step))
                    try_one(&plan, expected);
            }
    return n;
}

static void run_all(void)
{
    static struct result expected;
    const struct io_plan none = {.at = SIZE_MAX};
    size_t n;

    prepare_folder(run.folder, run.seed);
    append_folder(&run.before, AT_FDCWD, run.folder, NULL);
    run_once(&expected, &none);
    if (expected.run.status != 0 || expected.run.n_calls == 0 ||
        expected.run.n_calls > IO_MAX_CALLS) {
        fprintf(stderr, "fail_io: undisturbed: status %#x, %zu calls\n%s",
                (unsigned)expected.run.status, expected.run.n_calls,
                expected.err.data);
        exit(2);
    }
    n = go_through(&expected, 0);
    go_through(&expected, run.tries && n > run.tries ? n / run.tries : 1);
    printf("%zu of %zu tries went wrong, %zu calls, %zu faults:", run.n_failed,
           run.n_tried, expected.run.n_calls, n);
    for (char **word = run.command; *word; word++)
        printf(" %s", *word);
    printf("\n");
    clear(&expected);
    free(run.before.data);
}

static void make_scratch(void)
{
    strcpy(run.scratch, "/tmp/fail_io-XXXXXX");
    if (!mkdtemp(run.scratch))
        die(run.scratch);
    snprintf(run.out_path, sizeof run.out_path, "%s/out", run.scratch);
    snprintf(run.err_path, sizeof run.err_path, "%s/err", run.scratch);
}

static void remove_scratch(void)
{
    unlink(run.out_path);
    unlink(run.err_path);
    rmdir(run.scratch);
}

int main(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "+t:a:s:v")) != -1) {
        if (option == 't')
            run.tries = strtoul(optarg, NULL, 10);
        else if (option == 'a')
            run.only = strtoul(optarg, NULL, 10);
        else if (option == 's')
            run.seed = optarg;
        else if (option == 'v')
            run.verbose = true;
        else
            return 2;
    }
    if (argc - optind < 3) {
        fprintf(stderr, "usage: fail_io [-t TRIES] [-a CALL] [-v] [-s SEED] "
                        "CLOCK FOLDER COMMAND [ARGUMENT]...\n");
        return 2;
    }
    run.clock = argv[optind];
    run.folder = argv[optind + 1];
    run.command = argv + optind + 2;
    setlinebuf(stdout);
    make_scratch();
    atexit(remove_scratch);
    run_all();
    return run.n_failed > 0;
}
