#include "convert/say.h"

#include <inttypes.h>
#include <stdio.h>

static void say_attention(const struct gqa_plan *plan,
                          const struct gqa_plan_attention *out)
{
    const struct gqa_attention *a = out->attention;
    const char *stack = gqa_stack_name(a->stack);
    const char *kind = gqa_attention_kind_name(a->kind);
    char expanded[64] = "";

    if (out->pooled == out->source && gqa_plan_is_aligned(plan, out)) {
        gqa_info("%s %s, layer %" PRIu64 ": its %" PRIu64
                 " KV heads are transformed, and none share",
                 stack, kind, a->layer, out->source);
        return;
    }
    if (out->pooled == out->source) {
        gqa_info("%s %s, layer %" PRIu64 ": its %" PRIu64 " KV heads stay: %s",
                 stack, kind, a->layer, out->source,
                 out->selected ? "as many are asked for"
                               : "it is not among those to group");
        return;
    }
    if (out->written != out->pooled)
        snprintf(expanded, sizeof expanded, ", written as %" PRIu64,
                 out->written);
    gqa_info("%s %s, layer %" PRIu64 ": %" PRIu64 " KV heads to %" PRIu64
             " by %s%s",
             stack, kind, a->layer, out->source, out->pooled,
             gqa_method_name(plan->options.method), expanded);
}

static void say_tensors(const struct gqa_plan *plan)
{
    const size_t n = plan->model->n_params;
    size_t n_made = 0, n_converted = 0;

    for (size_t i = 0; i < n; i++) {
        const struct gqa_plan_tensor *t = &plan->tensors[i];

        n_made += t->segments != NULL;
        if (t->dtype != t->param->dtype && n_converted++ == 0)
            gqa_info("%s: %s, written as %s", t->param->name,
                     gqa_dtype_name(t->param->dtype), gqa_dtype_name(t->dtype));
    }
    if (n_converted > 1)
        gqa_info("%zu more tensors change their type", n_converted - 1);
    gqa_info("%zu tensors: %zu with heads that are made anew, %zu copied", n,
             n_made, n - n_made);
}

static void say_output(const struct gqa_convert_options *o)
{
    const char *name = gqa_output_name(o);
    char what[128];

    if (o->dry_run) {
        gqa_info("%s: not written, by --dry-run", name);
        return;
    }
    o->writer->describe(what, sizeof what, &o->settings);
    gqa_info("%s: %s%s", name, o->to_stdout ? "" : "by its name ", what);
}

void gqa_say_plan(const struct gqa_plan *plan,
                  const struct gqa_convert_options *options)
{
    if (gqa_log_level() < GQA_LOG_INFO)
        return;
    for (size_t i = 0; i < plan->model->n_attentions; i++)
        say_attention(plan, &plan->attentions[i]);
    say_tensors(plan);
    say_output(options);
}
