#include "verify/loader_check.h"

#include <stdio.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/families/family.h"

struct size {
    gqa_texts keys;
    uint64_t fact;      /* by the tensors; 0: not known */
    uint64_t otherwise; /* what it is where it is null or not there; 0: that
                           follows from no other size */
};

/* What loaders take for a key that is not there; 0: not known. */
static uint64_t default_of(const struct gqa_model *m, const char *key)
{
    const json_t *json = json_object_get(m->family->keys.defaults, key);
    const struct gqa_setting setting = {json, GQA_VALUE_ANY};
    const json_t *value = NULL;
    uint64_t n = 0;

    return json &&
                   gqa_setting_get(&value, NULL, &setting, m->config) ==
                       GQA_OK &&
                   gqa_json_u64(value, &n)
               ? n
               : 0;
}

static const json_t *config_of(const struct gqa_subject *s)
{
    return gqa_model_config_in(s->model, gqa_checkpoint_config(s->checkpoint));
}

static bool is_said_by(const struct gqa_subject *original, const char *key,
                       const json_t *said)
{
    const json_t *theirs =
        original ? json_object_get(config_of(original), key) : NULL;

    return original && (said ? json_equal(theirs, said) : !theirs);
}

static void check_size(json_t *list, const struct gqa_subject *subject,
                       const struct gqa_subject *original,
                       const struct size *size)
{
    const json_t *config = config_of(subject);
    const char *key = gqa_config_key(config, size->keys);
    const json_t *said = key ? json_object_get(config, key) : NULL;
    const bool is_none = !said || json_is_null(said);
    uint64_t taken = is_none ? size->otherwise : 0;
    char clause[GQA_CLAUSE_MAX];

    if (!key || !size->fact || json_is_integer(said) ||
        is_said_by(original, key, said))
        return;
    if (!said && !taken)
        taken = default_of(subject->model, key);
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

enum gqa_status gqa_loader_check(json_t **list,
                                 const struct gqa_subject *subject,
                                 const struct gqa_subject *original)
{
    const struct gqa_model *m = subject->model;
    const struct gqa_inventory *inventory = subject->inventory;
    const struct gqa_config_keys *k = &m->family->keys;
    const bool two_stacks = gqa_model_is_encoder_decoder(m);
    const enum gqa_stack first = m->attentions[0].stack;
    const uint64_t d_ff = k->d_ff_per_d_model * m->d_model;
    const struct size sizes[] = {
        {k->d_model, m->d_model, 0},
        {k->d_ff, inventory->d_ff[first], d_ff},
        {k->decoder_d_ff, inventory->d_ff[GQA_STACK_DECODER], d_ff},
        {k->n_layers, m->n_layers, 0},
        {k->n_decoder_layers, two_stacks ? m->n_decoder_layers : 0,
         m->n_layers},
        {k->n_heads, m->attentions[0].n_heads, 0},
        {k->n_decoder_heads, m->attentions[m->n_attentions - 1].n_heads, 0},
        {k->vocab_size, inventory->vocab_size, 0},
        {k->max_positions, inventory->n_positions, 0},
    };

    *list = json_array();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_size(*list, subject, original, &sizes[i]);
    return *list ? gqa_json_check() : gqa_fail_nomem();
}
