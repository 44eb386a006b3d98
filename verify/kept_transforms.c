#include "verify/kept_transforms.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/sha256.h"
#include "formats/transforms.h"

/* The step's number as its transforms have it; 0: they were not kept. */
static uint64_t step_number(const struct gqa_pool_step *step)
{
    uint64_t n = 0;

    return gqa_json_u64(json_object_get(step->transforms, "step"), &n) ? n : 0;
}

static size_t find(const struct gqa_checkpoint *checkpoint, const char *name)
{
    const size_t n = gqa_checkpoint_n_tensors(checkpoint);
    size_t i = 0;

    while (i < n &&
           strcmp(gqa_checkpoint_tensor(checkpoint, i)->name, name) != 0)
        i++;
    return i;
}

enum gqa_status gqa_transform_load(double **out,
                                   struct gqa_checkpoint *checkpoint,
                                   const struct gqa_pool_step *step,
                                   const struct gqa_attention *a, char part)
{
    const bool is_kv = part == 'k' || part == 'v';
    const uint64_t d = a->head_dim;
    const uint64_t shape[] = {is_kv ? step->pooled : a->n_heads, d,
                              is_kv ? step->source / step->pooled * d : d};
    char name[GQA_TRANSFORM_NAME_MAX];
    const struct gqa_tensor *tensor;
    struct gqa_span span;
    enum gqa_status st;
    size_t i;

    *out = NULL;
    i = find(checkpoint, gqa_transform_name(name, step_number(step), a, part));
    if (i == gqa_checkpoint_n_tensors(checkpoint))
        return GQA_OK;
    tensor = gqa_checkpoint_tensor(checkpoint, i);
    if (tensor->dtype != GQA_F64 || tensor->rank != 3 ||
        memcmp(tensor->shape, shape, sizeof shape) != 0)
        return GQA_OK;
    span = (struct gqa_span){0, tensor->n_bytes, tensor->n_bytes, 1};
    *out = malloc((size_t)tensor->n_bytes + 1);
    if (!*out)
        return gqa_fail_nomem();
    st = gqa_checkpoint_read(checkpoint, i, &span, *out);
    if (st != GQA_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

static enum gqa_status hash_part(struct gqa_sha256 *sha256,
                                 struct gqa_finding *finding,
                                 const struct gqa_subject *converted,
                                 const struct gqa_pool_step *step,
                                 const struct gqa_attention *a, char part)
{
    const bool is_kv = part == 'k' || part == 'v';
    const uint64_t n = (is_kv ? step->source : a->n_heads) * a->head_dim *
                       a->head_dim * sizeof(double);
    char name[GQA_TRANSFORM_NAME_MAX];
    double *values;
    enum gqa_status st =
        gqa_transform_load(&values, converted->checkpoint, step, a, part);

    if (st == GQA_OK && !values)
        gqa_note(finding,
                 "'%s' is missing, or of another shape: a transform that the "
                 "recipe tells of (of a folder, they lie in %s)",
                 gqa_transform_name(name, step_number(step), a, part),
                 GQA_TRANSFORMS_FILE);
    else if (st == GQA_OK)
        st = gqa_sha256_update(sha256, values, (size_t)n);
    free(values);
    return st;
}

static enum gqa_status check_step(struct gqa_finding *finding,
                                  const struct gqa_subject *converted,
                                  const struct gqa_recipe *recipe, size_t k)
{
    static const char parts[] = "kvqo";
    const struct gqa_model *m = converted->model;
    const struct gqa_pool_step *any = &recipe->steps[k];
    const char *said =
        json_string_value(json_object_get(any->transforms, "sha256"));
    unsigned char digest[GQA_SHA256_BYTES];
    char actual[GQA_SHA256_DIGITS + 1];
    struct gqa_sha256 *sha256 = NULL;
    enum gqa_status st = gqa_sha256_create(&sha256);

    for (size_t i = 0; i < m->n_attentions && st == GQA_OK; i++) {
        const struct gqa_pool_step *step =
            &recipe->steps[i * recipe->n_steps + k];

        for (const char *part = parts;
             *part && step->pooled < step->source && st == GQA_OK; part++)
            if (*part != 'o' || !step->o_fitted)
                st = hash_part(sha256, finding, converted, step,
                               &m->attentions[i], *part);
    }
    if (st == GQA_OK)
        st = gqa_sha256_finish(sha256, digest);
    gqa_sha256_free(sha256);
    if (st != GQA_OK)
        return st;
    gqa_sha256_format(actual, digest);
    if (!said || strcmp(said, actual) != 0)
        gqa_note(finding,
                 "the transforms of conversion %" PRIu64
                 " are not those that the recipe tells of",
                 step_number(any));
    return GQA_OK;
}

enum gqa_status gqa_transforms_check(struct gqa_finding *finding,
                                     const struct gqa_subject *converted,
                                     const struct gqa_recipe *recipe)
{
    bool all_fit = true;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < converted->model->n_attentions; i++)
        all_fit = all_fit && recipe->fits[i];
    for (size_t k = 0; k < recipe->n_steps && all_fit && st == GQA_OK; k++)
        if (recipe->steps[k].transforms)
            st = check_step(finding, converted, recipe, k);
    return st;
}
