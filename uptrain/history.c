#include "uptrain/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/json.h"

enum gqa_status gqa_history_create(struct gqa_history *out, uint64_t n_steps)
{
    *out = (struct gqa_history){.room = n_steps};
    if (n_steps > SIZE_MAX / sizeof *out->losses)
        return gqa_fail_nomem();
    out->losses = calloc(n_steps + 1, sizeof *out->losses);
    return out->losses ? GQA_OK : gqa_fail_nomem();
}

void gqa_history_clear(struct gqa_history *h)
{
    free(h->losses);
    free(h->evaluations);
    free(h->probes);
    free(h->matches);
    *h = (struct gqa_history){0};
}

static enum gqa_status append(struct gqa_history *h,
                              const struct gqa_evaluation *e)
{
    struct gqa_evaluation *grown =
        realloc(h->evaluations, (h->n_evaluations + 1) * sizeof *grown);

    if (!grown)
        return gqa_fail_nomem();
    h->evaluations = grown;
    grown[h->n_evaluations++] = *e;
    return GQA_OK;
}

enum gqa_status gqa_history_add(struct gqa_history *h, uint64_t step,
                                const struct gqa_fidelity_result *r,
                                bool *is_best)
{
    const struct gqa_evaluation e = {
        .step = step,
        .n_positions = r->n_positions,
        .kl = r->kl_mean,
        .top1 = r->top1,
        .perplexity = {r->n_next > 0 ? r->perplexity[0] : 0,
                       r->n_next > 0 ? r->perplexity[1] : 0}};
    const enum gqa_status st = append(h, &e);

    if (st != GQA_OK)
        return st;
    *is_best = h->n_evaluations == 1 || e.kl < h->evaluations[h->best].kl;
    if (*is_best)
        h->best = h->n_evaluations - 1;
    return GQA_OK;
}

enum gqa_status gqa_history_add_probe(struct gqa_history *h, double rate,
                                      double kl)
{
    struct gqa_probe_result *grown =
        realloc(h->probes, (h->n_probes + 1) * sizeof *grown);

    if (!grown)
        return gqa_fail_nomem();
    h->probes = grown;
    grown[h->n_probes++] = (struct gqa_probe_result){rate, kl};
    return GQA_OK;
}

enum gqa_status gqa_history_add_match(struct gqa_history *h,
                                      const struct gqa_layer_match *match)
{
    struct gqa_layer_match *grown =
        realloc(h->matches, (h->n_matches + 1) * sizeof *grown);

    if (!grown)
        return gqa_fail_nomem();
    h->matches = grown;
    grown[h->n_matches++] = *match;
    return GQA_OK;
}

const struct gqa_evaluation *gqa_history_start(const struct gqa_history *h)
{
    return &h->evaluations[0];
}

const struct gqa_evaluation *gqa_history_best(const struct gqa_history *h)
{
    return &h->evaluations[h->best];
}

bool gqa_history_is_measured(const struct gqa_history *h)
{
    return h->n_evaluations > 0 &&
           h->evaluations[h->n_evaluations - 1].step == h->n_steps;
}

/* --- As JSON -------------------------------------------------------------- */

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* What is infinite or NaN has no number in JSON. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static double number_of(const json_t *json)
{
    return json_is_number(json) ? json_number_value(json) : NAN;
}

json_t *gqa_layer_match_describe(const struct gqa_layer_match *m)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "stack",
                     gqa_stack_name(m->stack), "kind",
                     gqa_attention_kind_name(m->kind), "layer",
                     integer(m->layer), "before", number(m->before), "after",
                     number(m->after), "rate", number(m->rate), "steps",
                     integer(m->n_steps), "gained", (int)m->gained);
}

static bool read_match(struct gqa_history *h, const json_t *json)
{
    static const enum gqa_stack stacks[] = {GQA_STACK_ENCODER,
                                            GQA_STACK_DECODER};
    const char *stack = json_string_value(json_object_get(json, "stack"));
    const char *kind = json_string_value(json_object_get(json, "kind"));
    struct gqa_layer_match m = {
        .before = number_of(json_object_get(json, "before")),
        .after = number_of(json_object_get(json, "after")),
        .rate = number_of(json_object_get(json, "rate")),
        .gained = json_is_true(json_object_get(json, "gained"))};

    if (!stack || !kind ||
        !gqa_json_u64(json_object_get(json, "layer"), &m.layer) ||
        !gqa_json_u64(json_object_get(json, "steps"), &m.n_steps))
        return false;
    for (size_t i = 0; i < 2; i++)
        if (strcmp(stack, gqa_stack_name(stacks[i])) == 0)
            m.stack = stacks[i];
    m.kind = strcmp(kind, gqa_attention_kind_name(GQA_ATTENTION_CROSS)) == 0
                 ? GQA_ATTENTION_CROSS
                 : GQA_ATTENTION_SELF;
    return gqa_history_add_match(h, &m) == GQA_OK;
}

json_t *gqa_time_plan_describe(const struct gqa_time_plan *p)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "made", integer(p->made),
                     "steps", integer(p->n_steps), "warmup", integer(p->warmup),
                     "left", number(p->left), "budget", number(p->budget_s));
}

/* json: NULL: there is none. */
static bool read_plan(struct gqa_history *h, const json_t *json)
{
    struct gqa_time_plan *p = &h->plan;

    if (!json)
        return true;
    p->budget_s = number_of(json_object_get(json, "budget"));
    p->left = number_of(json_object_get(json, "left"));
    return gqa_json_u64(json_object_get(json, "made"), &p->made) &&
           gqa_json_u64(json_object_get(json, "steps"), &p->n_steps) &&
           gqa_json_u64(json_object_get(json, "warmup"), &p->warmup) &&
           p->made <= h->n_steps && h->n_steps <= p->n_steps &&
           p->n_steps <= h->room && p->warmup <= h->room && p->left >= 0 &&
           p->left <= 1 && p->budget_s > 0;
}

json_t *gqa_history_describe(const struct gqa_history *h)
{
    json_t *evaluations = json_array(), *probes = json_array();
    json_t *matches, *out;

    for (size_t i = 0; i < h->n_evaluations; i++) {
        const struct gqa_evaluation *e = &h->evaluations[i];

        json_array_append_new(evaluations,
                              json_pack("{s:o, s:o, s:o, s:o, s:[o, o]}",
                                        "step", integer(e->step), "n_positions",
                                        integer(e->n_positions), "kl",
                                        number(e->kl), "top1", number(e->top1),
                                        "perplexity", number(e->perplexity[0]),
                                        number(e->perplexity[1])));
    }
    for (size_t i = 0; i < h->n_probes; i++)
        json_array_append_new(probes, json_pack("{s:o, s:o}", "rate",
                                                number(h->probes[i].rate), "kl",
                                                number(h->probes[i].kl)));
    out = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "steps",
                    integer(h->n_steps), "tokens", integer(h->n_tokens),
                    "positions", integer(h->n_counted), "seconds",
                    number(h->seconds), "rate", number(h->rate), "probes",
                    probes, "evaluations", evaluations);
    if (h->plan.n_steps > 0)
        json_object_set_new(out, "planned", gqa_time_plan_describe(&h->plan));
    if (h->n_matches == 0)
        return out;
    matches = json_array();
    for (size_t i = 0; i < h->n_matches; i++)
        json_array_append_new(matches,
                              gqa_layer_match_describe(&h->matches[i]));
    json_object_set_new(out, "layers", matches);
    return out;
}

static bool read_evaluation(struct gqa_history *h, const json_t *json)
{
    const json_t *perplexity = json_object_get(json, "perplexity");
    struct gqa_evaluation e = {
        .kl = number_of(json_object_get(json, "kl")),
        .top1 = number_of(json_object_get(json, "top1")),
        .perplexity = {number_of(json_array_get(perplexity, 0)),
                       number_of(json_array_get(perplexity, 1))}};

    if (!gqa_json_u64(json_object_get(json, "step"), &e.step) ||
        !gqa_json_u64(json_object_get(json, "n_positions"), &e.n_positions) ||
        append(h, &e) != GQA_OK)
        return false;
    if (e.kl < h->evaluations[h->best].kl)
        h->best = h->n_evaluations - 1;
    return true;
}

bool gqa_history_read(struct gqa_history *h, const json_t *json)
{
    const json_t *evaluations = json_object_get(json, "evaluations");
    const json_t *probes = json_object_get(json, "probes");
    const json_t *matches = json_object_get(json, "layers");

    if (!gqa_json_u64(json_object_get(json, "steps"), &h->n_steps) ||
        !gqa_json_u64(json_object_get(json, "tokens"), &h->n_tokens) ||
        !gqa_json_u64(json_object_get(json, "positions"), &h->n_counted) ||
        h->n_steps > h->room || json_array_size(evaluations) == 0)
        return false;
    h->seconds = number_of(json_object_get(json, "seconds"));
    h->rate = number_of(json_object_get(json, "rate"));
    for (size_t i = 0; i < json_array_size(evaluations); i++)
        if (!read_evaluation(h, json_array_get(evaluations, i)))
            return false;
    for (size_t i = 0; i < json_array_size(probes); i++) {
        const json_t *p = json_array_get(probes, i);

        if (gqa_history_add_probe(h, number_of(json_object_get(p, "rate")),
                                  number_of(json_object_get(p, "kl"))) !=
            GQA_OK)
            return false;
    }
    for (size_t i = 0; i < json_array_size(matches); i++)
        if (!read_match(h, json_array_get(matches, i)))
            return false;
    return read_plan(h, json_object_get(json, "planned")) && h->seconds >= 0 &&
           h->rate > 0;
}
