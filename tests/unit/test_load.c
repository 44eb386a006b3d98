/* Weights on their way to a device: by many threads, and when that fails. */
#include <check.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/interrupt.h"
#include "runtime/load.h"
#include "suite.h"

/* --- A device with staging ------------------------------------------------ */

/* It copies as late as it may: when it is waited for. */
struct late {
    struct gqa_staging base;
    void *dst;
    uint64_t n_bytes;
};

static atomic_int n_open, sends_left, opens_left, waits_left;
static unsigned n_threads;

static bool used_up(atomic_int *left)
{
    return atomic_fetch_sub(left, 1) == 0;
}

static enum gqa_status describe(struct gqa_device *device,
                                struct gqa_device_info *out)
{
    (void)device;
    *out = (struct gqa_device_info){.real = GQA_F32, .n_threads = n_threads};
    return GQA_OK;
}

static enum gqa_status stage_open(struct gqa_device *device,
                                  struct gqa_staging **out, uint64_t n_bytes)
{
    struct late *late;

    (void)device;
    if (used_up(&opens_left))
        return gqa_fail(GQA_ERR_NOMEM, "nothing can be pinned");
    late = calloc(1, sizeof *late);
    ck_assert_ptr_nonnull(late);
    /* As large as it is said to be, and no larger. */
    late->base.data = malloc((size_t)n_bytes);
    ck_assert_ptr_nonnull(late->base.data);
    late->base.n_bytes = n_bytes;
    n_open++;
    *out = &late->base;
    return GQA_OK;
}

static void stage_close(struct gqa_device *device, struct gqa_staging *staging)
{
    (void)device;
    free(staging->data);
    free(staging);
    n_open--;
}

static enum gqa_status stage_send(struct gqa_device *device,
                                  struct gqa_staging *staging, void *dst,
                                  uint64_t n_bytes)
{
    struct late *late = (struct late *)staging;

    (void)device;
    ck_assert_uint_le(n_bytes, staging->n_bytes);
    if (used_up(&sends_left))
        return gqa_fail(GQA_ERR_IO, "the bus is gone");
    late->dst = dst;
    late->n_bytes = n_bytes;
    return GQA_OK;
}

static enum gqa_status stage_wait(struct gqa_device *device,
                                  struct gqa_staging *staging)
{
    struct late *late = (struct late *)staging;

    (void)device;
    if (used_up(&waits_left))
        return gqa_fail(GQA_ERR_IO, "the device is gone");
    if (late->dst)
        memcpy(late->dst, staging->data, (size_t)late->n_bytes);
    late->dst = NULL;
    return GQA_OK;
}

static const struct gqa_backend staged = {.describe = describe,
                                          .stage_open = stage_open,
                                          .stage_close = stage_close,
                                          .stage_send = stage_send,
                                          .stage_wait = stage_wait};
static const struct gqa_backend in_place = {.describe = describe,
                                            .in_place = true};
static const struct gqa_backend *const backends[] = {&staged, &in_place};

/* --- Weights -------------------------------------------------------------- */

enum { N_PARAMS = 4 };

/* Of several slices; of a row; of rows longer than a slice; a table. */
static struct gqa_param params[N_PARAMS] = {
    {.name = "many", .rows = 5000, .cols = 1024},
    {.name = "one", .rows = 1, .cols = 3},
    {.name = "long", .rows = 2, .cols = 2500000},
    {.name = "table", .rows = 32, .cols = 8},
};
static struct gqa_model model = {.params = params, .n_params = N_PARAMS};

static size_t fails_from; /* param and those after it; N_PARAMS: none */
static uint64_t fails_from_row;

static float value_at(size_t param, uint64_t i)
{
    return (float)((i * 7 + param * 13 + (i >> 13)) % 4099);
}

static enum gqa_status read_rows(void *ctx, size_t param, uint64_t row,
                                 uint64_t n_rows, void *buf)
{
    const uint64_t cols = params[param].cols;
    float *to = buf;

    (void)ctx;
    ck_assert_uint_le(row + n_rows, params[param].rows);
    if (param > fails_from ||
        (param == fails_from && row + n_rows > fails_from_row))
        return gqa_fail(GQA_ERR_IO, "no row %llu of %s",
                        (unsigned long long)row, params[param].name);
    for (uint64_t i = 0; i < n_rows * cols; i++)
        to[i] = value_at(param, row * cols + i);
    return GQA_OK;
}

static const struct gqa_weight_source source = {read_rows, NULL};

static struct gqa_loader *loader;
static struct gqa_load loads[N_PARAMS];

static void setup(void)
{
    n_open = 0;
    sends_left = opens_left = waits_left = -1;
    fails_from = N_PARAMS;
    fails_from_row = 0;
    for (size_t i = 0; i < N_PARAMS; i++) {
        struct gqa_param *p = &params[i];

        p->dtype = GQA_F32;
        p->n_elements = p->rows * p->cols;
        p->n_bytes = p->n_elements * sizeof(float);
        loads[i] = (struct gqa_load){.param = i};
        if (i == N_PARAMS - 1)
            loads[i].table = calloc(p->n_elements, sizeof(double));
        else
            loads[i].data = calloc(1, p->n_bytes);
        ck_assert(loads[i].table || loads[i].data);
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < N_PARAMS; i++) {
        free(loads[i].data);
        free(loads[i].table);
    }
    ck_assert_int_eq(n_open, 0);
}

static enum gqa_status run(const struct gqa_backend *backend, unsigned threads)
{
    n_threads = threads;
    ck_assert_int_eq(gqa_loader_create(&loader, &model, backend, NULL), GQA_OK);
    return gqa_loader_run(loader, &source, loads, N_PARAMS);
}

static void check_loaded(void)
{
    for (size_t i = 0; i < N_PARAMS; i++) {
        const float *data = loads[i].data;
        uint64_t n_wrong = 0;

        for (uint64_t j = 0; j < params[i].n_elements; j++)
            n_wrong += (data ? (double)data[j] : loads[i].table[j]) !=
                       (double)value_at(i, j);
        ck_assert_uint_eq(n_wrong, 0);
    }
}

START_TEST(puts_each_row_in_its_place)
{
    static const unsigned threads[] = {1, 3, 0, 1000};

    setup();
    ck_assert_int_eq(run(backends[_i % 2], threads[_i / 2]), GQA_OK);
    check_loaded();
    gqa_loader_free(loader);
    teardown();
}
END_TEST

/* The stagings are kept, and grow where a later run needs larger ones. */
START_TEST(runs_again)
{
    setup();
    n_threads = 2;
    ck_assert_int_eq(gqa_loader_create(&loader, &model, &staged, NULL), GQA_OK);
    ck_assert_int_eq(gqa_loader_run(loader, &source, loads, 0), GQA_OK);
    ck_assert_int_eq(n_open, 0);
    for (size_t i = 1; i <= N_PARAMS; i++)
        ck_assert_int_eq(
            gqa_loader_run(loader, &source, &loads[i % N_PARAMS], 1), GQA_OK);
    ck_assert_int_le(n_open, 4);
    check_loaded();
    gqa_loader_free(loader);
    teardown();
}
END_TEST

/* Whichever thread is first to notice. */
START_TEST(tells_the_first_failure)
{
    char name[8];
    unsigned row;

    for (int again = 0; again < 5; again++) {
        setup();
        fails_from = 0;
        fails_from_row = 4500;
        ck_assert_int_eq(run(backends[_i], 8), GQA_ERR_IO);
        /* The slice that has row 4500, and no later one. */
        ck_assert_int_eq(
            sscanf(gqa_error_message(), "no row %u of %7s", &row, name), 2);
        ck_assert_str_eq(name, "many");
        ck_assert_uint_le(row, 4500);
        ck_assert_uint_gt(row, 4500 - 2048);
        gqa_loader_free(loader);
        teardown();
    }
    setup();
    fails_from = N_PARAMS - 1;
    ck_assert_int_eq(run(backends[_i], 3), GQA_ERR_IO);
    ck_assert_str_eq(gqa_error_message(), "no row 0 of table");
    gqa_loader_free(loader);
    teardown();
}
END_TEST

/* After a failure, the loader runs again. */
static void fails_then_runs(atomic_int *left, int n, const char *message)
{
    setup();
    *left = n;
    ck_assert_int_ne(run(&staged, 4), GQA_OK);
    ck_assert_str_eq(gqa_error_message(), message);
    *left = -1;
    ck_assert_int_eq(gqa_loader_run(loader, &source, loads, N_PARAMS), GQA_OK);
    check_loaded();
    gqa_loader_free(loader);
    teardown();
}

START_TEST(survives_the_device)
{
    for (int n = 0; n < 3; n++) {
        fails_then_runs(&opens_left, n, "nothing can be pinned");
        fails_then_runs(&sends_left, n, "the bus is gone");
        fails_then_runs(&waits_left, n, "the device is gone");
    }
}
END_TEST

START_TEST(ends_after_a_signal)
{
    gqa_interrupt_catch(NULL);
    ck_assert_int_eq(raise(SIGTERM), 0);
    setup();
    ck_assert_int_eq(run(backends[_i], 4), GQA_ERR_INTERRUPTED);
    gqa_loader_free(loader);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *tc = tcase_create("load");

    tcase_add_loop_test(tc, puts_each_row_in_its_place, 0, 8);
    tcase_add_test(tc, runs_again);
    tcase_add_loop_test(tc, tells_the_first_failure, 0, 2);
    tcase_add_test(tc, survives_the_device);
    tcase_add_loop_test(tc, ends_after_a_signal, 0, 2);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
