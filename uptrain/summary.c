#include "uptrain/summary.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/units.h"

enum { SCHEMA_VERSION = 1 };

static void print_plan(FILE *out, const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_estimate *e = &u->estimate;
    char weights[GQA_UNITS_MAX], training[GQA_UNITS_MAX], logits[GQA_UNITS_MAX];
    char run[GQA_UNITS_MAX], fast[GQA_UNITS_MAX], there[GQA_UNITS_MAX];
    char pace[GQA_PACE_MAX];

    fprintf(out, "%-11s %s\n", "original", o->teacher);
    if (o->student)
        fprintf(out, "%-11s %s\n", "converted", o->student);
    else
        fprintf(out, "%-11s to %" PRIu64 " KV heads, %s\n", "converted",
                o->groups, gqa_uptrain_methods[o->method].name);
    fprintf(out, "%-11s %" PRIu64 " of %" PRIu64 " values, in %zu tensors\n",
            "trained", e->n_trained, e->n_elements, e->n_params);
    if (o->layerwise)
        fprintf(out, "%-11s one after another, %" PRIu64 " steps each\n",
                "attentions", o->n_layer_steps);
    fprintf(out,
            "%-11s %" PRIu64 " of at most %" PRIu64 " tokens, %" PRIu64
            " of them a sequence\n",
            "steps", o->n_steps, e->step_tokens, u->settings.length);
    fprintf(out,
            "%-11s %s of weights, %s of masters and moments, %s of logits,\n"
            "%-11s %s of activations and gradients (%s where none is made "
            "twice)\n",
            "memory", gqa_units_bytes(weights, e->weights),
            gqa_units_bytes(training, e->training),
            gqa_units_bytes(logits, e->logits), "",
            gqa_units_bytes(run, e->run), gqa_units_bytes(fast, e->fast));
    fprintf(out, "%-11s %s of the host's: sequences, losses, copies\n", "",
            gqa_units_bytes(run, e->sequences + e->losses + e->copies));
    fprintf(out, "%-11s %s, %s free\n", "device", u->device.info.name,
            gqa_units_bytes(there, u->device.info.free_bytes));
    if (o->dry_run && u->pace.step_s > 0)
        fprintf(out, "%-11s %s, as an estimate\n", "pace",
                gqa_pace_say(pace, &u->pace, o->n_steps));
}

static void print_perplexity(FILE *out, const struct gqa_evaluation *start,
                             const struct gqa_evaluation *best)
{
    if (best->perplexity[1] > 0)
        fprintf(out, "%-11s %.4g -> %.4g (original %.4g)\n", "perplexity",
                start->perplexity[1], best->perplexity[1], best->perplexity[0]);
}

static void print_matches(FILE *out, const struct gqa_history *h)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n_matches; i++)
        n += h->matches[i].gained;
    if (h->n_matches > 0)
        fprintf(out,
                "%-11s %zu of %zu nearer to the original's, then KL %.4g\n",
                "attentions", n, h->n_matches, h->evaluations[1].kl);
}

static void print_output(FILE *out, const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    char first[PATH_MAX], bytes[GQA_UNITS_MAX];

    gqa_output_first(first, o->writer, o->output, u->output.n_files);
    fprintf(out, "%-11s %s, ", "output", first);
    if (strcmp(first, o->output) != 0)
        fprintf(out, "the first of %zu files, ", u->output.n_files);
    fprintf(out, "%s\n", gqa_units_bytes(bytes, u->output.file_bytes));
}

static void print_result(FILE *out, const struct gqa_uptraining *u)
{
    const struct gqa_history *h = &u->run.history;
    const struct gqa_evaluation *start = gqa_history_start(h);
    const struct gqa_evaluation *best = gqa_history_best(h);

    fprintf(out, "%-11s %.4g -> %.4g, on %" PRIu64 " positions held out\n",
            "mean KL", start->kl, best->kl, best->n_positions);
    fprintf(out, "%-11s %.1f %% -> %.1f %%\n", "same top 1", 100 * start->top1,
            100 * best->top1);
    print_perplexity(out, start, best);
    print_matches(out, h);
    if (h->room > 0)
        fprintf(out,
                "%-11s %" PRIu64 " made, the best after %" PRIu64 "; %" PRIu64
                " tokens, rate %.3g%s\n",
                "steps", h->n_steps, best->step, h->n_tokens, h->rate,
                h->n_probes > 0 ? " (found)" : "");
    if (h->room > 0)
        fprintf(out, "%-11s %.1f s, %.0f tokens/s\n", "time", h->seconds,
                h->seconds > 0 ? (double)h->n_tokens / h->seconds : 0);
    else
        fprintf(out, "%-11s %.1f s\n", "time", h->seconds);
    if (u->written)
        print_output(out, u);
}

void gqa_uptrain_summary_print(FILE *out, const struct gqa_uptraining *u)
{
    print_plan(out, u);
    if (u->options->dry_run) {
        fprintf(out, "dry run: nothing was trained\n");
        return;
    }
    print_result(out, u);
    if (!u->gained)
        fprintf(out,
                "\nNothing was gained: no state measured was nearer to the "
                "original than the\nstart%s.\n",
                u->written ? ", which was written" : "; nothing was written");
}

/* --- JSON ----------------------------------------------------------------- */

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

enum gqa_status gqa_uptrain_summary_json(char **out,
                                         const struct gqa_uptraining *u)
{
    const struct gqa_uptrain_options *o = u->options;
    const struct gqa_estimate *e = &u->estimate;
    json_t *root = json_pack(
        "{s:i, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o}",
        "schema_version", SCHEMA_VERSION, "original", gqa_json_text(o->teacher),
        "converted", o->student ? gqa_json_text(o->student) : json_null(),
        "output", gqa_json_text(o->output), "dry_run", (int)o->dry_run,
        "n_trained", integer(e->n_trained), "n_values", integer(e->n_elements),
        "step_tokens", integer(e->step_tokens), "weight_bytes",
        integer(e->weights), "training_bytes", integer(e->training),
        "logit_bytes", integer(e->logits), "run_bytes", integer(e->run),
        "fast_run_bytes", integer(e->fast), "host_bytes",
        integer(e->sequences + e->losses + e->copies));
    char first[PATH_MAX];
    enum gqa_status st;

    if (u->pace.step_s > 0) {
        json_object_set_new(root, "estimated_tokens_per_s",
                            json_real(u->pace.tokens_per_s));
        json_object_set_new(root, "estimated_seconds",
                            json_real(u->pace.step_s * (double)o->n_steps));
    }
    if (!o->dry_run) {
        json_t *history = gqa_history_describe(&u->run.history);

        json_object_set_new(history, "seconds",
                            json_real(gqa_clock_round(u->run.history.seconds)));
        json_object_set_new(history, "best_step",
                            integer(gqa_history_best(&u->run.history)->step));
        json_object_set_new(root, "gained", json_boolean(u->gained));
        json_object_set_new(root, "written", json_boolean(u->written));
        json_object_set_new(root, "run", history);
    }
    json_object_set_new(root, "device", json_string(u->device.info.name));
    if (u->written) {
        json_object_set_new(root, "file_bytes", integer(u->output.file_bytes));
        gqa_output_first(first, o->writer, o->output, u->output.n_files);
        json_object_set_new(root, "first", gqa_json_text(first));
    }
    st = gqa_json_dump(out, root, JSON_INDENT(2) | gqa_json_real_flags(root));
    json_decref(root);
    return st;
}
