#include "uptrain/describe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/recorded.h"

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* To six digits: others depend on the machine. */
static json_t *rounded(double x)
{
    char text[32];

    snprintf(text, sizeof text, "%.6g", x);
    return number(strtod(text, NULL));
}

static json_t *describe_loss(const struct gqa_loss_mix *mix)
{
    const struct {
        const char *name;
        double factor;
    } parts[] = {{"kl", mix->kl},
                 {"reverse_kl", mix->reverse_kl},
                 {"cross_entropy", mix->cross_entropy}};
    json_t *out = json_object();

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].factor > 0)
            json_object_set_new(out, parts[i].name, json_real(parts[i].factor));
    return out;
}

static json_t *describe_item(const struct gqa_data_item *item,
                             const struct gqa_data_file *file,
                             const struct gqa_settings *settings)
{
    json_t *out = json_pack("{s:o, s:o}", "from",
                            file ? gqa_json_text(gqa_base_name(item->path))
                                 : json_string("self"),
                            "share", json_real(item->share));

    if (file) {
        json_object_set_new(out, "n_sequences", integer(file->n_sequences));
        json_object_set_new(out, "n_held_out", integer(file->n_held_out));
        json_object_set_new(out, "xxh3", json_string(file->digest));
    } else if (settings->n_own > 0) {
        json_object_set_new(out, "n_sequences", integer(settings->n_own));
    }
    return out;
}

static json_t *describe_data(const struct gqa_uptrain_options *o,
                             const struct gqa_settings *settings,
                             const struct gqa_data *data)
{
    json_t *out = json_array();

    for (size_t i = 0; i < o->data.n; i++)
        json_array_append_new(
            out, describe_item(&o->data.items[i],
                               data ? gqa_data_file(data, i) : NULL, settings));
    return out;
}

/* Without the number of threads, which no bit depends on. */
static json_t *software_of(const struct gqa_device_info *device)
{
    char threads[32];
    size_t n = strlen(device->software);
    const int n_threads =
        snprintf(threads, sizeof threads, ", %u threads", device->n_threads);

    if (n >= (size_t)n_threads &&
        strcmp(device->software + n - (size_t)n_threads, threads) == 0)
        n -= (size_t)n_threads;
    return json_stringn(device->software, n);
}

/* What a run is asked for: a part of both. */
static void describe_options(json_t *out, const struct gqa_uptrain_options *o,
                             const struct gqa_settings *settings,
                             const struct gqa_data *data)
{
    json_object_set_new(out, "loss", describe_loss(&o->loss));
    json_object_set_new(out, "data", describe_data(o, settings, data));
    json_object_set_new(out, "seed", integer(o->seed));
    if (o->temperature > 0)
        json_object_set_new(out, "temperature", json_real(o->temperature));
    if (o->top_k > 0)
        json_object_set_new(out, "top_k", integer(o->top_k));
    if (o->layerwise)
        json_object_set_new(out, "layer_steps", integer(o->n_layer_steps));
    json_object_set_new(out, "steps", integer(o->n_steps));
    json_object_set_new(out, "batch", integer(o->batch));
    json_object_set_new(out, "accumulate", integer(o->accumulate));
    json_object_set_new(out, "length", integer(settings->length));
    json_object_set_new(
        out, "optimiser",
        json_string(gqa_optimiser_name((enum gqa_optimiser_kind)o->optimiser)));
    json_object_set_new(out, "weight_decay", json_real(o->weight_decay));
    json_object_set_new(out, "clip", json_real(o->clip));
    json_object_set_new(out, "schedule",
                        json_string(gqa_decay_name((enum gqa_decay)o->decay)));
    json_object_set_new(out, "warmup", integer(o->warmup));
}

json_t *gqa_run_what(const struct gqa_uptrain_options *o,
                     const struct gqa_settings *settings,
                     const struct gqa_pair *pair, const struct gqa_data *data,
                     const struct gqa_device_info *device)
{
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "version", GQA_VERSION,
                  "ORIGINAL", pair->teacher.digest, "CONVERTED",
                  pair->student.digest, "train", o->train, "device",
                  device->name, "dtype", gqa_dtype_name(device->real));

    describe_options(out, o, settings, data);
    json_object_set_new(out, "rate",
                        o->rate > 0 ? json_real(o->rate)
                                    : json_string("to be found"));
    if (pair->family)
        json_object_set_new(out, "family", json_string(pair->family_digest));
    if (o->until_kl >= 0)
        json_object_set_new(out, "until-kl", json_real(o->until_kl));
    json_object_set_new(out, "software", software_of(device));
    json_object_set_new(out, "eval-every", integer(o->eval_every));
    json_object_set_new(out, "eval-sequences", integer(o->n_held_out));
    return out;
}

/* --- The recipe ----------------------------------------------------------- */

static json_t *describe_attentions(const struct gqa_model *model)
{
    json_t *out = json_array();

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        json_array_append_new(
            out, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "stack",
                           gqa_stack_name(a->stack), "kind",
                           gqa_attention_kind_name(a->kind), "layer",
                           integer(a->layer), "n_heads", integer(a->n_heads),
                           "source_n_kv_heads", integer(a->n_kv_heads),
                           "n_kv_heads", integer(a->n_kv_heads)));
    }
    return out;
}

static json_t *list_trained(const struct gqa_model *model, const bool *trained)
{
    json_t *out = json_array();

    for (size_t i = 0; i < model->n_params; i++)
        if (trained[i])
            json_array_append_new(out, json_string(model->params[i].name));
    return out;
}

static json_t *describe_curve(const struct gqa_history *h)
{
    json_t *out = json_array();

    for (size_t i = 0; i < h->n_evaluations; i++)
        json_array_append_new(out,
                              json_pack("{s:o, s:o, s:o}", "step",
                                        integer(h->evaluations[i].step), "kl",
                                        rounded(h->evaluations[i].kl), "top1",
                                        rounded(h->evaluations[i].top1)));
    return out;
}

static json_t *describe_matches(const struct gqa_history *h)
{
    json_t *out = json_array();

    for (size_t i = 0; i < h->n_matches; i++) {
        json_t *match = gqa_layer_match_describe(&h->matches[i]);

        json_object_set_new(match, "before", rounded(h->matches[i].before));
        json_object_set_new(match, "after", rounded(h->matches[i].after));
        json_array_append_new(out, match);
    }
    return out;
}

static json_t *describe_training(const struct gqa_uptrain_options *o,
                                 const struct gqa_settings *settings,
                                 const struct gqa_pair *pair,
                                 const bool *trained,
                                 const struct gqa_data *data,
                                 const struct gqa_history *h,
                                 const struct gqa_device_info *device)
{
    json_t *teacher =
        gqa_record_source(pair->teacher.checkpoint,
                          gqa_recorded_recipe(pair->teacher.checkpoint));
    json_t *out = json_object();

    json_object_set_new(teacher, "xxh3", json_string(pair->teacher.digest));
    json_object_set_new(out, "teacher", teacher);
    json_object_set_new(out, "source_xxh3", json_string(pair->student.digest));
    describe_options(out, o, settings, data);
    json_object_set_new(out, "rate", number(h->rate));
    json_object_set_new(out, "rate_was_given", json_boolean(o->rate > 0));
    if (h->plan.n_steps > 0)
        json_object_set_new(out, "planned", gqa_time_plan_describe(&h->plan));
    json_object_set_new(out, "steps_made", integer(h->n_steps));
    json_object_set_new(out, "steps_kept", integer(gqa_history_best(h)->step));
    json_object_set_new(out, "tokens", integer(h->n_tokens));
    json_object_set_new(out, "positions", integer(h->n_counted));
    json_object_set_new(out, "kl_before", rounded(gqa_history_start(h)->kl));
    json_object_set_new(out, "kl_after", rounded(gqa_history_best(h)->kl));
    if (h->n_matches > 0)
        json_object_set_new(out, "layers", describe_matches(h));
    json_object_set_new(out, "curve", describe_curve(h));
    json_object_set_new(out, "device", json_string(device->name));
    if (o->n_ranks > 1)
        json_object_set_new(out, "ranks", integer(o->n_ranks));
    json_object_set_new(out, "dtype",
                        json_string(gqa_dtype_name(device->real)));
    json_object_set_new(out, "software", software_of(device));
    json_object_set_new(out, "trained",
                        list_trained(pair->student.model, trained));
    return out;
}

json_t *gqa_run_recipe(const struct gqa_uptrain_options *o,
                       const struct gqa_settings *settings,
                       const struct gqa_pair *pair, const bool *trained,
                       const struct gqa_data *data,
                       const struct gqa_history *history,
                       const struct gqa_device_info *device, json_t *digests)
{
    const struct gqa_checkpoint *source = pair->student.checkpoint;
    json_t *out = json_pack(
        "{s:s, s:o, s:s, s:s, s:b, s:o, s:o}", "tool",
        "gqa-uptrain " GQA_VERSION, "source",
        gqa_record_source(source, gqa_recorded_recipe(source)), "method",
        "uptrained", "dtype", "keep", "expanded", 0, "training",
        describe_training(o, settings, pair, trained, data, history, device),
        "attentions", describe_attentions(pair->student.model));

    if (digests)
        json_object_set_new(out, "digests", digests);
    return out;
}
