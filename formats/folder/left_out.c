#include "formats/folder/left_out.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "common/file.h"
#include "common/json.h"
#include "common/strings.h"
#include "formats/families/kv_words.h"
#include "formats/families/remote_code.h"
#include "formats/formats.h"

/* Configurations are shorter; a tokenizer may be longer, and is none. */
enum { MAX_BYTES = 1 << 20 };

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
        {"events.out.tfevents.*", "of the original's training"},
        {"*_results.json", "results of the original"},
        {"*imatrix*", "measured of the original, to quantise it"},
    };
    static const char *const cards[] = {"readme*", "model_card*", "modelcard*"};

    if (is_weights(name))
        return gqa_ends_with(name, ".json") ? "an index of weights"
                                            : "weights, or a state of training";
    if (rules && rules->has_own_module && gqa_remote_code_is_file(name))
        return "for the KV heads of the original";
    for (size_t i = 0; rules && i < sizeof others / sizeof *others; i++)
        if (fnmatch(others[i].pattern, name, 0) == 0)
            return others[i].reason;
    for (size_t i = 0;
         rules && rules->has_card && i < sizeof cards / sizeof *cards; i++)
        if (fnmatch(cards[i], name, FNM_CASEFOLD) == 0)
            return "of the original, and not of its conversion";
    return NULL;
}

/* Settings in a form that is not JSON, or a copy that somebody kept. Code,
 * which has defaults for all models of its kind, is none. */
static bool is_settings(const char *name)
{
    static const char *const patterns[] = {
        "*.yaml", "*.yml", "*.toml", "*.ini",    "*.cfg", "*.gin",
        "*.bak",  "*.old", "*.orig", "*.json.*", "*~"};

    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (fnmatch(patterns[i], name, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

static enum gqa_status differs_in_text(bool *differs, int fd, uint64_t size,
                                       const struct gqa_companion_rules *rules)
{
    char *text = calloc(1, (size_t)size + 1);
    enum gqa_status st;

    if (!text)
        return gqa_fail_nomem();
    st = gqa_file_read(fd, text, (size_t)size, 0);
    if (st == GQA_OK)
        *differs = gqa_kv_words_differ_in_text(text, rules->n_kv_heads);
    free(text);
    return st;
}

enum gqa_status gqa_left_out_by_content(const char **reason, int fd,
                                        uint64_t size, const char *name,
                                        const struct gqa_companion_rules *rules)
{
    json_t *root = NULL;
    bool differs = false;
    enum gqa_status st;

    *reason = NULL;
    if (size == 0 || size > MAX_BYTES)
        return GQA_OK;
    if (gqa_ends_with(name, ".json")) {
        st = gqa_json_load_fd(&root, fd, size, name, MAX_BYTES);
        if (st == GQA_ERR_FORMAT)
            return GQA_OK; /* whatever it is, it says nothing of heads */
        differs = gqa_kv_words_differ(root, rules->n_kv_heads);
    } else if (is_settings(name)) {
        st = differs_in_text(&differs, fd, size, rules);
    } else {
        return GQA_OK;
    }
    if (differs)
        *reason = "it says how many KV heads the original has";
    json_decref(root);
    return st;
}
