#include "verify/digests.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/sha256.h"

/* Elements read at a time. */
enum { ROOM = 1 << 16 };

/* What a recipe says of one tensor. */
struct said {
    enum gqa_dtype dtype;
    unsigned char sha256[GQA_SHA256_BYTES];
    size_t n_before; /* steps up to that which wrote it */
};

static const struct gqa_param *param_of(const struct gqa_digest_pair *pair)
{
    return &pair->converted->model->params[pair->param];
}

/* --- What is recorded ----------------------------------------------------- */

static const json_t *find(const struct gqa_recorded *recorded,
                          const struct gqa_digest_pair *pair)
{
    const size_t partner = pair->pairing->partner[pair->param];
    const json_t *item =
        json_object_get(recorded->digests, param_of(pair)->name);

    return item || partner == GQA_NO_PARAM
               ? item
               : json_object_get(recorded->digests,
                                 pair->original->model->params[partner].name);
}

/* "F32 5a2b..."; text may be NULL. */
static bool parse(struct said *out, const char *text)
{
    const char *space = text ? strchr(text, ' ') : NULL;
    char dtype[8];

    if (!space || (size_t)(space - text) >= sizeof dtype)
        return false;
    memcpy(dtype, text, (size_t)(space - text));
    dtype[space - text] = '\0';
    return gqa_dtype_parse(dtype, &out->dtype) &&
           gqa_dtype_is_float(out->dtype) &&
           gqa_sha256_parse(out->sha256, space + 1);
}

/* By the last step that wrote it. False: no step has said. */
static bool look_up(struct said *out, struct gqa_finding *finding,
                    const struct gqa_digest_pair *pair)
{
    const struct gqa_recipe *r = pair->recipe;

    for (size_t i = r->n_recorded; i-- > 0;) {
        const json_t *item = find(&r->recorded[i], pair);

        if (!item &&
            gqa_recorded_is_trained(&r->recorded[i], param_of(pair)->name))
            return false;
        if (!item)
            continue;
        if (!parse(out, json_string_value(item))) {
            gqa_note(finding, "'%.300s': the recipe's digest of it is none",
                     param_of(pair)->name);
            return false;
        }
        out->n_before = r->recorded[i].n_before;
        return true;
    }
    return false;
}

static bool is_of(const struct gqa_slice *slice, size_t param)
{
    return slice->weight == param || slice->bias == param;
}

/* Whether a step makes keys and values, or queries and outputs, anew. */
static bool changes(const struct gqa_pool_step *step, bool is_kv)
{
    return step->is_transformed || step->heads ||
           (is_kv &&
            (step->pooled != step->source || step->written != step->source));
}

/* Whether a conversion behind that which wrote it has changed it, or has not
 * said what it did. */
static bool is_changed_since(const struct gqa_digest_pair *pair,
                             const struct said *said)
{
    const struct gqa_recipe *r = pair->recipe;
    const struct gqa_model *model = pair->converted->model;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const bool is_kv = is_of(&a->k, pair->param) ||
                           is_of(&a->v, pair->param) ||
                           (a->full_norms && a->k_norm == pair->param);

        if (!pair->follows && !is_kv && !is_of(&a->q, pair->param) &&
            !is_of(&a->o, pair->param))
            continue;
        for (size_t k = said->n_before; k < r->n_steps; k++)
            if (!r->fits[i] || changes(&r->steps[i * r->n_steps + k], is_kv))
                return true;
    }
    return false;
}

static bool holds(enum gqa_dtype dtype, enum gqa_dtype value)
{
    return dtype == value || dtype == GQA_F64 ||
           (dtype == GQA_F32 && (value == GQA_F16 || value == GQA_BF16));
}

/* Whether all types that it has had since hold what was written. */
static bool is_held(const struct gqa_digest_pair *pair, const struct said *said)
{
    const struct gqa_recipe *r = pair->recipe;

    for (size_t k = said->n_before; k < r->n_steps; k++)
        if (!r->keeps[k].keeps_dtype && !holds(r->keeps[k].dtype, said->dtype))
            return false;
    return holds(param_of(pair)->dtype, said->dtype);
}

/* --- What is there -------------------------------------------------------- */

struct reader {
    unsigned char raw[8 * ROOM], written[8 * ROOM], scratch[8 * ROOM];
    double values[ROOM], again[ROOM];
    struct gqa_sha256 *sha256;
};

/* n elements, as the type that was written. *same: all of them have it. */
static enum gqa_status take(struct reader *r, bool *same, enum gqa_dtype is,
                            enum gqa_dtype was, size_t n)
{
    if (is == was)
        return gqa_sha256_update(r->sha256, r->raw, n * gqa_dtype_bits(is) / 8);
    gqa_load_f64(r->values, r->raw, is, n);
    gqa_store_f64(r->written, was, r->values, n);
    gqa_load_f64(r->again, r->written, was, n);
    *same = memcmp(r->values, r->again, n * sizeof *r->values) == 0;
    return gqa_sha256_update(r->sha256, r->written,
                             n * gqa_dtype_bits(was) / 8);
}

/* Rows together, or a row in parts. */
static enum gqa_status read_all(struct reader *r, bool *same,
                                const struct gqa_digest_pair *pair,
                                enum gqa_dtype was)
{
    const struct gqa_param *p = param_of(pair);
    const uint64_t n_cols = gqa_min_u64(p->cols, ROOM);
    const uint64_t n_rows = n_cols > 0 ? ROOM / n_cols : 1;
    enum gqa_status st = GQA_OK;

    *same = true;
    for (uint64_t row = 0; row < p->rows && st == GQA_OK; row += n_rows)
        for (uint64_t col = 0; col < p->cols && st == GQA_OK && *same;
             col += n_cols) {
            const uint64_t rows = gqa_min_u64(n_rows, p->rows - row);
            const uint64_t cols = gqa_min_u64(n_cols, p->cols - col);

            if (gqa_interrupt_pending())
                return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            st = gqa_param_read(pair->converted->checkpoint, p, row, rows, col,
                                cols, r->raw, cols, r->scratch);
            if (st == GQA_OK)
                st = take(r, same, p->dtype, was, (size_t)(rows * cols));
        }
    return st;
}

static enum gqa_status compare(bool *same, const struct gqa_digest_pair *pair,
                               const struct said *said)
{
    unsigned char digest[GQA_SHA256_BYTES];
    struct reader *r = malloc(sizeof *r);
    enum gqa_status st;

    if (!r)
        return gqa_fail_nomem();
    st = gqa_sha256_create(&r->sha256);
    if (st == GQA_OK)
        st = read_all(r, same, pair, said->dtype);
    if (st == GQA_OK)
        st = gqa_sha256_finish(r->sha256, digest);
    if (st == GQA_OK)
        *same = *same && memcmp(digest, said->sha256, sizeof digest) == 0;
    gqa_sha256_free(r->sha256);
    free(r);
    return st;
}

enum gqa_status gqa_digest_check(struct gqa_digested *out,
                                 const struct gqa_digest_pair *pair)
{
    const struct gqa_param *p = param_of(pair);
    struct said said;
    bool same = false;
    enum gqa_status st;

    *out = (struct gqa_digested){.verdict = GQA_DIGEST_NONE};
    if (!look_up(&said, &out->finding, pair)) {
        if (out->finding.text[0])
            out->verdict = GQA_DIGEST_WRONG;
        return GQA_OK;
    }
    out->verdict = GQA_DIGEST_UNTOLD;
    if (is_changed_since(pair, &said) || !gqa_dtype_is_float(p->dtype) ||
        !is_held(pair, &said))
        return GQA_OK;
    st = compare(&same, pair, &said);
    if (st != GQA_OK || (!same && pair->may_have_one_more))
        return st;
    out->verdict = same ? GQA_DIGEST_RIGHT : GQA_DIGEST_WRONG;
    if (!same)
        gqa_note(&out->finding,
                 "'%.300s' was fitted or trained, and is not what was written "
                 "then: its values have another SHA-256 than the recipe "
                 "records",
                 p->name);
    return GQA_OK;
}
