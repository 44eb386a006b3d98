/* Bytes are found among those that were read, and nowhere else. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/hdf5/origin.h"
#include "scratch.h"
#include "suite.h"

enum { SIZE = 300000 };

static struct gqa_h5_origin origin;
static unsigned char content[SIZE];

/* No four bytes of it are there twice. */
static void start(void)
{
    uint64_t size;

    scratch_create();
    for (uint32_t i = 0; i < SIZE / 4; i++) {
        const uint32_t mixed = i * UINT32_C(2654435761);

        memcpy(content + 4 * (size_t)i, &mixed, 4);
    }
    memset(&origin, 0, sizeof origin);
    ck_assert_int_eq(
        gqa_file_open(&origin.fd, &size, scratch_write("f", content, SIZE)),
        GQA_OK);
}

static void finish(void)
{
    free(origin.ranges);
    close(origin.fd);
    scratch_remove();
}

static bool find(size_t at, size_t n)
{
    uint64_t address;

    if (!gqa_h5_origin_find(&origin, content + at, n, &address))
        return false;
    ck_assert_uint_eq(address, at);
    return true;
}

START_TEST(only_what_was_read_is_found)
{
    uint64_t address;

    ck_assert(!find(0, 8));
    gqa_h5_origin_note(&origin, 1000, 100);
    ck_assert(find(1000, 100));
    ck_assert(find(1040, 8));
    ck_assert(find(1092, 8));
    ck_assert(!find(996, 8));
    ck_assert(!find(1000, 101));
    ck_assert(!find(1096, 8));
    ck_assert(!find(5000, 8));
    /* Nothing is everywhere. */
    ck_assert(gqa_h5_origin_find(&origin, "", 0, &address));
}
END_TEST

/* What was read in two parts, one after the other or with another between. */
START_TEST(parts_belong_together)
{
    gqa_h5_origin_note(&origin, 1000, 100);
    gqa_h5_origin_note(&origin, 1100, 100);
    gqa_h5_origin_note(&origin, 900, 100);
    ck_assert_uint_eq(origin.n, 1);
    ck_assert(find(900, 300));
    gqa_h5_origin_note(&origin, 2000, 100);
    gqa_h5_origin_note(&origin, 1200, 100);
    gqa_h5_origin_note(&origin, 2040, 20);
    ck_assert(find(1180, 40));
    ck_assert(find(2080, 20));
    ck_assert(!find(1280, 40));
}
END_TEST

/* Longer than what is searched at once, and across such places. */
START_TEST(long_ranges_are_searched)
{
    gqa_h5_origin_note(&origin, 0, SIZE);
    ck_assert(find(290000, 8));
    ck_assert(find(4, 8)); /* far from the last */
    ck_assert(find(65528, 16));
    ck_assert(find(100, 200000));
    for (size_t at = 65000; at < 66000; at += 4)
        ck_assert(find(at, 40000));
    content[250000] ^= 1;
    ck_assert(!find(100000, 200000));
}
END_TEST

/* A reader that fails, or a number from a hostile file, finds nothing. */
START_TEST(impossible_ranges_are_not_searched)
{
    gqa_h5_origin_note(&origin, UINT64_MAX - 10, 20);
    gqa_h5_origin_note(&origin, 10, 0);
    ck_assert_uint_eq(origin.n, 0);
    gqa_h5_origin_note(&origin, SIZE - 8, 100);
    ck_assert(!find(SIZE - 8, 8));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hdf5_origin");
    TCase *tc = tcase_create("origin");

    tcase_add_checked_fixture(tc, start, finish);
    tcase_add_test(tc, only_what_was_read_is_found);
    tcase_add_test(tc, parts_belong_together);
    tcase_add_test(tc, long_ranges_are_searched);
    tcase_add_test(tc, impossible_ranges_are_not_searched);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
