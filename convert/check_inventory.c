#include "convert/check_inventory.h"

#include "common/log.h"
#include "formats/model/leftover.h"

enum { MAX_TEXT = 1536 };

static void say_all(const struct gqa_inventory *inventory)
{
    static const char *const words[] = {
        [GQA_FAULT_NUMBER] = "",
        [GQA_FAULT_CONFIG] = "",
        [GQA_FAULT_MISSING] = "missing: ",
        [GQA_FAULT_SHAPE] = "of another shape: ",
        [GQA_FAULT_EXTRA] = "left over: ",
        [GQA_FAULT_ATTENTION] = "left over, looks like an attention: ",
    };

    for (size_t i = 0; i < inventory->n_faults; i++)
        gqa_info("%s%s", words[inventory->faults[i].kind],
                 inventory->faults[i].text);
}

/* A head of the task is part of such a model, and none of what is run. */
static void warn_head(const struct gqa_inventory *inventory,
                      const struct gqa_model *model)
{
    const char *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < model->n_params; i++)
        if (inventory->roles[i] == GQA_ROLE_HEAD && n++ == 0)
            first = model->params[i].name;
    if (n == 1)
        gqa_warn("'%s', a head of its task, is copied", first);
    else if (n > 1)
        gqa_warn("'%s' and %zu more tensors, a head of its task, are copied",
                 first, n - 1);
}

/* A projection of the stream that nothing here reads (LED's for tokens that
 * see all): what its heads are grouped by would leave it as it is. */
static bool is_further_projection(const struct gqa_inventory *inventory,
                                  const struct gqa_model *model, size_t i)
{
    return inventory->roles[i] == GQA_ROLE_BUFFER &&
           model->params[i].rank == 2 &&
           model->params[i].cols == model->d_model;
}

/* Attentions of a make that is not grouped, in a part that the family leaves
 * alone (LongT5's encoder), or beside what it runs. */
static enum gqa_status refuse_beside(const struct gqa_inventory *inventory,
                                     const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_params; i++)
        if ((inventory->roles[i] == GQA_ROLE_BESIDE ||
             is_further_projection(inventory, model, i)) &&
            gqa_name_is_attention(model->params[i].name))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "'%s' belongs to an attention of a make that is "
                            "not grouped; --attention decoder leaves it as it "
                            "is",
                            model->params[i].name);
    return GQA_OK;
}

enum gqa_status gqa_check_inventory(const struct gqa_inventory *inventory,
                                    const struct gqa_model *model,
                                    bool allow_extra, bool of_encoder)
{
    const bool has_attention = inventory->n_of[GQA_FAULT_ATTENTION] > 0;
    const bool has_extra =
        has_attention || inventory->n_of[GQA_FAULT_EXTRA] > 0;
    char text[MAX_TEXT];

    say_all(inventory);
    if (inventory->n_of[GQA_FAULT_NUMBER] > 0) {
        gqa_inventory_text(text, sizeof text, inventory, GQA_FAULT_NUMBER,
                           GQA_FAULT_NUMBER);
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: mend it there, or give another with --config",
                        text);
    }
    if (inventory->n_of[GQA_FAULT_CONFIG] > 0) {
        gqa_inventory_text(text, sizeof text, inventory, GQA_FAULT_CONFIG,
                           GQA_FAULT_CONFIG);
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: not the configuration of this model, or not its "
                        "tensors",
                        text);
    }
    if (inventory->n_of[GQA_FAULT_MISSING] > 0 ||
        inventory->n_of[GQA_FAULT_SHAPE] > 0) {
        gqa_inventory_text(text, sizeof text, inventory, GQA_FAULT_MISSING,
                           GQA_FAULT_SHAPE);
        return gqa_fail(GQA_ERR_FORMAT, "%s", text);
    }
    if (has_extra) {
        gqa_inventory_text(text, sizeof text, inventory, GQA_FAULT_EXTRA,
                           GQA_FAULT_ATTENTION);
        if (has_attention || !allow_extra)
            return gqa_fail(GQA_ERR_FORMAT, "%s%s", text,
                            has_attention ? ""
                                          : " (--allow-extra copies what is "
                                            "left over)");
        gqa_warn("%s; copied", text);
    }
    warn_head(inventory, model);
    return of_encoder ? refuse_beside(inventory, model) : GQA_OK;
}
