#include "formats/folder/left_out.h"

#include <fnmatch.h>

#include "common/json.h"
#include "common/strings.h"
#include "formats/families/kv_words.h"
#include "formats/formats.h"

/* Configurations are shorter; a tokenizer may be longer, and is none. */
enum { MAX_JSON_BYTES = 1 << 20 };

/* Of whatever format, or an index of such. */
static bool is_weights(const char *name)
{
    for (size_t i = 0; i < gqa_n_formats; i++)
        for (const struct gqa_name_ending *e = gqa_formats[i]->endings;
             e && e->text; e++)
            if (!e->may_be_else && gqa_ends_with(name, e->text))
                return true;
    return false;
}

const char *gqa_left_out_by_name(const char *name,
                                 const struct gqa_companion_rules *rules)
{
    static const struct {
        const char *pattern, *reason;
    } others[] = {
        {"params.json", "dimensions of the original's weights"},
        {"adapter_config.json", "of an adapter, which does not come along"},
        {"quantize_config.json", "of quantised weights"},
        {"quant_config.json", "of quantised weights"},
        {"hf_quant_config.json", "of quantised weights"},
        {"*.index.*.json", "an index of weights"},
        {"trainer_state.json", "of the original's training"},
        {"*_results.json", "results of the original"},
    };
    static const char *const cards[] = {"readme*", "model_card*", "modelcard*"};

    if (is_weights(name))
        return gqa_ends_with(name, ".json") ? "an index of weights"
                                            : "weights, or a state of training";
    for (size_t i = 0; rules && i < sizeof others / sizeof *others; i++)
        if (fnmatch(others[i].pattern, name, 0) == 0)
            return others[i].reason;
    for (size_t i = 0;
         rules && rules->has_card && i < sizeof cards / sizeof *cards; i++)
        if (fnmatch(cards[i], name, FNM_CASEFOLD) == 0)
            return "of the original, and not of its conversion";
    return NULL;
}

enum gqa_status gqa_left_out_by_content(const char **reason, int fd,
                                        uint64_t size, const char *name,
                                        const struct gqa_companion_rules *rules)
{
    json_t *root = NULL;
    enum gqa_status st;

    *reason = NULL;
    if (!gqa_ends_with(name, ".json") || size == 0 || size > MAX_JSON_BYTES)
        return GQA_OK;
    st = gqa_json_load_fd(&root, fd, size, name, MAX_JSON_BYTES);
    if (st == GQA_ERR_FORMAT)
        return GQA_OK; /* whatever it is, it says nothing of heads */
    if (gqa_kv_words_differ(root, rules->n_kv_heads))
        *reason = "it says how many KV heads the original has";
    json_decref(root);
    return st;
}
