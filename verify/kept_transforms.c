#include "verify/kept_transforms.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/sha256.h"
#include "formats/formats.h"
#include "formats/transforms.h"

static const char parts[] = "kvqo";

/* The transforms of all steps, as they are looked for. */
struct search {
    struct gqa_finding *finding;
    const struct gqa_subject *converted;
    const struct gqa_recipe *recipe;
    bool *told; /* [n_tensors]: the recipe tells of it */
};

/* Index of a tensor; as many as there are: there is none of that name. */
static size_t find(const struct gqa_checkpoint *checkpoint, const char *name)
{
    const size_t n = gqa_checkpoint_n_tensors(checkpoint);
    size_t i = 0;

    while (i < n &&
           strcmp(gqa_checkpoint_tensor(checkpoint, i)->name, name) != 0)
        i++;
    return i;
}

/* Whether a tensor is what the transform of a part has to be. */
static bool fits(const struct gqa_tensor *t, const struct gqa_pool_step *step,
                 const struct gqa_attention *a, char part)
{
    const bool is_kv = part == 'k' || part == 'v';
    const uint64_t d = a->head_dim;
    const uint64_t shape[] = {is_kv ? step->pooled : a->n_heads, d,
                              is_kv ? step->source / step->pooled * d : d};

    return t->dtype == GQA_F64 && t->rank == 3 &&
           memcmp(t->shape, shape, sizeof shape) == 0;
}

enum gqa_status gqa_transform_load(double **out,
                                   struct gqa_checkpoint *checkpoint,
                                   const struct gqa_pool_step *step,
                                   const struct gqa_attention *a, char part)
{
    char name[GQA_TRANSFORM_NAME_MAX];
    const struct gqa_tensor *tensor;
    struct gqa_span span;
    enum gqa_status st;
    size_t i;

    *out = NULL;
    if (!step->transforms)
        return GQA_OK;
    i = find(checkpoint, gqa_transform_name(name, step->number, a, part));
    if (i == gqa_checkpoint_n_tensors(checkpoint))
        return GQA_OK;
    tensor = gqa_checkpoint_tensor(checkpoint, i);
    if (!fits(tensor, step, a, part))
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

static enum gqa_status hash_part(const struct search *s,
                                 struct gqa_sha256 *sha256,
                                 const struct gqa_pool_step *step,
                                 const struct gqa_attention *a, char part)
{
    struct gqa_checkpoint *checkpoint = s->converted->checkpoint;
    const struct gqa_tensor *tensor;
    char name[GQA_TRANSFORM_NAME_MAX];
    double *values;
    enum gqa_status st;
    size_t i;

    i = find(checkpoint, gqa_transform_name(name, step->number, a, part));
    if (i == gqa_checkpoint_n_tensors(checkpoint)) {
        gqa_note(s->finding,
                 "'%s' is missing, a transform that the recipe tells of (in a "
                 "folder, they lie in %s)",
                 name, GQA_TRANSFORMS_FILE);
        return GQA_OK;
    }
    s->told[i] = true;
    tensor = gqa_checkpoint_tensor(checkpoint, i);
    if (!fits(tensor, step, a, part)) {
        gqa_note(s->finding,
                 "'%s' has another shape or type than the transform that the "
                 "recipe tells of",
                 name);
        return GQA_OK;
    }
    st = gqa_transform_load(&values, checkpoint, step, a, part);
    if (st == GQA_OK)
        st = gqa_sha256_update(sha256, values, (size_t)tensor->n_bytes);
    free(values);
    return st;
}

static enum gqa_status hash_step(const struct search *s,
                                 char digest[GQA_SHA256_DIGITS + 1], size_t k)
{
    const struct gqa_model *m = s->converted->model;
    unsigned char bytes[GQA_SHA256_BYTES];
    struct gqa_sha256 *sha256 = NULL;
    enum gqa_status st = gqa_sha256_create(&sha256);

    for (size_t i = 0; i < m->n_attentions && st == GQA_OK; i++) {
        const struct gqa_pool_step *step =
            &s->recipe->steps[i * s->recipe->n_steps + k];

        for (const char *part = parts;
             *part && step->is_transformed && st == GQA_OK; part++)
            if (!strchr(step->fitted, *part))
                st = hash_part(s, sha256, step, &m->attentions[i], *part);
    }
    if (st == GQA_OK)
        st = gqa_sha256_finish(sha256, bytes);
    gqa_sha256_free(sha256);
    if (st == GQA_OK)
        gqa_sha256_format(digest, bytes);
    return st;
}

static enum gqa_status check_step(const struct search *s, size_t k)
{
    const struct gqa_pool_step *any = &s->recipe->steps[k];
    const char *said =
        json_string_value(json_object_get(any->transforms, "sha256"));
    char actual[GQA_SHA256_DIGITS + 1] = "";
    uint64_t number = 0;
    enum gqa_status st = hash_step(s, actual, k);

    if (st != GQA_OK)
        return st;
    if (!gqa_json_u64(json_object_get(any->transforms, "step"), &number) ||
        number != any->number)
        gqa_note(s->finding,
                 "it numbers the transforms of conversion %" PRIu64
                 " otherwise than their names do",
                 any->number);
    if (!said || strcmp(said, actual) != 0)
        gqa_note(s->finding,
                 "the transforms of conversion %" PRIu64
                 " are not those that the recipe tells of",
                 any->number);
    return GQA_OK;
}

/* Those of conversions before the original are its own affair. */
static void check_others(const struct search *s)
{
    const struct gqa_checkpoint *c = s->converted->checkpoint;

    for (size_t i = 0; i < gqa_checkpoint_n_tensors(c); i++) {
        const char *name = gqa_checkpoint_tensor(c, i)->name;
        const uint64_t step = gqa_transform_step(name);

        if (!gqa_is_transform(name) || s->told[i] ||
            (step > 0 && step <= s->recipe->n_before))
            continue;
        gqa_note(s->finding,
                 "'%.300s' is there, a transform of which the recipe does not "
                 "tell",
                 name);
    }
}

enum gqa_status gqa_transforms_check(struct gqa_finding *finding,
                                     const struct gqa_subject *converted,
                                     const struct gqa_recipe *recipe)
{
    struct search s = {
        .finding = finding, .converted = converted, .recipe = recipe};
    enum gqa_status st = GQA_OK;

    /* It has them nowhere. */
    if (gqa_checkpoint_source(converted->checkpoint, 0)
            ->format->has_weights_alone)
        return GQA_OK;
    for (size_t i = 0; i < converted->model->n_attentions; i++)
        if (!recipe->fits[i])
            return GQA_OK;
    s.told = calloc(gqa_checkpoint_n_tensors(converted->checkpoint) + 1,
                    sizeof *s.told);
    if (!s.told)
        return gqa_fail_nomem();
    for (size_t k = 0; k < recipe->n_steps && st == GQA_OK; k++)
        if (recipe->steps[k].transforms)
            st = check_step(&s, k);
    if (st == GQA_OK && recipe->is_whole)
        check_others(&s);
    free(s.told);
    return st;
}
