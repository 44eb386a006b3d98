#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/stats.h"
#include "scratch.h"
#include "suite.h"

/* One tensor w of f32 values, and it as a parameter. */
static struct gqa_checkpoint *open_w(uint64_t rows, uint64_t cols,
                                     const float *values)
{
    const struct gqa_checkpoint_options options = {0};
    const size_t n_bytes = rows * cols * sizeof *values;
    struct gqa_checkpoint *checkpoint = NULL;
    char header[256];

    snprintf(header, sizeof header,
             "{\"w\":{\"dtype\":\"F32\",\"shape\":[%llu,%llu],"
             "\"data_offsets\":[0,%zu]}}",
             (unsigned long long)rows, (unsigned long long)cols, n_bytes);
    ck_assert_int_eq(
        gqa_checkpoint_open(
            &checkpoint,
            scratch_write_safetensors("w.safetensors", header, values, n_bytes),
            &options),
        GQA_OK);
    return checkpoint;
}

/* Two KV heads of two each; K and V lie in w as slice says. */
static struct gqa_stats *stats_of(struct gqa_checkpoint *checkpoint,
                                  uint64_t rows, uint64_t cols, bool transposed,
                                  const struct gqa_slice *k,
                                  const struct gqa_slice *v, unsigned n_threads)
{
    struct gqa_view view = {
        .rows = rows, .cols = cols, .transposed = transposed};
    struct gqa_param param = {.name = (char[]){"w"},
                              .dtype = GQA_F32,
                              .rows = rows,
                              .cols = cols,
                              .n_parts = 1,
                              .parts = &view};
    struct gqa_attention attention = {
        .n_heads = 2, .n_kv_heads = 2, .head_dim = 2, .k = *k, .v = *v};
    const struct gqa_model model = {.params = &param,
                                    .n_params = 1,
                                    .attentions = &attention,
                                    .n_attentions = 1};
    struct gqa_stats *stats = NULL;

    ck_assert_int_eq(gqa_stats_create(&stats, checkpoint, &model, n_threads),
                     GQA_OK);
    return stats;
}

static void norms_are(const double *norms, double first, double second)
{
    ck_assert_double_eq(norms[0], first);
    ck_assert_double_eq(norms[1], second);
}

/* Rows of separate heads: 3-4-0-0 has norm 5. */
START_TEST(takes_norms_of_rows)
{
    static const float w[8] = {3, 4, 0, 0, 6, 0, 8, 0};
    const struct gqa_slice slice = {
        .n_heads = 2, .per_block = 1, .block_stride = 2};
    struct gqa_checkpoint *checkpoint = open_w(4, 2, w);
    struct gqa_stats *stats =
        stats_of(checkpoint, 4, 2, false, &slice, &slice, 1);

    norms_are(stats->heads[0].k, 5, 10);
    norms_are(stats->heads[0].v, 5, 10);
    gqa_stats_free(stats);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

/* The same matrix as the file would hold it the other way round. */
START_TEST(takes_norms_of_transposed_rows)
{
    static const float w[8] = {3, 0, 6, 8, 4, 0, 0, 0};
    const struct gqa_slice slice = {
        .n_heads = 2, .per_block = 1, .block_stride = 2};
    struct gqa_checkpoint *checkpoint = open_w(2, 4, w);
    struct gqa_stats *stats =
        stats_of(checkpoint, 4, 2, true, &slice, &slice, 1);

    norms_are(stats->heads[0].k, 5, 10);
    gqa_stats_free(stats);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

/* One row [q q | k k | v v] of two heads of two columns each. */
START_TEST(takes_norms_of_columns)
{
    static const float w[12] = {9, 9, 9, 9, 3, 4, 6, 8, 0, 1, 2, 0};
    const struct gqa_slice k = {
        .axis = 1, .n_heads = 2, .base = 4, .per_block = 1, .block_stride = 2};
    struct gqa_slice v = k;
    struct gqa_checkpoint *checkpoint = open_w(1, 12, w);
    struct gqa_stats *stats;

    v.base = 8;
    stats = stats_of(checkpoint, 1, 12, false, &k, &v, 1);
    norms_are(stats->heads[0].k, 5, 10);
    norms_are(stats->heads[0].v, 1, 2);
    gqa_stats_free(stats);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

/* Rows [q q k k v v] for each head in turn. */
START_TEST(takes_norms_of_interleaved_rows)
{
    static const float w[12] = {9, 9, 3, 4, 0, 1, 9, 9, 6, 8, 2, 0};
    const struct gqa_slice k = {
        .n_heads = 2, .base = 2, .per_block = 1, .block_stride = 6};
    struct gqa_slice v = k;
    struct gqa_checkpoint *checkpoint = open_w(12, 1, w);
    struct gqa_stats *stats;

    v.base = 4;
    stats = stats_of(checkpoint, 12, 1, false, &k, &v, 1);
    norms_are(stats->heads[0].k, 5, 10);
    norms_are(stats->heads[0].v, 1, 2);
    gqa_stats_free(stats);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

START_TEST(counts_nan_and_infinity)
{
    static const float w[6] = {NAN, -INFINITY, 2, INFINITY, -3, 0};
    struct gqa_checkpoint *checkpoint = open_w(2, 3, w);
    struct gqa_stats *stats = NULL;

    ck_assert_int_eq(gqa_stats_create(&stats, checkpoint, NULL, 1), GQA_OK);
    ck_assert_uint_eq(stats->n_tensors, 1);
    ck_assert_uint_eq(stats->n_attentions, 0);
    ck_assert_uint_eq(stats->tensors[0].n_nan, 1);
    ck_assert_uint_eq(stats->tensors[0].n_inf, 2);
    ck_assert_uint_eq(stats->tensors[0].n_finite, 3);
    ck_assert_double_eq(stats->tensors[0].min, -3);
    ck_assert_double_eq(stats->tensors[0].max, 2);
    gqa_stats_free(stats);
    gqa_checkpoint_close(checkpoint);
}
END_TEST

/* More than one block: 3 Mi elements, the two rows of a head 1.5 Mi each,
 * and the same to the last bit whatever the number of threads. */
START_TEST(streams_and_does_not_depend_on_threads)
{
    const uint64_t cols = (uint64_t)3 << 18;
    const struct gqa_slice slice = {
        .n_heads = 2, .per_block = 1, .block_stride = 2};
    float *w = malloc(4 * cols * sizeof *w);
    struct gqa_checkpoint *checkpoint;
    struct gqa_stats *one, *many;

    ck_assert_ptr_nonnull(w);
    for (uint64_t i = 0; i < 4 * cols; i++)
        w[i] = i < 2 * cols ? 1.0f : (float)(i % 1000) / 999.0f;
    checkpoint = open_w(4, cols, w);
    one = stats_of(checkpoint, 4, cols, false, &slice, &slice, 1);
    many = stats_of(checkpoint, 4, cols, false, &slice, &slice, 5);
    ck_assert_double_eq(one->heads[0].k[0], sqrt(2.0 * (double)cols));
    ck_assert_double_eq(one->heads[0].k[1], many->heads[0].k[1]);
    ck_assert_double_eq(one->heads[0].v[1], many->heads[0].k[1]);
    ck_assert_uint_eq(one->tensors[0].n_finite, 4 * cols);
    ck_assert_uint_eq(many->tensors[0].n_finite, 4 * cols);
    ck_assert_double_eq(many->tensors[0].max, 1);
    gqa_stats_free(one);
    gqa_stats_free(many);
    gqa_checkpoint_close(checkpoint);
    free(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *all = tcase_create("all");

    tcase_add_checked_fixture(all, scratch_create, scratch_remove);
    tcase_add_test(all, takes_norms_of_rows);
    tcase_add_test(all, takes_norms_of_transposed_rows);
    tcase_add_test(all, takes_norms_of_columns);
    tcase_add_test(all, takes_norms_of_interleaved_rows);
    tcase_add_test(all, counts_nan_and_infinity);
    tcase_add_test(all, streams_and_does_not_depend_on_threads);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
