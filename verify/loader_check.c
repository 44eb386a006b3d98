#include "verify/loader_check.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/families/kv_said.h"
#include "formats/model/sizes.h"

/* --- Sizes ---------------------------------------------------------------- */

static const json_t *config_of(const struct gqa_subject *s)
{
    return gqa_model_config_in(s->model, gqa_checkpoint_config(s->checkpoint));
}

static bool is_said_by(const struct gqa_subject *original, const char *key,
                       const json_t *said)
{
    const json_t *theirs =
        original ? gqa_config_at(config_of(original), key) : NULL;

    return original && (said ? json_equal(theirs, said) : !theirs);
}

static void check_size(json_t *list, const struct gqa_subject *subject,
                       const struct gqa_subject *original,
                       const struct gqa_size *size)
{
    const json_t *config = config_of(subject);
    const char *key = gqa_config_key(config, size->keys);
    const json_t *said = key ? json_object_get(config, key) : NULL;
    const bool is_none = !said || json_is_null(said);
    uint64_t taken = 0;
    char clause[GQA_CLAUSE_MAX];

    if (!key || !size->fact || json_is_integer(said) ||
        is_said_by(original, key, said))
        return;
    if (!said)
        taken = gqa_family_default(subject->model->family,
                                   subject->model->config, key);
    if (is_none && !taken)
        taken = size->otherwise;
    if (taken == size->fact || (!said && !taken))
        return;
    if (taken)
        snprintf(clause, sizeof clause,
                 "%.100s: %s here, so that loaders take %llu, but the tensors "
                 "have %llu",
                 key, said ? "null" : "absent", ULL(taken), ULL(size->fact));
    else
        snprintf(clause, sizeof clause,
                 "%.100s: %s here, which loaders do not take; the tensors have "
                 "%llu",
                 key, is_none ? "null" : "not a whole number", ULL(size->fact));
    json_array_append_new(
        list, json_pack("{s:s, s:O?, s:I, s:s}", "key", key, "converted", said,
                        "tensors", (json_int_t)size->fact, "clause", clause));
}

/* --- Keys that classes cannot do without ---------------------------------- */

static void add(json_t *list, const char *key, const json_t *said,
                const char *clause)
{
    json_array_append_new(list, json_pack("{s:s, s:O*, s:s}", "key", key,
                                          "converted", said, "clause", clause));
}

/* Of keys of these nothing, or no null, is taken. */
static void check_needed(json_t *list, const struct gqa_subject *subject,
                         const struct gqa_subject *original, gqa_texts keys,
                         bool is_needed)
{
    const json_t *config = config_of(subject);
    char clause[GQA_CLAUSE_MAX];

    for (; keys && *keys; keys++) {
        const json_t *said = gqa_config_at(config, *keys);

        if ((said ? !json_is_null(said) : !is_needed) ||
            is_said_by(original, *keys, said))
            continue;
        snprintf(clause, sizeof clause,
                 "%.100s: %s here, and loaders have nothing in its place",
                 *keys, said ? "null" : "absent");
        add(list, *keys, said, clause);
    }
}

/* Where words say as many KV heads as there are query heads, what classes read
 * besides has to say as many, or nothing; in a file that is no folder, what the
 * tensors have will do, which words may be unable to say. */
static void check_also(json_t *list, const struct gqa_subject *subject,
                       const struct gqa_subject *original)
{
    const struct gqa_model *m = subject->model;
    const char *key = m->family->keys.n_kv_heads_also;
    const json_t *said = key ? json_object_get(config_of(subject), key) : NULL;
    const uint64_t n_heads = m->attentions[0].n_heads;
    char clause[GQA_CLAUSE_MAX], text[41];
    uint64_t n;

    if (!said || json_is_null(said) ||
        strcmp(gqa_kv_said_key(m->family, m->config), key) == 0 ||
        gqa_kv_said_count(m->family, m->config, n_heads) != n_heads ||
        (gqa_json_u64(said, &n) &&
         (n == n_heads || (n == m->attentions[0].n_kv_heads &&
                           !gqa_checkpoint_is_folder(subject->checkpoint)))) ||
        is_said_by(original, key, said))
        return;
    gqa_value_text(text, sizeof text, said);
    snprintf(clause, sizeof clause,
             "%.100s: %s here, and %.100s makes loaders take %llu KV heads",
             key, text, gqa_kv_said_key(m->family, m->config), ULL(n_heads));
    add(list, key, said, clause);
}

/* An original of another world says nothing in these words. */
static void check_padding(json_t *list, const struct gqa_subject *subject,
                          const struct gqa_subject *original)
{
    const json_t *config = config_of(subject);
    const bool alike =
        original && json_object_get(config_of(original), "model_type");
    uint64_t token, rows;
    char clause[GQA_CLAUSE_MAX];
    const char *key;

    if (!gqa_model_pads_beyond(&token, &rows, config, subject->model))
        return;
    key = gqa_config_key(config, subject->model->family->keys.pad_token);
    if (alike && is_said_by(original, key, NULL))
        return;
    snprintf(clause, sizeof clause,
             "%.100s: absent here, so that loaders take %llu, and the "
             "vocabulary has %llu rows",
             key, ULL(token), ULL(rows));
    add(list, key, NULL, clause);
}

/* --- What is read in two ways --------------------------------------------- */

/* What it says, or the original's, of which a reading is; "absent". */
static void value_at(char out[41], const json_t *value)
{
    snprintf(out, 41, "absent");
    if (value)
        gqa_value_text(out, 41, value);
}

static void add_reading(json_t *list, const char *key, const json_t *before,
                        const json_t *after)
{
    char clause[GQA_CLAUSE_MAX], was[41], is[41];

    value_at(was, before);
    value_at(is, after);
    snprintf(clause, sizeof clause,
             "%.100s: %s in the original, %s here, which is not read in one "
             "way",
             key, was, is);
    json_array_append_new(list, json_pack("{s:s, s:O*, s:O*, s:s}", "key", key,
                                          "original", before, "converted",
                                          after, "clause", clause));
}

/* A value that versions read differently, or a class does not know, in place
 * of one of which that is not so; which it is, is told beside. */
static void check_reading(json_t *list, const struct gqa_subject *subject,
                          const struct gqa_subject *original,
                          const struct gqa_refusal *r)
{
    const json_t *theirs = config_of(original);
    const json_t *ours = config_of(subject);

    if (gqa_refusal_misses(r, ours) && !gqa_refusal_misses(r, theirs))
        add_reading(list, r->keys[0], gqa_config_at(theirs, r->keys[0]), NULL);
    for (gqa_texts key = r->keys; *key; key++) {
        const json_t *before = gqa_config_at(theirs, *key);
        const json_t *after = gqa_config_at(ours, *key);

        if (before && after && !json_equal(before, after) &&
            !gqa_refusal_holds(r, before) && gqa_refusal_holds(r, after))
            add_reading(list, *key, before, after);
    }
}

/* --- All ------------------------------------------------------------------ */

enum gqa_status gqa_loader_check(json_t **list,
                                 const struct gqa_subject *subject,
                                 const struct gqa_subject *original)
{
    const struct gqa_family *family = subject->model->family;
    struct gqa_size sizes[GQA_N_SIZES];

    gqa_model_sizes(sizes, subject->model, subject->inventory);
    *list = json_array();
    for (size_t i = 0; i < GQA_N_SIZES; i++)
        check_size(*list, subject, original, &sizes[i]);
    check_needed(*list, subject, original, family->keys.needed, true);
    check_needed(*list, subject, original, family->keys.not_null, false);
    check_also(*list, subject, original);
    check_padding(*list, subject, original);
    for (size_t i = 0; original && i < family->n_readings; i++)
        check_reading(*list, subject, original, &family->readings[i]);
    return *list ? gqa_json_check() : gqa_fail_nomem();
}
