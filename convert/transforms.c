#include "convert/transforms.h"

#include <stdlib.h>
#include <string.h>

#include "formats/transforms.h"

struct gqa_kept_transform {
    char name[GQA_TRANSFORM_NAME_MAX];
    uint64_t shape[3];
    const double *values; /* NULL: a tensor of the source */
    size_t tensor;
};

enum { N_PARTS = 4 };

/* Whether the source's tensor is a transform that its recipe tells of. */
static bool comes_along(const struct gqa_tensor *tensor, uint64_t n_before)
{
    const uint64_t step = gqa_transform_step(tensor->name);

    return step > 0 && step <= n_before;
}

static void take_source(struct gqa_kept_transforms *kept, uint64_t n_before)
{
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(kept->source); i++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(kept->source, i);

        if (!comes_along(t, n_before))
            continue;
        kept->items[kept->n].tensor = i;
        kept->tensors[kept->n++] = gqa_output_transform(t);
    }
}

bool gqa_transform_is_fitted(const struct gqa_transforms *t, char part)
{
    return (part == 'o' && t->fitted_o.data) ||
           (part == 'q' && t->fitted_q.data) ||
           (part == 'k' && t->fitted_k.data) ||
           (part == 'v' && t->fitted_v.data);
}

static void mark(bool *fitted, const struct gqa_slice *slice)
{
    fitted[slice->weight] = true;
    if (slice->bias != GQA_NO_PARAM)
        fitted[slice->bias] = true;
}

void gqa_transforms_mark_fitted(bool *fitted, const struct gqa_plan *plan)
{
    for (size_t i = 0; plan->alignment && i < plan->alignment->n; i++) {
        const struct gqa_transforms *t = &plan->alignment->attentions[i];
        const struct gqa_attention *a = plan->attentions[i].attention;

        if (gqa_transform_is_fitted(t, 'k'))
            mark(fitted, &a->k);
        if (gqa_transform_is_fitted(t, 'v'))
            mark(fitted, &a->v);
        if (gqa_transform_is_fitted(t, 'q'))
            mark(fitted, &a->q);
        /* o's bias is no head's: it stays. */
        if (gqa_transform_is_fitted(t, 'o'))
            fitted[a->o.weight] = true;
    }
}

/* Of one attention whose heads share. */
static enum gqa_status take_attention(struct gqa_kept_transforms *kept,
                                      const struct gqa_attention *a,
                                      const struct gqa_transforms *t,
                                      struct gqa_sha256 *sha256)
{
    static const char parts[N_PARTS] = {'k', 'v', 'q', 'o'};
    const double *const values[N_PARTS] = {t->k, t->v, t->q, t->o};
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < N_PARTS && st == GQA_OK; i++) {
        struct gqa_kept_transform *item = &kept->items[kept->n];
        uint64_t n_bytes;

        if (gqa_transform_is_fitted(t, parts[i]))
            continue;
        gqa_transform_name(item->name, kept->step, a, parts[i]);
        item->shape[0] = i < 2 ? t->pooled : a->n_heads;
        item->shape[1] = a->head_dim;
        item->shape[2] =
            i < 2 ? t->source / t->pooled * a->head_dim : a->head_dim;
        item->values = values[i];
        n_bytes =
            item->shape[0] * item->shape[1] * item->shape[2] * sizeof(double);
        st = gqa_sha256_update(sha256, item->values, (size_t)n_bytes);
        kept->tensors[kept->n++] =
            (struct gqa_output_tensor){.name = item->name,
                                       .dtype = GQA_F64,
                                       .rank = 3,
                                       .shape = item->shape,
                                       .n_bytes = n_bytes,
                                       .part = GQA_OUTPUT_TRANSFORM};
    }
    return st;
}

static enum gqa_status take_own(struct gqa_kept_transforms *kept,
                                const struct gqa_plan *plan, uint64_t step)
{
    const struct gqa_alignment *alignment = plan->alignment;
    unsigned char digest[GQA_SHA256_BYTES];
    struct gqa_sha256 *sha256 = NULL;
    enum gqa_status st = gqa_sha256_create(&sha256);

    for (size_t i = 0; i < alignment->n && st == GQA_OK; i++) {
        if (!alignment->attentions[i].k)
            continue;
        kept->step = step;
        st = take_attention(kept, plan->attentions[i].attention,
                            &alignment->attentions[i], sha256);
    }
    if (st == GQA_OK)
        st = gqa_sha256_finish(sha256, digest);
    gqa_sha256_free(sha256);
    if (st == GQA_OK)
        gqa_sha256_format(kept->digest, digest);
    return st;
}

enum gqa_status gqa_kept_transforms_create(struct gqa_kept_transforms **out,
                                           const struct gqa_plan *plan,
                                           struct gqa_checkpoint *source,
                                           uint64_t n_before)
{
    const size_t most = N_PARTS * plan->model->n_attentions +
                        gqa_checkpoint_n_tensors(source) + 1;
    struct gqa_kept_transforms *kept = calloc(1, sizeof *kept);
    enum gqa_status st = GQA_OK;

    if (!kept)
        return gqa_fail_nomem();
    kept->source = source;
    kept->tensors = calloc(most, sizeof *kept->tensors);
    kept->items = calloc(most, sizeof *kept->items);
    if (!kept->tensors || !kept->items)
        st = gqa_fail_nomem();
    if (st == GQA_OK)
        take_source(kept, n_before);
    if (st == GQA_OK && plan->alignment)
        st = take_own(kept, plan, n_before + 1);
    if (st != GQA_OK) {
        gqa_kept_transforms_free(kept);
        return st;
    }
    *out = kept;
    return GQA_OK;
}

void gqa_kept_transforms_free(struct gqa_kept_transforms *kept)
{
    if (!kept)
        return;
    free(kept->tensors);
    free(kept->items);
    free(kept);
}

enum gqa_status gqa_kept_transforms_read(const struct gqa_kept_transforms *kept,
                                         size_t i, uint64_t offset, size_t n,
                                         void *buf)
{
    const struct gqa_kept_transform *item = &kept->items[i];
    const struct gqa_span span = {offset, n, n, 1};

    if (!item->values)
        return gqa_checkpoint_read(kept->source, item->tensor, &span, buf);
    memcpy(buf, (const char *)item->values + offset, n);
    return GQA_OK;
}
