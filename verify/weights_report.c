#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "formats/families/family.h"
#include "formats/families/remote_code.h"
#include "formats/model/attentions.h"
#include "verify/comparison.h"

static enum gqa_status add(struct gqa_report *report, const char *name,
                           const struct gqa_finding *finding,
                           const struct gqa_finding *remark, const char *figure,
                           json_t *values, double seconds)
{
    struct gqa_check check = {.group = GQA_CHECK_WEIGHTS,
                              .name = name,
                              .values = values,
                              .seconds = seconds};

    check.verdict = finding->text[0] ? GQA_FAILED : GQA_PASSED;
    snprintf(check.figure, sizeof check.figure, "%s", figure);
    snprintf(check.detail, sizeof check.detail, "%s",
             finding->text[0] ? finding->text : remark->text);
    return gqa_report_add(report, &check);
}

static void say_recipe(char *figure, size_t size, const struct gqa_recipe *r)
{
    const char *trained = r->n_trainings > 0 ? ", then trained" : "";

    if (r->n_steps > 1)
        snprintf(figure, size, "%zu conversions, the last %s%s", r->n_steps,
                 r->method ? r->method : "unknown", trained);
    else if (r->n_steps == 0)
        snprintf(figure, size, "%s",
                 r->n_trainings > 0 ? "that of the original, then trained"
                                    : "that of the original");
    else
        snprintf(figure, size, "%s%s", r->method ? r->method : "", trained);
}

/* What was fitted or trained, as far as the recipe has digests of it. */
static void tell_digests(struct gqa_finding *finding,
                         struct gqa_finding *remark,
                         const struct gqa_comparison *c)
{
    size_t n[GQA_DIGEST_UNTOLD + 1] = {0};

    for (size_t i = 0; i < c->converted->model->n_params; i++) {
        n[c->digested[i].verdict]++;
        if (c->digested[i].finding.text[0])
            gqa_note(finding, "%s", c->digested[i].finding.text);
    }
    if (n[GQA_DIGEST_RIGHT] > 0)
        gqa_note_more(remark,
                      "%zu tensors that were fitted or trained are what was "
                      "written, by their SHA-256",
                      n[GQA_DIGEST_RIGHT]);
    if (n[GQA_DIGEST_UNTOLD] > 0)
        gqa_note_more(remark,
                      "of %zu tensors that were fitted or trained it cannot be "
                      "told whether they are what was written: they were "
                      "changed since, or have a type that does not hold it",
                      n[GQA_DIGEST_UNTOLD]);
}

static enum gqa_status add_recipe(struct gqa_report *report,
                                  struct gqa_comparison *c)
{
    struct gqa_check check = {
        .group = GQA_CHECK_WEIGHTS, .name = "recipe", .verdict = GQA_SKIPPED};
    char figure[96];

    if (c->converted->recipe) {
        say_recipe(figure, sizeof figure, &c->recipe);
        tell_digests(&c->recipe.finding, &c->recipe.remark, c);
        return add(report, "recipe", &c->recipe.finding, &c->recipe.remark,
                   figure, NULL, 0);
    }
    snprintf(check.detail, sizeof check.detail,
             "none is recorded; each way to group is tried");
    return gqa_report_add(report, &check);
}

static enum gqa_status add_parameters(struct gqa_report *report,
                                      const struct gqa_comparison *c)
{
    const struct gqa_pairing *p = &c->pairing;
    char figure[64];

    snprintf(figure, sizeof figure, "%zu, those of the original",
             c->converted->model->n_params);
    return add(report, "parameters", &p->finding, &p->remark,
               p->finding.text[0] ? "" : figure, NULL, 0);
}

/* --- Unchanged ones ------------------------------------------------------- */

struct unchanged {
    size_t n, n_bad;
    bool rounded;
    struct gqa_finding first;
};

static void count_unchanged(struct unchanged *u, const struct gqa_comparison *c)
{
    const struct gqa_model *b = c->converted->model;

    memset(u, 0, sizeof *u);
    for (size_t i = 0; i < b->n_params; i++) {
        const size_t partner = c->pairing.partner[i];

        if (c->is_kv[i] || c->is_turned[i] || c->is_trained[i] ||
            partner == GQA_NO_PARAM)
            continue;
        u->n++;
        u->rounded |=
            b->params[i].dtype != c->original->model->params[partner].dtype;
        if (c->params[i].text[0] && u->n_bad++ == 0)
            u->first = c->params[i];
    }
    for (size_t i = 0; i < b->n_attentions; i++) {
        if (b->attentions[i].q.weight != b->attentions[i].k.weight ||
            (c->converted->recipe && c->recipe.aligned[i]) ||
            gqa_comparison_is_trained(c, i))
            continue;
        u->n++;
        if (c->heads[i].unchanged.text[0] && u->n_bad++ == 0)
            u->first = c->heads[i].unchanged;
    }
}

static enum gqa_status add_unchanged(struct gqa_report *report,
                                     struct gqa_comparison *c)
{
    struct gqa_finding remark = {{0}};
    struct unchanged u;
    char figure[128];

    count_unchanged(&u, c);
    if (atomic_load(&c->zero_signs))
        gqa_note(&remark, "zeros have another sign than in the original");
    if (atomic_load(&c->near_one))
        gqa_note_more(&remark,
                      "norms are rounded to what float32 has near 1, since a "
                      "GGUF file has one more of them");
    if (2 * u.n_bad > u.n)
        gqa_note_more(&u.first, "most tensors differ: if the model was trained "
                                "since, --trained says by how much");
    snprintf(figure, sizeof figure, "%zu of %zu tensors %s", u.n - u.n_bad, u.n,
             u.rounded || atomic_load(&c->near_one) ? "equal, rounded once"
                                                    : "equal, bit by bit");
    return add(report, "unchanged", &u.first, &remark, figure,
               json_pack("{s:I, s:I}", "n_tensors", (json_int_t)u.n, "n_wrong",
                         (json_int_t)u.n_bad),
               c->seconds);
}

/* --- Keys and values ------------------------------------------------------ */

/* Ways that differ in rounding alone are one. */
static enum gqa_pooling kind_of(const struct gqa_hypothesis *h)
{
    return h->pooling == GQA_POOL_FLOAT32 || h->pooling == GQA_POOL_WITHIN
               ? GQA_POOL_MEAN
               : h->pooling;
}

static void say_differ(struct gqa_finding *finding,
                       const struct gqa_comparison *c, size_t i, size_t k,
                       const char *what)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    const struct gqa_attention *x = &b->attentions[i], *y = &b->attentions[k];
    char one[128], other[128], label[128];

    snprintf(label, sizeof label, "%s",
             gqa_attention_label(x->stack, x->kind, x->layer));
    gqa_hypothesis_text(one, sizeof one, &c->heads[i].hypothesis,
                        &a->attentions[i], x);
    gqa_hypothesis_text(other, sizeof other, &c->heads[k].hypothesis,
                        &a->attentions[k], y);
    gqa_note(finding,
             "%s is %s (%" PRIu64 "), while layer %" PRIu64 " is %s (%" PRIu64
             "), and no %s says that they differ",
             label, one, gqa_hypothesis_groups(&c->heads[i].hypothesis),
             y->layer, other, gqa_hypothesis_groups(&c->heads[k].hypothesis),
             what);
}

/* Whether the configuration has a number for each layer of a's kind. */
static bool says_each_layer(const struct gqa_model *m,
                            const struct gqa_attention *a)
{
    const char *key = gqa_config_key(m->config, m->family->keys.n_kv_heads);
    const json_t *heads = json_object_get(m->config, GQA_REMOTE_CODE_HEADS);
    const char *kind = gqa_remote_code_kind(a->stack, a->kind);

    return (key && json_is_array(json_object_get(m->config, key))) ||
           json_is_array(json_object_get(heads, kind));
}

/*
 * Without a recipe: attentions of one kind that were made in different ways
 * are wrong, unless the configuration has a number for each layer. Where the
 * shapes are the same, as of expanded ones, it has nothing to say, and
 * different numbers of groups may have been meant.
 */
static void compare_ways(struct gqa_comparison *c, struct gqa_finding *remark)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;

    for (size_t i = 0; i < b->n_attentions; i++) {
        const struct gqa_attention *x = &b->attentions[i];

        for (size_t k = 0; k < i && !says_each_layer(b, x); k++) {
            const struct gqa_attention *y = &b->attentions[k];
            const struct gqa_hypothesis *g = &c->heads[i].hypothesis;
            const struct gqa_hypothesis *h = &c->heads[k].hypothesis;
            const bool grouped = g->pooled < a->attentions[i].n_kv_heads &&
                                 h->pooled < a->attentions[k].n_kv_heads;

            if (x->stack != y->stack || x->kind != y->kind ||
                c->heads[i].is_wrong || c->heads[k].is_wrong ||
                (g->pooled == h->pooled && kind_of(g) == kind_of(h)))
                continue;
            if (x->n_kv_heads == y->n_kv_heads &&
                (!grouped || kind_of(g) == kind_of(h)))
                say_differ(remark, c, i, k, "recipe");
            else if (!c->heads[i].grouped.text[0]) {
                say_differ(&c->heads[i].grouped, c, i, k, "configuration");
                c->heads[i].is_explained = true;
            }
            break;
        }
    }
}

static void remark_on(struct gqa_finding *remark,
                      const struct gqa_comparison *c)
{
    static const char *const orders[] = {
        [GQA_SUM_ASCENDING] = "head after head",
        [GQA_SUM_DESCENDING] = "from the last head on",
        [GQA_SUM_NEIGHBOURS] = "in pairs of neighbours",
        [GQA_SUM_HALVES] = "in halves",
        [GQA_SUM_LANES] = "in four lanes",
        [GQA_SUM_PAIRS] = "even and odd heads apart",
    };
    size_t n_float32 = 0, n_widened = 0;
    const char *order = NULL;
    bool zero_signs = false;

    for (size_t i = 0; i < c->converted->model->n_attentions; i++) {
        bool in_float32 = false, widened = false;

        for (size_t k = 0; k < GQA_MAX_PAIRS; k++) {
            const struct gqa_hypothesis *h = &c->heads[i].of_pair[k];

            in_float32 |=
                h->pooling == GQA_POOL_FLOAT32 || h->pooling == GQA_POOL_WITHIN;
            widened |= h->is_widened;
            if (h->pooling == GQA_POOL_FLOAT32 && !order)
                order = orders[h->order];
        }
        n_float32 += in_float32;
        n_widened += widened;
        zero_signs |= c->heads[i].zero_signs;
    }
    if (n_float32 > 0)
        gqa_note_more(remark,
                      "means of %zu attentions were added up in float32, %s, "
                      "not in float64 as here",
                      n_float32, order ? order : "in an order that is unknown");
    if (n_widened > 0)
        gqa_note_more(remark,
                      "means of %zu attentions were rounded to the type of the "
                      "original and then widened",
                      n_widened);
    if (zero_signs)
        gqa_note_more(remark, "zeros have another sign than their mean");
}

/* Whether the original was made of the converted checkpoint. */
static enum gqa_status are_reversed(bool *reversed,
                                    const struct gqa_comparison *c)
{
    struct gqa_heads_check check = {.original = c->converted,
                                    .converted = c->original};
    struct gqa_recompute *recompute = NULL;
    enum gqa_status st = GQA_OK;

    *reversed = true;
    if (gqa_recompute_create(&recompute) != GQA_OK)
        return gqa_fail_nomem();
    for (size_t i = 0;
         i < c->original->model->n_attentions && st == GQA_OK && *reversed;
         i++) {
        check.attention = i;
        check.is_wrong = false;
        st = gqa_heads_check(&check, recompute);
        *reversed = st == GQA_OK && !check.is_wrong;
    }
    gqa_recompute_free(recompute);
    return st;
}

struct grouped {
    size_t n, n_bad, n_ungrouped, shown;
    size_t n_aligned, n_replayed, n_trained;
    size_t n_fitted[GQA_N_PROJECTIONS]; /* of those that were */
    bool explained;                     /* the first that is wrong */
    struct gqa_finding first;
};

static void count_grouped(struct grouped *g, const struct gqa_comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;

    memset(g, 0, sizeof *g);
    g->shown = GQA_NO_PARAM;
    for (size_t i = 0; i < b->n_attentions; i++) {
        const struct gqa_heads_check *check = &c->heads[i];

        if (c->converted->recipe && !c->recipe.fits[i]) {
            g->n_bad++;
            continue;
        }
        if (gqa_comparison_is_trained(c, i)) {
            g->n_trained++;
            continue;
        }
        if (c->converted->recipe && c->recipe.aligned[i]) {
            g->n_aligned++;
            g->n_replayed += c->replayed[i].everything;
            for (int part = 0; part < GQA_N_PROJECTIONS; part++)
                g->n_fitted[part] +=
                    c->replayed[i].everything && c->replayed[i].is_fitted[part];
            if (c->replayed[i].finding.text[0] && g->n_bad++ == 0) {
                g->first = c->replayed[i].finding;
                g->explained = true;
            }
            continue;
        }
        g->n++;
        if (gqa_hypothesis_groups(&check->hypothesis) ==
            a->attentions[i].n_kv_heads)
            g->n_ungrouped++;
        else if (g->shown == GQA_NO_PARAM)
            g->shown = i;
        if (check->grouped.text[0] && g->n_bad++ == 0) {
            g->first = check->grouped;
            g->explained = check->is_explained;
        }
    }
}

static void say_grouped(char *figure, size_t size, const struct grouped *g,
                        const struct gqa_comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    struct gqa_finding text = {{0}};
    char way[128];

    if (g->shown == GQA_NO_PARAM) {
        snprintf(figure, size,
                 g->n_bad > 0 ? "%zu of %zu attentions right, none grouped"
                              : "%zu attentions, none grouped",
                 b->n_attentions - g->n_bad, b->n_attentions);
        return;
    }
    gqa_hypothesis_text(way, sizeof way, &c->heads[g->shown].hypothesis,
                        &a->attentions[g->shown], &b->attentions[g->shown]);
    gqa_note(&text,
             "%zu of %zu attentions%s %" PRIu64 " -> %" PRIu64 " KV heads, %s",
             g->n_bad > 0 ? b->n_attentions - g->n_bad : g->n - g->n_ungrouped,
             b->n_attentions, g->n_bad > 0 ? " right," : "",
             a->attentions[g->shown].n_kv_heads,
             gqa_hypothesis_groups(&c->heads[g->shown].hypothesis), way);
    snprintf(figure, size, "%.*s", (int)size - 1, text.text);
}

static enum gqa_status suspect(struct grouped *g,
                               const struct gqa_comparison *c)
{
    const size_t n = c->converted->model->n_attentions;
    bool reversed = false;
    enum gqa_status st = GQA_OK;

    if (g->n > 0 && 2 * g->n_bad > n && !g->explained)
        st = are_reversed(&reversed, c);
    if (st != GQA_OK)
        return st;
    if (reversed)
        gqa_note_more(&g->first,
                      "the original is a grouping of the converted one: the "
                      "two were given the wrong way round");
    else if (2 * g->n_bad > n && !g->explained && g->n > 0)
        gqa_note_more(&g->first,
                      "most attentions differ: if the model was trained since, "
                      "--trained says by how much");
    if (g->n + g->n_aligned + g->n_trained < n)
        gqa_note(&g->first, "where the recipe does not fit, nothing can be "
                            "recomputed");
    return GQA_OK;
}

static bool has_fits(const struct grouped *g)
{
    for (int part = 0; part < GQA_N_PROJECTIONS; part++)
        if (g->n_fitted[part] > 0)
            return true;
    return false;
}

/* "q of 4, o of 6" */
static void remark_on_fits(struct gqa_finding *remark, const struct grouped *g)
{
    static const char names[] = "kvqo";
    char text[128] = "";
    size_t used = 0;

    for (int part = 0; part < GQA_N_PROJECTIONS; part++)
        if (g->n_fitted[part] > 0)
            used += (size_t)snprintf(text + used, sizeof text - used,
                                     "%s%c of %zu", used > 0 ? ", " : "",
                                     names[part], g->n_fitted[part]);
    if (used > 0)
        gqa_note_more(remark,
                      "fitted, and so not made again: %s aligned attentions; "
                      "fidelity says what that is worth",
                      text);
}

static enum gqa_status add_grouped(struct gqa_report *report,
                                   struct gqa_comparison *c)
{
    const size_t n = c->converted->model->n_attentions;
    struct gqa_finding remark = {{0}};
    struct grouped g;
    char figure[128];
    enum gqa_status st;

    if (!c->converted->recipe)
        compare_ways(c, &remark);
    count_grouped(&g, c);
    if ((st = suspect(&g, c)) != GQA_OK)
        return st;
    remark_on(&remark, c);
    if (g.n_replayed < g.n_aligned)
        gqa_note_more(
            &remark,
            "q, k, v and o of %zu aligned attentions are not computed "
            "again, for want of transforms: fidelity says what they "
            "are worth",
            g.n_aligned - g.n_replayed);
    remark_on_fits(&remark, &g);
    if (g.n_trained > 0)
        gqa_note_more(&remark,
                      "%zu of %zu attentions were trained, and are not made "
                      "again: fidelity says what they are worth",
                      g.n_trained, n);
    if (g.n_aligned > 0 && g.n_bad == 0 && g.n_replayed == g.n_aligned)
        snprintf(figure, sizeof figure,
                 "%zu of %zu attentions aligned, made again bit by bit%s",
                 g.n_aligned, n,
                 has_fits(&g) ? " but for what was fitted" : "");
    else if (g.n_aligned > 0 && g.n_bad == 0)
        snprintf(figure, sizeof figure, "%zu of %zu attentions aligned",
                 g.n_aligned, n);
    else if (g.n_aligned > 0 && g.n_bad > 0)
        snprintf(figure, sizeof figure, "%zu of %zu attentions right",
                 n - g.n_bad, n);
    else if (g.n_trained > 0 && g.n_bad == 0 && g.shown == GQA_NO_PARAM)
        snprintf(figure, sizeof figure, "%zu of %zu attentions trained since",
                 g.n_trained, n);
    else
        say_grouped(figure, sizeof figure, &g, c);
    return add(report, "grouped", &g.first, &remark, figure,
               json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "n_attentions",
                         (json_int_t)n, "n_grouped",
                         (json_int_t)(g.n + g.n_aligned - g.n_ungrouped),
                         "n_right",
                         (json_int_t)(n - g.n_bad - g.n_trained -
                                      (g.n_aligned - g.n_replayed)),
                         "n_wrong", (json_int_t)g.n_bad, "n_aligned",
                         (json_int_t)g.n_aligned, "n_replayed",
                         (json_int_t)g.n_replayed, "n_trained",
                         (json_int_t)g.n_trained),
               0);
}

/* --- Weights that were trained -------------------------------------------- */

struct moved {
    size_t n, n_equal;
    double squares, reference, most, max;
    char name[GQA_MAX_NAME + 1]; /* of the one that moved most */
    json_t *list;
};

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void add_moved(struct moved *m, const char *name,
                      const struct gqa_measure *measure)
{
    const double relative = gqa_measure_relative(measure);

    m->n++;
    m->n_equal += measure->n_equal == measure->n_all;
    m->squares += measure->squares;
    m->reference += measure->reference;
    if (measure->max > m->max || isnan(measure->max))
        m->max = measure->max;
    if (relative > m->most || isnan(relative)) {
        m->most = relative;
        snprintf(m->name, sizeof m->name, "%s", name);
    }
    json_array_append_new(
        m->list, json_pack("{s:s, s:b, s:I, s:I, s:o, s:o}", "name", name,
                           "equal", (int)(measure->n_equal == measure->n_all),
                           "n_elements", (json_int_t)measure->n_all, "n_differ",
                           (json_int_t)(measure->n_all - measure->n_equal),
                           "relative_l2", number(relative), "max",
                           number(measure->max)));
}

static enum gqa_status add_report_of(struct gqa_report *report,
                                     const char *name, struct moved *m,
                                     const char *what, double seconds)
{
    const struct gqa_measure all = {.squares = m->squares,
                                    .reference = m->reference};
    const double relative = gqa_measure_relative(&all);
    struct gqa_check check = {.group = GQA_CHECK_WEIGHTS,
                              .name = name,
                              .verdict = GQA_REPORTED,
                              .seconds = seconds};

    if (!m->list)
        return gqa_fail_nomem();
    snprintf(check.figure, sizeof check.figure,
             "%zu of %zu %s equal, the others off by %.3g (relative L2 of all)",
             m->n_equal, m->n, what, relative);
    if (m->n_equal == m->n)
        snprintf(check.figure, sizeof check.figure, "all %zu %s equal", m->n,
                 what);
    else
        snprintf(check.detail, sizeof check.detail,
                 "most: '%.300s', by %.3g; the largest difference of an "
                 "element is %.3g",
                 m->name, m->most, m->max);
    check.values =
        json_pack("{s:I, s:I, s:o, s:o, s:o}", "n_tensors", (json_int_t)m->n,
                  "n_equal", (json_int_t)m->n_equal, "relative_l2",
                  number(relative), "max", number(m->max), "tensors", m->list);
    if (!check.values)
        return gqa_fail_nomem();
    return gqa_report_add(report, &check);
}

static enum gqa_status add_trained(struct gqa_report *report,
                                   const struct gqa_comparison *c)
{
    const struct gqa_model *b = c->converted->model;
    struct moved m = {.list = json_array()};
    enum gqa_status st;

    for (size_t i = 0; i < b->n_params; i++)
        if (!c->is_kv[i] && c->pairing.partner[i] != GQA_NO_PARAM)
            add_moved(&m, b->params[i].name, &c->measures[i]);
    st = add_report_of(report, "unchanged", &m, "tensors", c->seconds);
    m = (struct moved){.list = json_array()};
    for (size_t i = 0; i < b->n_attentions; i++) {
        const struct gqa_attention *a = &b->attentions[i];

        if (!c->converted->recipe ||
            (c->recipe.fits[i] && !c->recipe.aligned[i]))
            add_moved(&m, gqa_attention_label(a->stack, a->kind, a->layer),
                      &c->moved[i]);
    }
    if (st != GQA_OK) {
        json_decref(m.list);
        return st;
    }
    return add_report_of(report, "grouped", &m, "attentions' keys and values",
                         0);
}

enum gqa_status gqa_comparison_report(struct gqa_report *report,
                                      struct gqa_comparison *c)
{
    enum gqa_status st = add_recipe(report, c);

    if (st == GQA_OK)
        st = add_parameters(report, c);
    if (st == GQA_OK && c->options.trained)
        return add_trained(report, c);
    if (st == GQA_OK)
        st = add_unchanged(report, c);
    return st == GQA_OK ? add_grouped(report, c) : st;
}
