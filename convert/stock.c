#include "convert/stock.h"

#include "convert/remote_code.h"
#include "formats/families/kv_said.h"

uint64_t gqa_uniform_kv_heads(const struct gqa_plan *plan)
{
    uint64_t first = 0;

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];

        if (out->attention->stack != GQA_STACK_DECODER)
            continue;
        if (first && out->written != first)
            return 0;
        first = out->written;
    }
    return first;
}

bool gqa_is_hybrid(const struct gqa_plan *plan)
{
    uint64_t first[2] = {0, 0};

    for (size_t i = 0; i < plan->model->n_attentions; i++) {
        const struct gqa_plan_attention *out = &plan->attentions[i];
        uint64_t *of_kind = &first[out->attention->kind == GQA_ATTENTION_CROSS];

        if (out->attention->stack != GQA_STACK_DECODER)
            continue;
        if (*of_kind && out->written != *of_kind)
            return true;
        *of_kind = out->written;
    }
    return false;
}

bool gqa_stock_reads_pairs(const struct gqa_model *model,
                           const struct gqa_writer *writer)
{
    if (writer->takes)
        return writer->takes(model) & GQA_TAKES_PAIRS;
    /* Of a safetensors file by itself the configuration is elsewhere. */
    return !writer->stock ||
           (writer->needs_config && model->family->stock_longrope);
}

static bool is_grouped(const struct gqa_plan *plan)
{
    for (size_t i = 0; i < plan->model->n_attentions; i++)
        if (plan->attentions[i].written !=
            plan->attentions[i].attention->n_heads)
            return true;
    return false;
}

enum gqa_stock gqa_stock_of(const struct gqa_plan *plan)
{
    const struct gqa_model *model = plan->model;
    const uint64_t n = gqa_uniform_kv_heads(plan);

    if (plan->options.remote_code)
        return GQA_STOCK_HAS_MODULE;
    if (!is_grouped(plan))
        return GQA_STOCK_LOADS;
    if (model->family->stock_grouped == GQA_STOCK_NONE)
        return gqa_has_remote_code(model) ? GQA_STOCK_COULD_HAVE
                                          : GQA_STOCK_HAS_NO_GROUPS;
    if (!n)
        return GQA_STOCK_WANTS_ONE_NUMBER;
    return !gqa_kv_said(model->family) ||
                   gqa_kv_said_can(model->family, model->config,
                                   gqa_model_n_heads(model), n)
               ? GQA_STOCK_LOADS
               : GQA_STOCK_HAS_NO_WORD;
}

const char *gqa_stock_note(enum gqa_stock stock)
{
    switch (stock) {
    case GQA_STOCK_LOADS:
        break;
    case GQA_STOCK_HAS_MODULE:
        return "transformers loads it by the module beside the weights, with "
               "trust_remote_code.";
    case GQA_STOCK_COULD_HAVE:
        return "Stock transformers has no grouped attention for this family: "
               "--remote-code\nwrites a folder with a module that loads it, "
               "--expand a model that it loads\nas it is.";
    case GQA_STOCK_HAS_NO_GROUPS:
        return "Stock transformers has no grouped attention for this family: "
               "--expand writes a\nmodel that it loads.";
    case GQA_STOCK_WANTS_ONE_NUMBER:
        return "Stock transformers takes one number of KV heads for all "
               "layers: --expand writes a\nmodel that it loads.";
    case GQA_STOCK_HAS_NO_WORD:
        return "The configuration of this family has no value for this number "
               "of KV heads:\n--expand writes a model that stock transformers "
               "loads.";
    }
    return NULL;
}
