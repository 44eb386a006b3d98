#include "inspect/json_similarity.h"

#include "inspect/exact.h"
#include "inspect/json_values.h"

static json_t *make_matrix(const double *matrix, size_t n)
{
    json_t *rows = matrix ? json_array() : json_null();

    for (size_t i = 0; matrix && i < n; i++) {
        json_t *row = json_array();

        for (size_t j = 0; j < n; j++)
            json_array_append_new(row, gqa_json_make_real(matrix[i * n + j]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *make_part(const struct gqa_compared_heads *c, int part)
{
    json_t *object = json_object();

    json_object_set_new(object, "cosine", make_matrix(c->cosine[part], c->n));
    json_object_set_new(object, "cka", make_matrix(c->cka[part], c->n));
    json_object_set_new(object, "kept", make_matrix(c->kept[part], c->n));
    return object;
}

static void set_losses(json_t *object, const struct gqa_sharing_choice *choice)
{
    json_object_set_new(object, "n_kv_heads",
                        gqa_json_make_count(choice->pooled));
    json_object_set_new(object, "keys_lost",
                        gqa_json_make_real(choice->lost[0]));
    json_object_set_new(object, "values_lost",
                        gqa_json_make_real(choice->lost[1]));
    json_object_set_new(object, "lost", gqa_json_make_real(choice->predicted));
}

static json_t *make_groups(const struct gqa_sharing_choice *choice, size_t n)
{
    json_t *groups = json_array();
    const size_t m = n / (size_t)choice->pooled;

    for (size_t i = 0; i < n; i += m) {
        json_t *group = json_array();

        for (size_t j = 0; j < m; j++)
            json_array_append_new(group,
                                  gqa_json_make_count(choice->heads[i + j]));
        json_array_append_new(groups, group);
    }
    return groups;
}

static json_t *make_shared(const struct gqa_similar_heads *heads)
{
    json_t *object;

    if (heads->n_choices == 0)
        return json_null();
    object = json_object();
    set_losses(object, &heads->choices[heads->shown]);
    json_object_set_new(
        object, "groups",
        make_groups(&heads->choices[heads->shown], heads->alike.n));
    return object;
}

json_t *gqa_json_similarity(const struct gqa_inspection *in)
{
    json_t *object = json_object();
    json_t *list = json_array();

    for (size_t i = 0; i < in->similarity->n; i++) {
        const struct gqa_similar_heads *heads = &in->similarity->attentions[i];
        json_t *row = gqa_json_make_attention_key(&in->model->attentions[i]);

        json_object_set_new(row, "n_kv_heads",
                            gqa_json_make_count(heads->alike.n));
        json_object_set_new(row, "keys", make_part(&heads->alike, 0));
        json_object_set_new(row, "values", make_part(&heads->alike, 1));
        json_object_set_new(row, "kept_is_exact",
                            json_boolean(heads->alike.exact));
        json_object_set_new(row, "may_change_places",
                            json_boolean(heads->alike.is_free));
        json_object_set_new(row, "influence",
                            in->similarity->n_tokens
                                ? gqa_json_make_real(heads->weight)
                                : json_null());
        json_object_set_new(row, "scores",
                            heads->scores > 0
                                ? gqa_json_make_real(heads->scores)
                                : json_null());
        json_object_set_new(row, "shared", make_shared(heads));
        json_array_append_new(list, row);
    }
    json_object_set_new(
        object, "from",
        json_string(in->similarity->n_tokens ? "tokens" : "weights"));
    json_object_set_new(object, "n_tokens",
                        gqa_json_make_count(in->similarity->n_tokens));
    json_object_set_new(object, "not_aligned",
                        gqa_json_make_text(in->similarity->unaligned));
    json_object_set_new(object, "attentions", list);
    return object;
}

/* --- The plan ------------------------------------------------------------- */

static json_t *make_point(const struct gqa_trade_point *point)
{
    json_t *object = json_object();

    json_object_set_new(object, "bytes_per_token",
                        gqa_json_make_count(point->bytes));
    json_object_set_new(object, "lost", gqa_json_make_real(point->lost));
    return object;
}

static json_t *make_uniform(const struct gqa_trade_off *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->n_uniform; i++) {
        json_t *row = make_point(&t->uniform[i].at);

        json_object_set_new(row, "n_kv_heads",
                            t->uniform[i].pooled
                                ? gqa_json_make_count(t->uniform[i].pooled)
                                : json_null());
        json_object_set_new(row, "best_lost",
                            gqa_json_make_real(t->uniform[i].best));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *make_curve(const struct gqa_trade_off *t)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->n_curve; i++)
        json_array_append_new(list, make_point(&t->curve[i]));
    return list;
}

static json_t *make_choices(const struct gqa_inspection *in)
{
    const struct gqa_trade_off *t = in->trade_off;
    json_t *list = json_array();

    for (size_t i = 0; i < t->n; i++) {
        const struct gqa_similar_heads *heads =
            &in->similarity->attentions[t->attentions[i]];
        json_t *row = gqa_json_make_attention_key(
            &in->model->attentions[t->attentions[i]]);
        json_t *choices = json_array();

        for (size_t j = 0; j < heads->n_choices; j++) {
            json_t *choice = json_object();

            set_losses(choice, &heads->choices[j]);
            json_array_append_new(choices, choice);
        }
        json_object_set_new(
            row, "chosen",
            gqa_json_make_count(
                gqa_trade_off_pick(t, in->similarity, i)->pooled));
        json_object_set_new(row, "choices", choices);
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *make_exact(const struct gqa_inspection *in)
{
    struct gqa_exact exact[GQA_N_EXACT];
    const size_t n = gqa_exact_find(exact, in->model, in->similarity);
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *row = json_object();

        json_object_set_new(row, "keep",
                            json_string(gqa_exact_word(exact[i].kind)));
        json_object_set_new(row, "n_attentions",
                            gqa_json_make_count(exact[i].n_attentions));
        json_object_set_new(row, "bytes_per_token",
                            gqa_json_make_count(exact[i].bytes));
        json_object_set_new(row, "stored_bytes_per_token",
                            gqa_json_make_count(exact[i].stored));
        json_object_set_new(row, "work", gqa_json_make_real(exact[i].work));
        json_array_append_new(list, row);
    }
    return list;
}

json_t *gqa_json_plan(const struct gqa_inspection *in)
{
    const struct gqa_trade_off *t = in->trade_off;
    json_t *object = json_object();
    json_t *chosen = make_point(&t->chosen);

    json_object_set_new(chosen, "budget", gqa_json_make_real(t->budget));
    json_object_set_new(object, "stored_bytes_per_token",
                        gqa_json_make_count(t->stored));
    json_object_set_new(object, "uniform", make_uniform(t));
    json_object_set_new(object, "curve", make_curve(t));
    json_object_set_new(object, "chosen", chosen);
    json_object_set_new(object, "attentions", make_choices(in));
    json_object_set_new(object, "exact", make_exact(in));
    return object;
}
