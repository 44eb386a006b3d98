/* How much of the residual stream attentions make, of a model that can be
 * worked out by hand (tiny_model.h). */
#include <check.h>
#include <stdlib.h>

#include "align/influence.h"
#include "faulty_backend.h"
#include "scratch.h"
#include "suite.h"
#include "tiny_model.h"

/* Cross-attention of layer 0 adds 8 at one place to a stream that is 2 at two
 * others; nothing else adds anything. One sequence is padded. */
START_TEST(worked_out_by_hand)
{
    int32_t inputs[] = {2, 1}, decoder[] = {0, 3, 1}, next[] = {3, 1, 2};
    struct gqa_sequence sequences[] = {{.encoder = inputs,
                                        .n_encoder = 1,
                                        .decoder = decoder,
                                        .next = next,
                                        .n_decoder = 3},
                                       {.encoder = inputs + 1,
                                        .n_encoder = 1,
                                        .decoder = decoder,
                                        .next = next,
                                        .n_decoder = 1}};
    const struct gqa_tokens tokens = {sequences, 2};
    const struct gqa_backend *backend = faulty_backend();
    const struct gqa_device_options options = {.real = GQA_F64, .n_threads = 1};
    struct gqa_network *network = NULL;
    struct gqa_device *device = NULL;
    struct tiny_model tiny;
    double influence[3 * TINY_LAYERS];
    struct gqa_influence_job job = {.tokens = &tokens};

    scratch_create();
    tiny_model_open(&tiny, TINY_VOCAB, TINY_HEADS);
    ck_assert_int_eq(gqa_network_create(&network, tiny.model), GQA_OK);
    ck_assert_int_eq(backend->open(&device, &options), GQA_OK);
    job.network = network;
    job.backend = backend;
    job.device = device;
    job.weights = &tiny.source;
    ck_assert_int_eq(gqa_influence_measure(influence, &job), GQA_OK);
    for (size_t i = 0; i < tiny.model->n_attentions; i++) {
        const struct gqa_attention *a = &tiny.model->attentions[i];
        const bool tells = a->kind == GQA_ATTENTION_CROSS && a->layer == 0;

        ck_assert_msg(tells == (influence[i] > 0), "attention %zu: %g", i,
                      influence[i]);
        if (tells)
            ck_assert_double_eq_tol(influence[i], 64.0 / 72, 1e-9);
    }
    backend->close(device);
    gqa_network_free(network);
    tiny_model_close(&tiny);
    scratch_remove();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("influence");
    TCase *all = tcase_create("all");

    tcase_add_test(all, worked_out_by_hand);
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
