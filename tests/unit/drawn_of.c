#include "drawn_of.h"

#include <check.h>

int32_t drawn_of(const double *logits, uint64_t vocab_size,
                 const struct gqa_draw *draw, uint64_t s, uint64_t seen)
{
    static struct gqa_device *device; /* until the program ends */
    const struct gqa_device_options options = {.real = GQA_F64, .n_threads = 1};
    const struct gqa_backend *backend = gqa_cpu_backend();
    struct gqa_draw_op op = draw->op;
    const uint64_t one = 1;
    int32_t token = 0;

    op.vocab_size = vocab_size;
    if (!device)
        ck_assert_int_eq(backend->open(&device, &options), GQA_OK);
    ck_assert_int_eq(
        backend->set_batch(device, &(struct gqa_batch){.n_sequences = 1,
                                                       .n_new = 1,
                                                       .tokens = &token,
                                                       .n_tokens = &one,
                                                       .starts = &seen}),
        GQA_OK);
    ck_assert_int_eq(
        backend->draw(device, &token, logits, draw->keys + s, 0, 1, &op),
        GQA_OK);
    return token;
}
