#include "verify/mistakes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/model/attentions.h"

static const struct gqa_attention *original_attention(
    const struct gqa_heads_check *check, size_t i)
{
    return &check->original->model->attentions[i];
}

static enum gqa_status try_one(struct gqa_recompute *r, bool *fits,
                               const struct gqa_head_pair *pair,
                               const struct gqa_hypothesis *h, uint64_t head,
                               uint64_t group)
{
    struct gqa_difference d;
    const enum gqa_status st = gqa_recompute_head(r, &d, pair, h, head, group);

    *fits = st == GQA_OK && !d.found;
    return st;
}

/* --- Heads of the same tensor --------------------------------------------- */

/* The group that a head was made of, if another: *other is set. */
static enum gqa_status find_group(struct gqa_recompute *r, bool *found,
                                  uint64_t *other,
                                  const struct gqa_head_pair *pair,
                                  const struct gqa_hypothesis *h, uint64_t head)
{
    const uint64_t n = gqa_hypothesis_groups(h);
    enum gqa_status st = GQA_OK;

    *found = false;
    for (uint64_t g = 0; g < n && st == GQA_OK && !*found; g++) {
        if (g == gqa_head_group(pair, h, head))
            continue;
        st = try_one(r, found, pair, h, head, g);
        *other = g;
    }
    return st;
}

/* Expanded heads that stand as 0 1 2 0 1 2 rather than 0 0 1 1 2 2. */
static enum gqa_status are_tiled(struct gqa_recompute *r, bool *tiled,
                                 const struct gqa_head_pair *pair,
                                 const struct gqa_hypothesis *h)
{
    const uint64_t n = gqa_hypothesis_groups(h);
    enum gqa_status st = GQA_OK;

    *tiled = n > 1 && n < pair->to_slice->n_heads;
    for (uint64_t k = 0; k < pair->to_slice->n_heads && st == GQA_OK && *tiled;
         k++)
        st = try_one(r, tiled, pair, h, k, k % n);
    return st;
}

static enum gqa_status find_swapped(bool *found,
                                    const struct gqa_heads_check *check,
                                    struct gqa_recompute *r,
                                    struct gqa_finding *cause)
{
    const struct gqa_head_pair *pair = &check->pair;
    const struct gqa_hypothesis *h = &check->hypothesis;
    uint64_t other = 0;
    bool tiled = false;
    enum gqa_status st =
        find_group(r, found, &other, pair, h, check->first.head);

    if (st == GQA_OK && *found)
        st = are_tiled(r, &tiled, pair, h);
    if (st != GQA_OK || !*found)
        return st;
    if (tiled)
        gqa_note(cause, "the KV heads stand one after another, all of them "
                        "again and again; each must be repeated in its place");
    else
        gqa_note(cause,
                 "it is what KV head %" PRIu64 " must be: KV heads are swapped",
                 other * (pair->to_slice->n_heads / gqa_hypothesis_groups(h)));
    return st;
}

/* --- Other ways to group -------------------------------------------------- */

/* A hypothesis, right or a named mistake, that does explain the head. */
static enum gqa_status find_way(bool *found,
                                const struct gqa_heads_check *check,
                                struct gqa_recompute *r,
                                struct gqa_finding *cause)
{
    const struct gqa_head_pair *pair = &check->pair;
    const uint64_t n_source = pair->from_slice->n_heads;
    const uint64_t pooled_to = gqa_hypothesis_groups(&check->hypothesis);
    const bool pooled = pooled_to < n_source;
    const bool divides = pair->to_slice->n_heads % n_source == 0;
    const struct {
        struct gqa_hypothesis h;
        bool possible;
    } candidates[] = {
        {{.pooling = GQA_POOL_MEAN, .pooled = n_source}, divides},
        {{.pooling = GQA_POOL_MEAN, .pooled = pooled_to}, pooled},
        {{.pooling = GQA_POOL_FIRST, .pooled = pooled_to}, pooled},
        {{.pooling = GQA_POOL_STRIDED, .pooled = pooled_to}, pooled},
        {{.pooling = GQA_POOL_NARROW, .pooled = pooled_to, .step = GQA_BF16},
         pooled},
        {{.pooling = GQA_POOL_NARROW, .pooled = pooled_to, .step = GQA_F16},
         pooled},
        {{.pooling = GQA_POOL_NARROW, .pooled = pooled_to, .step = GQA_F32},
         pooled},
        {{.pooling = GQA_POOL_PERMUTED, .pooled = pooled_to}, true},
        {{.pooling = GQA_POOL_UNPERMUTED, .pooled = pooled_to}, true},
    };
    enum gqa_status st = GQA_OK;

    *found = false;
    if (n_source % pooled_to != 0)
        return GQA_OK;
    for (size_t i = 0;
         i < sizeof candidates / sizeof *candidates && !*found && st == GQA_OK;
         i++) {
        const struct gqa_hypothesis *h = &candidates[i].h;
        char text[128];

        if (!candidates[i].possible)
            continue;
        st = try_one(r, found, pair, h, check->first.head,
                     gqa_head_group(pair, h, check->first.head));
        if (st == GQA_OK && *found)
            gqa_note(
                cause, "it fits: %s",
                gqa_hypothesis_text(
                    text, sizeof text, h,
                    original_attention(check, check->attention),
                    &check->converted->model->attentions[check->attention]));
    }
    return st;
}

/* --- Other tensors -------------------------------------------------------- */

/* The same of `from`, keys or values of another attention. */
static bool make_other(struct gqa_head_pair *out,
                       const struct gqa_heads_check *check,
                       const struct gqa_attention *from, bool is_value)
{
    const struct gqa_attention *a = original_attention(check, check->attention);
    const struct gqa_model *model = check->original->model;
    const struct gqa_slice *slice = is_value ? &from->v : &from->k;
    const size_t param = check->pair.is_bias ? slice->bias : slice->weight;

    *out = check->pair;
    if (param == GQA_NO_PARAM || from->head_dim != a->head_dim ||
        from->n_kv_heads != a->n_kv_heads || from->layout != a->layout)
        return false;
    out->from = &model->params[param];
    out->from_slice = slice;
    out->is_value = is_value;
    return out->from->rank == check->pair.from->rank &&
           out->from->rows == check->pair.from->rows &&
           out->from->cols == check->pair.from->cols;
}

static enum gqa_status all_fit(struct gqa_recompute *r, bool *fit,
                               const struct gqa_head_pair *pair,
                               const struct gqa_hypothesis *h)
{
    enum gqa_status st = GQA_OK;

    *fit = true;
    for (uint64_t k = 0; k < pair->to_slice->n_heads && *fit && st == GQA_OK;
         k++)
        st = try_one(r, fit, pair, h, k, gqa_head_group(pair, h, k));
    return st;
}

static void name_other(struct gqa_finding *cause,
                       const struct gqa_heads_check *check, size_t other,
                       bool is_value)
{
    const struct gqa_attention *a = original_attention(check, check->attention);
    const struct gqa_attention *b = original_attention(check, other);
    const char *what = "layers are swapped";

    if (other == check->attention) {
        gqa_note(cause,
                 "it is what the %s must be: keys and values are "
                 "swapped",
                 is_value ? "values" : "keys");
        return;
    }
    if (a->stack != b->stack)
        what = "encoder and decoder are swapped";
    else if (a->kind != b->kind)
        what = "self- and cross-attention are swapped";
    gqa_note(cause, "it is what the %s of %s must be: %s",
             is_value ? "values" : "keys",
             gqa_attention_label(b->stack, b->kind, b->layer), what);
}

static enum gqa_status find_other(bool *found,
                                  const struct gqa_heads_check *check,
                                  struct gqa_recompute *r,
                                  struct gqa_finding *cause)
{
    const size_t n = check->original->model->n_attentions;

    *found = false;
    /* Beginning with its own, whose keys may be its values. */
    for (size_t k = 0; k < 2 * n; k++) {
        const size_t i = (check->attention + k / 2) % n;
        const bool is_value = (k % 2 == 0) == check->pair.is_value;
        struct gqa_head_pair pair;
        enum gqa_status st;

        if ((i == check->attention && is_value == check->pair.is_value) ||
            !make_other(&pair, check, original_attention(check, i), is_value))
            continue;
        st = all_fit(r, found, &pair, &check->hypothesis);
        if (st != GQA_OK || *found) {
            if (st == GQA_OK)
                name_other(cause, check, i, is_value);
            return st;
        }
    }
    return GQA_OK;
}

/* --- All ------------------------------------------------------------------ */

static enum gqa_status count_wrong(const struct gqa_heads_check *check,
                                   struct gqa_recompute *r,
                                   struct gqa_finding *cause)
{
    struct gqa_measure m = {.n_all = 0};
    const enum gqa_status st =
        gqa_heads_measure(&m, r, &check->pair, &check->hypothesis);

    if (st == GQA_OK)
        gqa_note(cause, "%" PRIu64 " of %" PRIu64 " elements differ",
                 m.n_all - m.n_equal, m.n_all);
    return st;
}

enum gqa_status gqa_mistakes_explain(struct gqa_heads_check *check,
                                     struct gqa_recompute *recompute)
{
    const struct gqa_hypothesis *h = &check->hypothesis;
    struct gqa_finding cause = {{0}};
    bool found = false;
    enum gqa_status st = GQA_OK;

    if (original_attention(check, check->attention)->q.weight ==
            original_attention(check, check->attention)->k.weight &&
        h->n_then == 0) {
        st = gqa_mistakes_of_order(&found, &cause, check);
        if (st == GQA_OK && found && check->unchanged.text[0])
            gqa_note_more(&check->unchanged, "%s", cause.text);
    }
    if (st != GQA_OK || !check->is_wrong)
        return st;
    if (!found)
        st = find_swapped(&found, check, recompute, &cause);
    if (st == GQA_OK && !found)
        st = find_way(&found, check, recompute, &cause);
    if (st == GQA_OK && !found)
        st = find_other(&found, check, recompute, &cause);
    if (st == GQA_OK && !found && h->n_then == 0)
        st = gqa_mistakes_of_pooling(&found, &cause, &check->pair, h->pooled);
    check->is_explained = found;
    if (st == GQA_OK && !found)
        st = count_wrong(check, recompute, &cause);
    if (st == GQA_OK)
        gqa_note_more(&check->grouped, "%s", cause.text);
    return st;
}
