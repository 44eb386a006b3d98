/*
 * The parser's process and what comes from it: nothing that it does or says
 * harms this one.
 */
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/interrupt.h"
#include "deprive.h"
#include "formats/hdf5/budget.h"
#include "formats/hdf5/cache.h"
#include "formats/hdf5/child.h"
#include "formats/hdf5/filters.h"
#include "formats/hdf5/sandbox.h"
#include "formats/hdf5/table.h"
#include "h5_make.h"
#include "scratch.h"
#include "suite.h"

static struct gqa_h5_child child;
static struct gqa_h5_table table;
static struct gqa_h5_chunk chunks[8];
static uint64_t file_bytes;
static int fd;

/* A dataset in four chunks of eight bytes. */
static void start(unsigned limit_ms)
{
    const hsize_t n = 8, chunk = 2;
    const float values[8] = {0};
    const hid_t file = h5_create("f", 0, 0);

    h5_write(file, "w", H5T_IEEE_F32LE, 1, &n, h5_chunks(1, &chunk), values);
    H5Fclose(file);
    ck_assert_int_eq(gqa_file_open(&fd, &file_bytes, scratch_path("f")),
                     GQA_OK);
    ck_assert_int_eq(
        gqa_h5_child_start(&child, fd, file_bytes, limit_ms, false), GQA_OK);
    ck_assert_msg(gqa_h5_child_table(&child, &table, file_bytes) == GQA_OK,
                  "%s", gqa_error_message());
}

static void finish(void)
{
    gqa_h5_child_end(&child);
    gqa_h5_child_end(&child);
    gqa_h5_table_clear(&table);
    close(fd);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

static enum gqa_status ask(void)
{
    return gqa_h5_child_chunks(&child, chunks, 0, &table.datasets[0],
                               file_bytes);
}

START_TEST(answers_twice)
{
    start(20000);
    ck_assert_uint_eq(table.datasets[0].n_chunks, 4);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ask(), GQA_OK);
        ck_assert_uint_eq(chunks[1].address, chunks[0].address + 8);
        ck_assert_uint_eq(chunks[3].size, 8);
    }
    finish();
}
END_TEST

/* How many chunks there are was said before where they lie. */
START_TEST(its_answers_agree)
{
    start(20000);
    ck_assert_uint_eq(table.datasets[0].n_written, 4);
    table.datasets[0].n_written = 3;
    ck_assert_int_eq(ask(), GQA_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "sent nonsense"));
    finish();
}
END_TEST

START_TEST(its_death_is_an_error)
{
    start(20000);
    kill(child.pid, SIGSEGV);
    ck_assert_int_eq(ask(), GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(), "could not parse it") != NULL,
                  "%s", gqa_error_message());
    ck_assert_int_eq(ask(), GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), "the HDF5 parser has failed before");
    finish();
}
END_TEST

/* As the filter ends it that asks for too much memory in one piece. */
START_TEST(its_greed_is_an_error)
{
    start(20000);
    kill(child.pid, SIGSYS);
    ck_assert_int_eq(ask(), GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(),
                         "asked for more memory than it is allowed (1024 "
                         "MiB)") != NULL,
                  "%s", gqa_error_message());
    finish();
}
END_TEST

START_TEST(its_silence_is_an_error)
{
    start(20000);
    kill(child.pid, SIGSTOP);
    child.left_ms = 500;
    ck_assert_int_eq(ask(), GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(),
                         "too long to parse: more than 600 s of waiting, "
                         "which is the most for a file of ") != NULL,
                  "%s", gqa_error_message());
    finish();
}
END_TEST

/* The system ends it where memory is short: that is not the file's fault. */
START_TEST(its_death_by_the_system_is_not_the_files_fault)
{
    start(20000);
    kill(child.pid, SIGKILL);
    ck_assert_int_eq(ask(), GQA_ERR_IO);
    ck_assert_msg(strstr(gqa_error_message(), "was killed") != NULL, "%s",
                  gqa_error_message());
    finish();
}
END_TEST

/* Nor that the user has set a limit, which is over sooner than ours. */
START_TEST(its_death_by_the_users_limit_is_not_the_files_fault)
{
    const struct rlimit limit = {5, RLIM_INFINITY};

    ck_assert_int_eq(setrlimit(RLIMIT_CPU, &limit), 0);
    start(20000);
    kill(child.pid, SIGXCPU);
    ck_assert_int_eq(ask(), GQA_ERR_IO);
    ck_assert_msg(strstr(gqa_error_message(), "(ulimit -t)") != NULL, "%s",
                  gqa_error_message());
    finish();
}
END_TEST

START_TEST(its_own_limit_is_the_files_fault)
{
    start(20000);
    kill(child.pid, SIGXCPU);
    ck_assert_int_eq(ask(), GQA_ERR_FORMAT);
    ck_assert_msg(strstr(gqa_error_message(), "more than 20 s of processor") !=
                      NULL,
                  "%s", gqa_error_message());
    finish();
}
END_TEST

/* No descriptor is left for it: the limit is one more than are open. */
START_TEST(its_failure_to_begin_is_not_the_files_fault)
{
    struct rlimit limit;
    enum gqa_status st;
    char *message;
    int next;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    start(20000);
    gqa_h5_child_end(&child);
    gqa_h5_table_clear(&table);
    memset(&table, 0, sizeof table);
    next = dup(fd);
    close(next);
    limit.rlim_cur = (rlim_t)next + 2; /* two for the socket, none beyond */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(gqa_h5_child_start(&child, fd, file_bytes, 20000, false),
                     GQA_OK);
    st = gqa_h5_child_table(&child, &table, file_bytes);
    message = strdup(gqa_error_message());
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert_int_eq(st, GQA_ERR_IO);
    ck_assert_str_eq(message, "cannot set up the process of the HDF5 parser: "
                              "Too many open files");
    free(message);
    finish();
}
END_TEST

/* 2 s, and 1 s a MiB up to 120. */
START_TEST(the_budget_grows_with_the_file)
{
    const unsigned factor = gqa_sandbox_is_watched() ? 50 : 1;

    ck_assert_uint_eq(gqa_h5_budget_ms(8192), factor * 2007);
    ck_assert_uint_eq(gqa_h5_budget_ms(10 << 20), factor * 12000);
    ck_assert_uint_eq(gqa_h5_budget_ms(UINT64_MAX), factor * 122000);
}
END_TEST

/* Where there is no filter, Landlock closes the file system as well. */
START_TEST(landlock_closes_all_files)
{
    int status;
    pid_t pid;

    if (!deprive_has_landlock())
        return;
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        deprive(DEPRIVE_FILTER);
        if (gqa_sandbox_enter() != GQA_SANDBOX_FILES)
            _exit(2);
        _exit(open("/dev/null", O_RDONLY) >= 0 ||
              open(scratch_path("f"), O_WRONLY | O_CREAT, 0600) >= 0 ||
              mkdir(scratch_path("d"), 0700) == 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* Nobody is left to ask: it ends without being killed. */
START_TEST(it_ends_with_us)
{
    start(20000);
    close(child.channel);
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid);
    child.pid = 0;
    finish();
}
END_TEST

/*
 * Nor does it outlive us where it computes: SIGPROF, which its clock sends,
 * makes it look. A process between starts it, stops it and ends; stopped, it
 * has not seen that the channel is closed.
 */
START_TEST(it_ends_with_us_in_the_midst_of_work)
{
    int ends[2], status;
    pid_t between, pid = 0;

    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ck_assert_int_eq(pipe(ends), 0);
    between = fork();
    ck_assert_int_ge(between, 0);
    if (between == 0) {
        start(20000);
        kill(child.pid, SIGSTOP);
        waitpid(child.pid, &status, WUNTRACED);
        _exit(write(ends[1], &child.pid, sizeof child.pid) !=
              (ssize_t)sizeof child.pid);
    }
    ck_assert_int_eq(waitpid(between, &status, 0), between);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(ends[0], &pid, sizeof pid), (int)sizeof pid);
    kill(pid, SIGPROF);
    kill(pid, SIGCONT);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* They reach all processes of a terminal: ^C, and a window that is closed. */
START_TEST(signals_for_the_tool_do_not_reach_it)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

    start(20000);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        kill(child.pid, signals[i]);
    ck_assert_int_eq(ask(), GQA_OK);
    finish();
}
END_TEST

/* Its death is no fault of the file's where we are to end, too. */
START_TEST(its_death_by_the_signal_that_ends_us_is_none)
{
    gqa_interrupt_catch(NULL);
    start(20000);
    raise(SIGTERM);
    kill(child.pid, SIGKILL);
    ck_assert_int_eq(ask(), GQA_ERR_INTERRUPTED);
    ck_assert_str_eq(gqa_error_message(), "interrupted");
    finish();
}
END_TEST

/* What a sound answer looks like, for others to be made from it. */
static struct gqa_wire encode(const struct gqa_h5_table *t)
{
    struct gqa_wire wire = {0};

    gqa_h5_table_encode(&wire, t);
    ck_assert(!wire.failed);
    return wire;
}

static enum gqa_status decode(const void *data, size_t n, uint64_t bytes)
{
    struct gqa_h5_table t = {0};
    const enum gqa_status st = gqa_h5_table_decode(&t, data, n, bytes);

    gqa_h5_table_clear(&t);
    return st;
}

static char name[] = "w", path[] = "/w";
static struct gqa_h5_variable variable = {name, 0, 1};
static struct gqa_h5_dataset dataset = {.path = path,
                                        .dtype = GQA_F32,
                                        .rank = 2,
                                        .shape = {4, 5},
                                        .layout = GQA_H5_CONTIGUOUS,
                                        .offset = 20};
static struct gqa_h5_table sound = {.naming = GQA_NAMES_TF,
                                    .variables = &variable,
                                    .n_variables = 1,
                                    .datasets = &dataset,
                                    .n_datasets = 1};

static enum gqa_status decode_dataset(struct gqa_h5_dataset d)
{
    struct gqa_h5_table t = sound;
    struct gqa_wire wire;
    enum gqa_status st;

    t.datasets = &d;
    wire = encode(&t);
    st = decode(wire.data, wire.length, 100);
    free(wire.data);
    return st;
}

START_TEST(answers_are_checked)
{
    struct gqa_h5_dataset d = dataset;
    struct gqa_h5_table t = sound;
    struct gqa_wire wire = encode(&sound);

    ck_assert_int_eq(decode(wire.data, wire.length, 100), GQA_OK);
    /* One byte beyond the end of the file */
    ck_assert_int_eq(decode(wire.data, wire.length, 99), GQA_ERR_FORMAT);
    for (size_t n = 0; n < wire.length; n++)
        ck_assert_int_eq(decode(wire.data, n, 100), GQA_ERR_FORMAT);
    free(wire.data);

    d.offset = UINT64_MAX - 10;
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);
    d = dataset;
    d.shape[0] = UINT64_C(1) << 62;
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);
    d = dataset;
    d.dtype = GQA_F4;
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);
    d = dataset;
    d.layout = GQA_H5_CHUNKED;
    d.chunk[0] = 4;
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT); /* chunk[1] is 0 */
    d.chunk[1] = 5;
    d.n_written = 1;
    ck_assert_int_eq(decode_dataset(d), GQA_OK);
    d.n_written = 2; /* of one */
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);
    d.n_written = 0;
    d.n_filters = 1;
    d.filters[0].id = 32000;
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);
    d.filters[0].id = GQA_H5_SHUFFLE; /* of elements of 0 bytes */
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);
    d.filters[0].element = 4;
    ck_assert_int_eq(decode_dataset(d), GQA_OK);
    d.chunk[0] = UINT64_C(1) << 40;
    ck_assert_int_eq(decode_dataset(d), GQA_ERR_FORMAT);

    t.n_datasets = 2; /* more than come */
    wire = encode(&t);
    ck_assert_int_eq(decode(wire.data, wire.length, 100), GQA_ERR_FORMAT);
    free(wire.data);
}
END_TEST

/* 4 bytes of 2-byte words: low = 0x0102 + 0x0304, high = 2 * 0x0102 + 0x0304 */
START_TEST(knows_fletcher32)
{
    struct gqa_h5_dataset d = {.path = path,
                               .dtype = GQA_U8,
                               .n_filters = 1,
                               .filters = {{GQA_H5_FLETCHER32, 0}},
                               .chunk_bytes = 4};
    unsigned char stored[8] = {1, 2, 3, 4, 0x06, 0x04, 0x08, 0x05};
    unsigned char *content;

    ck_assert_int_eq(gqa_h5_decode(&d, 0, stored, 8, NULL, &content), GQA_OK);
    ck_assert_ptr_eq(content, stored);
    /* As HDF5 before 1.6.3 wrote it */
    memcpy(stored + 4, (unsigned char[]){0x04, 0x06, 0x05, 0x08}, 4);
    ck_assert_int_eq(gqa_h5_decode(&d, 0, stored, 8, NULL, &content), GQA_OK);
    stored[0] = 9;
    ck_assert_int_eq(gqa_h5_decode(&d, 0, stored, 8, NULL, &content),
                     GQA_ERR_FORMAT);
    /* Skipped: eight bytes are too many */
    ck_assert_int_eq(gqa_h5_decode(&d, 1, stored, 8, NULL, &content),
                     GQA_ERR_FORMAT);
    ck_assert_int_eq(gqa_h5_decode(&d, 1, stored, 4, NULL, &content), GQA_OK);
}
END_TEST

/* Bytes "ad be cf" + remainder: of elements abc, def. */
START_TEST(unshuffles_odd_elements)
{
    struct gqa_h5_dataset d = {.path = path,
                               .dtype = GQA_U8,
                               .n_filters = 1,
                               .filters = {{GQA_H5_SHUFFLE, 3}},
                               .chunk_bytes = 8};
    unsigned char *stored = malloc(gqa_h5_decode_room(&d));
    unsigned char *other = malloc(gqa_h5_decode_room(&d));
    unsigned char *content;

    memcpy(stored, "adbecfxy", 8);
    ck_assert_int_eq(gqa_h5_decode(&d, 0, stored, 8, other, &content), GQA_OK);
    ck_assert_mem_eq(content, "abcdefxy", 8);
    free(stored);
    free(other);
}
END_TEST

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_loads;

static enum gqa_status load_slowly(void *ctx, unsigned char **content)
{
    pthread_mutex_lock(&lock);
    n_loads++;
    pthread_mutex_unlock(&lock);
    usleep(100000);
    if (ctx)
        return gqa_fail(GQA_ERR_FORMAT, "damaged");
    *content = malloc(100);
    memset(*content, 7, 100);
    return GQA_OK;
}

struct user {
    struct gqa_h5_cache *cache;
    void *ctx; /* not NULL: loading fails */
    enum gqa_status status;
    bool wrong;
};

static void *use_cache(void *arg)
{
    struct user *u = arg;
    const struct gqa_h5_key key = {1, 2};
    struct gqa_h5_cached *cached;

    u->status =
        gqa_h5_cache_get(u->cache, &cached, key, 100, load_slowly, u->ctx);
    if (u->status == GQA_OK) {
        u->wrong = gqa_h5_cached_content(cached)[99] != 7;
        gqa_h5_cache_give_back(u->cache, cached);
    } else {
        /* Each thread learns the reason. */
        u->wrong = strcmp(gqa_error_message(), "damaged") != 0;
    }
    return NULL;
}

static void use_by_threads(struct gqa_h5_cache *cache, void *ctx,
                           enum gqa_status status)
{
    enum { N = 4 };
    struct user users[N];
    pthread_t threads[N];

    for (int i = 0; i < N; i++) {
        users[i] = (struct user){cache, ctx, GQA_OK, false};
        pthread_create(&threads[i], NULL, use_cache, &users[i]);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(users[i].status, status);
        ck_assert(!users[i].wrong);
    }
}

START_TEST(a_chunk_is_decoded_once)
{
    struct gqa_h5_cache *cache;
    struct gqa_h5_cached *cached;
    const struct gqa_h5_key other = {1, 3};

    ck_assert_int_eq(gqa_h5_cache_create(&cache, 400), GQA_OK);
    use_by_threads(cache, &n_loads, GQA_ERR_FORMAT);
    n_loads = 0;
    use_by_threads(cache, NULL, GQA_OK);
    ck_assert_uint_eq(n_loads, 1);
    /* There is room for one chunk: the second takes the first one's. */
    ck_assert_int_eq(
        gqa_h5_cache_get(cache, &cached, other, 100, load_slowly, NULL),
        GQA_OK);
    gqa_h5_cache_give_back(cache, cached);
    use_by_threads(cache, NULL, GQA_OK);
    ck_assert_uint_eq(n_loads, 3);
    gqa_h5_cache_free(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hdf5_child");
    TCase *tc = tcase_create("process");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, scratch_create, scratch_remove);
    tcase_add_test(tc, answers_twice);
    tcase_add_test(tc, its_answers_agree);
    tcase_add_test(tc, its_death_is_an_error);
    tcase_add_test(tc, its_greed_is_an_error);
    tcase_add_test(tc, its_silence_is_an_error);
    tcase_add_test(tc, its_death_by_the_system_is_not_the_files_fault);
    tcase_add_test(tc, its_death_by_the_users_limit_is_not_the_files_fault);
    tcase_add_test(tc, its_own_limit_is_the_files_fault);
    tcase_add_test(tc, its_failure_to_begin_is_not_the_files_fault);
    tcase_add_test(tc, the_budget_grows_with_the_file);
    tcase_add_test(tc, landlock_closes_all_files);
    tcase_add_test(tc, it_ends_with_us);
    tcase_add_test(tc, it_ends_with_us_in_the_midst_of_work);
    tcase_add_test(tc, signals_for_the_tool_do_not_reach_it);
    tcase_add_test(tc, its_death_by_the_signal_that_ends_us_is_none);
    tcase_add_test(tc, answers_are_checked);
    tcase_add_test(tc, knows_fletcher32);
    tcase_add_test(tc, unshuffles_odd_elements);
    tcase_add_test(tc, a_chunk_is_decoded_once);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
