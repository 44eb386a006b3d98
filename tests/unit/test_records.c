/* Rows that taps saw come back as they were, wherever there was room. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "align/records.h"
#include "suite.h"

enum { WIDTH = 3, MOST = 4, ROW_BYTES = WIDTH * sizeof(float) };

static const struct gqa_device_options options = {.real = GQA_F32,
                                                  .n_threads = 1};
static struct gqa_device *device;
static uint64_t free_bytes;
static unsigned n_uploads;

/* A device of 800 bytes, a hundred of which are to stay free. */
static enum gqa_status describe(struct gqa_device *d,
                                struct gqa_device_info *out)
{
    (void)d;
    *out =
        (struct gqa_device_info){.total_bytes = 800, .free_bytes = free_bytes};
    return GQA_OK;
}

static enum gqa_status alloc(struct gqa_device *d, void **out, uint64_t n_bytes)
{
    ck_assert_uint_le(n_bytes, free_bytes);
    free_bytes -= n_bytes;
    return gqa_cpu_backend()->alloc(d, out, n_bytes);
}

static enum gqa_status upload(struct gqa_device *d, void *dst, const void *src,
                              uint64_t n_bytes)
{
    n_uploads++;
    return gqa_cpu_backend()->upload(d, dst, src, n_bytes);
}

static struct gqa_backend small_device(uint64_t room)
{
    struct gqa_backend backend = *gqa_cpu_backend();

    backend.in_place = false;
    backend.describe = describe;
    backend.alloc = alloc;
    backend.upload = upload;
    free_bytes = room;
    n_uploads = 0;
    return backend;
}

/* n rows of first, first + 1, ... */
static void add(struct gqa_records *r, const struct gqa_backend *backend,
                uint64_t n, float first)
{
    float rows[MOST * WIDTH];
    const struct gqa_tapped tapped = {.x = rows,
                                      .width = WIDTH,
                                      .n_rows = n,
                                      .backend = backend,
                                      .device = device,
                                      .real = GQA_F32};

    for (uint64_t i = 0; i < n * WIDTH; i++)
        rows[i] = first + (float)i;
    ck_assert_int_eq(gqa_records_add(r, &tapped), GQA_OK);
    memset(rows, 0xff, sizeof rows); /* they were copied */
}

static void check_batch(struct gqa_records *r, size_t batch, uint64_t n,
                        float first)
{
    const void *rows;

    ck_assert_int_eq(gqa_records_batch(&rows, r, batch), GQA_OK);
    for (uint64_t i = 0; i < n * WIDTH; i++)
        ck_assert_float_eq(((const float *)rows)[i], first + (float)i);
}

START_TEST(keeps_batches)
{
    struct gqa_records *r;

    ck_assert_int_eq(gqa_cpu_backend()->open(&device, &options), GQA_OK);
    ck_assert_int_eq(gqa_records_create(&r, gqa_cpu_backend(), device), GQA_OK);
    add(r, gqa_cpu_backend(), 2, 10);
    add(r, gqa_cpu_backend(), 1, 20);
    check_batch(r, 1, 1, 20);
    check_batch(r, 0, 2, 10);
    /* Again, the first being larger now. */
    gqa_records_clear(r);
    add(r, gqa_cpu_backend(), 4, 30);
    add(r, gqa_cpu_backend(), 1, 40);
    add(r, gqa_cpu_backend(), 3, 50);
    check_batch(r, 0, 4, 30);
    check_batch(r, 1, 1, 40);
    check_batch(r, 2, 3, 50);
    gqa_records_free(r);
    gqa_cpu_backend()->close(device);
}
END_TEST

/* Room for two rows beside what stays free: the second batch and the fourth
 * are the host's. */
START_TEST(leaves_the_device_room)
{
    const struct gqa_backend backend = small_device(100 + 2 * ROW_BYTES);
    struct gqa_records *r;

    ck_assert_int_eq(backend.open(&device, &options), GQA_OK);
    ck_assert_int_eq(gqa_records_create(&r, &backend, device), GQA_OK);
    add(r, &backend, 1, 10);
    add(r, &backend, 2, 20);
    add(r, &backend, 1, 30);
    add(r, &backend, 1, 40);
    check_batch(r, 0, 1, 10);
    check_batch(r, 2, 1, 30);
    ck_assert_uint_eq(n_uploads, 0);
    check_batch(r, 3, 1, 40);
    check_batch(r, 1, 2, 20);
    check_batch(r, 3, 1, 40);
    ck_assert_uint_eq(n_uploads, 3);
    gqa_records_free(r);
    gqa_records_free(NULL);
    backend.close(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("records");
    TCase *tc = tcase_create("all");

    suite_add_tcase(suite, tc);
    tcase_add_test(tc, keeps_batches);
    tcase_add_test(tc, leaves_the_device_room);
    return suite_run(suite);
}
