#include "verify/loader_check.h"

#include <stdio.h>

#include "common/json.h"
#include "common/ull.h"
#include "formats/model/sizes.h"

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

enum gqa_status gqa_loader_check(json_t **list,
                                 const struct gqa_subject *subject,
                                 const struct gqa_subject *original)
{
    struct gqa_size sizes[GQA_N_SIZES];

    gqa_model_sizes(sizes, subject->model, subject->inventory);
    *list = json_array();
    for (size_t i = 0; i < GQA_N_SIZES; i++)
        check_size(*list, subject, original, &sizes[i]);
    return *list ? gqa_json_check() : gqa_fail_nomem();
}
