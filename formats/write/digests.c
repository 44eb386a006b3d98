#include "formats/write/digests.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "common/sha256.h"
#include "common/workers.h"

struct digests {
    const struct gqa_output_tensor *tensors;
    const bool *wanted;
    size_t n;
    gqa_produce_fn produce;
    void *produce_ctx;
    unsigned char (*values)[GQA_SHA256_BYTES]; /* [n] */
    atomic_size_t next;
};

static enum gqa_status digest(struct digests *d, unsigned worker, size_t i,
                              void *block)
{
    const uint64_t all = d->tensors[i].n_bytes;
    struct gqa_sha256 *sha256 = NULL;
    enum gqa_status st = gqa_sha256_create(&sha256);

    for (uint64_t at = 0; at < all && st == GQA_OK; at += GQA_BLOCK_BYTES) {
        const size_t n = (size_t)gqa_min_u64(GQA_BLOCK_BYTES, all - at);

        st = gqa_interrupt_pending()
                 ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
                 : d->produce(d->produce_ctx, worker, i, at, n, block);
        if (st == GQA_OK)
            st = gqa_sha256_update(sha256, block, n);
    }
    if (st == GQA_OK)
        st = gqa_sha256_finish(sha256, d->values[i]);
    gqa_sha256_free(sha256);
    return st;
}

static enum gqa_status work(void *ctx, unsigned worker)
{
    struct digests *d = ctx;
    void *block = malloc(GQA_BLOCK_BYTES);
    enum gqa_status st = block ? GQA_OK : gqa_fail_nomem();

    while (st == GQA_OK) {
        const size_t i = atomic_fetch_add(&d->next, 1);

        if (i >= d->n)
            break;
        if (d->wanted[i])
            st = digest(d, worker, i, block);
    }
    if (st != GQA_OK) /* the others need not go on */
        atomic_store(&d->next, d->n);
    free(block);
    return st;
}

static json_t *describe(const struct digests *d)
{
    json_t *out = json_object();

    for (size_t i = 0; i < d->n; i++) {
        char hex[GQA_SHA256_DIGITS + 1];

        if (!d->wanted[i])
            continue;
        gqa_sha256_format(hex, d->values[i]);
        json_object_set_new(
            out, d->tensors[i].name,
            json_sprintf("%s %s", gqa_dtype_name(d->tensors[i].dtype), hex));
    }
    return out;
}

enum gqa_status gqa_output_digests(json_t **out,
                                   const struct gqa_output_tensor *tensors,
                                   const bool *wanted, size_t n,
                                   gqa_produce_fn produce, void *produce_ctx,
                                   unsigned n_threads)
{
    struct digests d = {.tensors = tensors,
                        .wanted = wanted,
                        .n = n,
                        .produce = produce,
                        .produce_ctx = produce_ctx};
    bool any = false;
    enum gqa_status st;

    *out = NULL;
    for (size_t i = 0; i < n; i++)
        any = any || wanted[i];
    if (!any)
        return GQA_OK;
    d.values = calloc(n, sizeof *d.values);
    st = d.values ? gqa_workers_run(n_threads, work, &d) : gqa_fail_nomem();
    if (st == GQA_OK)
        *out = describe(&d);
    free(d.values);
    return st;
}
