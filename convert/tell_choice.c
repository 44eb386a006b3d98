#include "convert/tell_choice.h"

#include <math.h>
#include <stdlib.h>

#include "common/ull.h"
#include "formats/model/kv_bytes.h"

/* Of a table. */
enum { PER_LINE = 16 };

static double percent(const struct gqa_kv_choice *choice, uint64_t bytes)
{
    return choice->stored ? 100 * (double)bytes / (double)choice->stored : 0;
}

static void print_tried(FILE *out, const struct gqa_kv_choice *choice,
                        const struct gqa_kv_tried *tried)
{
    fprintf(out, "%.4g%% of the KV cache, ", percent(choice, tried->bytes));
    if (tried->alike)
        fprintf(out, "%llu KV heads for all", ULL(tried->alike));
    else
        fprintf(out, "each attention its own number");
    if (!isnan(tried->kl))
        fprintf(out, ": mean KL %.3g", tried->kl);
}

/* The decoder's attentions of one kind, by layer. */
static void print_kind(FILE *out, const struct gqa_plan *plan,
                       enum gqa_attention_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *to = &plan->attentions[i];

        if (!gqa_kv_is_cached(to->attention) || to->attention->kind != kind)
            continue;
        if (n % PER_LINE == 0)
            fprintf(out, "%s  %-9s", n > 0 ? "\n" : "",
                    n > 0                        ? ""
                    : kind == GQA_ATTENTION_SELF ? "self"
                                                 : "cross");
        fprintf(out, " %llu", ULL(to->pooled));
        n++;
    }
    if (n > 0)
        fprintf(out, "\n");
}

void gqa_choice_print(FILE *out, const struct gqa_plan *plan,
                      const struct gqa_kv_budget *budget,
                      const struct gqa_kv_choice *choice)
{
    if (budget->max_kl >= 0)
        fprintf(out, "%-11s mean KL of at most %.4g\n", "bound",
                budget->max_kl);
    else
        fprintf(out, "%-11s %.4g%% of the KV cache\n", "budget",
                100 * budget->share);
    fprintf(out, "%-11s ", "chosen");
    print_tried(out, choice, &choice->chosen);
    fprintf(out, "\n");
    if (choice->other.bytes > 0) {
        fprintf(out, "%-11s ", "instead of");
        print_tried(out, choice, &choice->other);
        fprintf(out, "\n");
    }
    if (choice->n_sequences > 0)
        fprintf(out, "%-11s on %llu sequences held out, %llu tokens\n",
                "measured", ULL(choice->n_sequences), ULL(choice->n_tokens));
    fprintf(out, "KV heads by layer\n");
    print_kind(out, plan, GQA_ATTENTION_SELF);
    print_kind(out, plan, GQA_ATTENTION_CROSS);
}

/* --- JSON ----------------------------------------------------------------- */

/* To three digits: others depend on the machine. */
static json_t *number_or_null(double x)
{
    char text[32];

    if (!isfinite(x) || x < 0)
        return json_null();
    snprintf(text, sizeof text, "%.2e", x);
    return json_real(strtod(text, NULL));
}

static json_t *describe_tried(const struct gqa_kv_tried *tried)
{
    return json_pack(
        "{s:o, s:I, s:o}", "n_kv_heads",
        tried->alike ? json_integer((json_int_t)tried->alike) : json_null(),
        "kv_bytes", (json_int_t)tried->bytes, "kl", number_or_null(tried->kl));
}

json_t *gqa_choice_describe(const struct gqa_kv_budget *budget,
                            const struct gqa_kv_choice *choice)
{
    return json_pack(
        "{s:o, s:o, s:b, s:I, s:o, s:o, s:I, s:I}", "kv_budget",
        budget->share >= 0 ? json_real(budget->share) : json_null(), "max_kl",
        budget->max_kl >= 0 ? json_real(budget->max_kl) : json_null(),
        "uniform", (int)budget->uniform, "source_kv_bytes",
        (json_int_t)choice->stored, "chosen", describe_tried(&choice->chosen),
        "other",
        choice->other.bytes > 0 ? describe_tried(&choice->other) : json_null(),
        "n_sequences", (json_int_t)choice->n_sequences, "n_tokens",
        (json_int_t)choice->n_tokens);
}
