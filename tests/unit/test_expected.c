/*
 * Every fixture of tests/data, converted in memory, equals what an
 * independent recomputation in float64 found (tests/data/expected.py).
 */
#include <check.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "convert/produce.h"
#include "suite.h"

/* Odd on purpose, so that blocks end within rows; elements of 8 bytes fit. */
enum { BLOCK = 104 };

static const char *data_folder(void)
{
    const char *folder = getenv("GQA_TEST_DATA");

    return folder ? folder : "tests/data";
}

static json_t *load_expected(void)
{
    char path[4096];
    json_t *root = NULL;

    snprintf(path, sizeof path, "%s/expected.json", data_folder());
    ck_assert_msg(gqa_json_load_file(&root, path, (size_t)64 << 20) == GQA_OK,
                  "%s", gqa_error_message());
    return root;
}

/* SHA-256 of an output tensor, produced block by block. */
static void digest(char hex[65], struct gqa_producer *producer, size_t index,
                   uint64_t n_bytes)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    for (uint64_t at = 0; at < n_bytes; at += BLOCK) {
        char block[BLOCK];
        const size_t n = n_bytes - at < BLOCK ? (size_t)(n_bytes - at) : BLOCK;

        ck_assert_msg(gqa_produce(producer, 0, index, at, n, block) == GQA_OK,
                      "%s", gqa_error_message());
        EVP_DigestUpdate(ctx, block, n);
    }
    EVP_DigestFinal_ex(ctx, raw, &length);
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
}

static const json_t *find_tensor(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0)
            return item;
    }
    return NULL;
}

static void check_tensor(const struct gqa_plan *plan,
                         struct gqa_producer *producer, size_t index,
                         const json_t *want, const char *what)
{
    const struct gqa_plan_tensor *t = &plan->tensors[index];
    const json_t *shape = json_object_get(want, "shape");
    char hex[65];

    ck_assert_msg(want != NULL, "%s: unexpected %s", what, t->param->name);
    ck_assert_str_eq(gqa_dtype_name(t->dtype),
                     json_string_value(json_object_get(want, "dtype")));
    ck_assert_msg(json_array_size(shape) == t->rank, "%s: rank of %s", what,
                  t->param->name);
    for (unsigned d = 0; d < t->rank; d++)
        ck_assert_msg((uint64_t)json_integer_value(json_array_get(shape, d)) ==
                          t->shape[d],
                      "%s: shape of %s", what, t->param->name);
    digest(hex, producer, index, t->n_bytes);
    ck_assert_msg(
        strcmp(hex, json_string_value(json_object_get(want, "sha256"))) == 0,
        "%s: content of %s", what, t->param->name);
}

static void check_case(const json_t *fixture, const json_t *one,
                       struct gqa_checkpoint *checkpoint,
                       const struct gqa_model *model)
{
    const json_t *copied = json_object_get(fixture, "copied");
    const json_t *pooled = json_object_get(one, "pooled");
    const struct gqa_plan_options options = {
        .asked = (uint64_t)json_integer_value(json_object_get(one, "groups")),
        .attentions = GQA_SELECT_DECODER,
        .keep_dtype = true,
    };
    struct gqa_producer *producer = NULL;
    struct gqa_plan *plan = NULL;
    char what[256];

    snprintf(what, sizeof what, "%s, %llu groups",
             json_string_value(json_object_get(fixture, "fixture")),
             (unsigned long long)options.asked);
    ck_assert_msg(gqa_plan_create(&plan, model, &options) == GQA_OK, "%s: %s",
                  what, gqa_error_message());
    ck_assert_int_eq(gqa_producer_create(&producer, plan, checkpoint, 1),
                     GQA_OK);
    ck_assert_msg(model->n_params ==
                      json_array_size(copied) + json_array_size(pooled),
                  "%s: %zu parameters, not %zu", what, model->n_params,
                  json_array_size(copied) + json_array_size(pooled));
    for (size_t i = 0; i < model->n_params; i++) {
        const json_t *want = find_tensor(pooled, model->params[i].name);

        if (!want)
            want = find_tensor(copied, model->params[i].name);
        check_tensor(plan, producer, i, want, what);
    }
    gqa_producer_free(producer);
    gqa_plan_free(plan);
}

static void check_fixture(const json_t *fixture)
{
    const struct gqa_checkpoint_options options = {0};
    const json_t *cases = json_object_get(fixture, "cases");
    const char *name = json_string_value(json_object_get(fixture, "fixture"));
    struct gqa_checkpoint *checkpoint = NULL;
    struct gqa_model *model = NULL;
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", data_folder(), name);
    ck_assert_msg(gqa_checkpoint_open(&checkpoint, path, &options) == GQA_OK,
                  "%s", gqa_error_message());
    ck_assert_msg(gqa_model_create(&model, checkpoint, NULL) == GQA_OK,
                  "%s: %s", name, gqa_error_message());
    ck_assert(json_array_size(cases) > 0);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(fixture, json_array_get(cases, i), checkpoint, model);
    gqa_model_free(model);
    gqa_checkpoint_close(checkpoint);
}

START_TEST(equals_the_recomputation)
{
    json_t *all = load_expected();

    ck_assert(json_array_size(all) > 0);
    for (size_t i = 0; i < json_array_size(all); i++)
        check_fixture(json_array_get(all, i));
    json_decref(all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("expected");
    TCase *tc = tcase_create("fixtures");

    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, equals_the_recomputation);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
