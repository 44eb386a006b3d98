#include "formats/gguf/scaling_read.h"

#include <string.h>

#include "formats/gguf/architecture_table.h"
#include "formats/model/rope.h"

struct scaling {
    const struct gqa_gguf_architecture *a;
    const struct gqa_gguf_header *h;
    json_t *made;
    double factor;
};

static const json_t *said(const struct scaling *s, const char *key)
{
    return gqa_gguf_key_value(s->a, s->h->keys, key);
}

/* A key of another type, or NaN, is not as if it were not there. */
static enum gqa_status check_kinds(const struct scaling *s)
{
    static const char *const numbers[] = {
        "%.rope.scaling.factor",
        "%.rope.scale_linear",
        "%.rope.scaling.original_context_length",
        "%.rope.scaling.attn_factor",
        "%.rope.scaling.yarn_beta_fast",
        "%.rope.scaling.yarn_beta_slow",
        "%.rope.scaling.yarn_ext_factor",
        "%.rope.scaling.yarn_attn_factor",
        "%.rope.scaling.yarn_log_multiplier",
    };
    const json_t *type = said(s, "%.rope.scaling.type");

    if (type && !json_is_string(type))
        return gqa_gguf_refuse_key(s->a, "%.rope.scaling.type",
                                   "is no text; give --config the original's "
                                   "config.json");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const json_t *value = said(s, numbers[i]);

        if (value && !json_is_number(value))
            return gqa_gguf_refuse_key(s->a, numbers[i], GQA_GGUF_NO_NUMBER);
    }
    return GQA_OK;
}

/* Frequencies by tensors, of which the rule is not known. */
static enum gqa_status check_tensors(const struct gqa_gguf_header *h)
{
    if (gqa_gguf_header_has(h, "rope_freqs.weight"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "rope_freqs.weight: frequencies of RoPE that were "
                        "changed (Llama 3.1 and later), by what rule it does "
                        "not say; give --config the original's config.json");
    if (gqa_gguf_header_has(h, "rope_factors_long.weight"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "rope_factors_long.weight: frequencies of RoPE that "
                        "change with the length (longrope); give --config the "
                        "original's config.json");
    return GQA_OK;
}

/* What makes llama.cpp do something else than transformers' YaRN does. */
static enum gqa_status check_yarn(const struct scaling *s)
{
    static const struct {
        const char *key;
        double usual;
    } others[] = {{"%.rope.scaling.yarn_ext_factor", 1},
                  {"%.rope.scaling.yarn_attn_factor", 1},
                  {"%.rope.scaling.yarn_log_multiplier", 0}};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const json_t *value = said(s, others[i].key);

        if (value && json_number_value(value) != others[i].usual)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s%s: YaRN by another rule, which is not read; "
                            "give --config the original's config.json",
                            s->a->name, others[i].key + 1);
    }
    return GQA_OK;
}

/* What transformers multiplies with, llama.cpp multiplies what it has for the
 * factor with. */
static void take_yarn(const struct scaling *s)
{
    const json_t *fast = said(s, "%.rope.scaling.yarn_beta_fast");
    const json_t *slow = said(s, "%.rope.scaling.yarn_beta_slow");
    const json_t *attention = said(s, "%.rope.scaling.attn_factor");

    if (json_is_number(fast))
        json_object_set(s->made, "beta_fast", (json_t *)(uintptr_t)fast);
    if (json_is_number(slow))
        json_object_set(s->made, "beta_slow", (json_t *)(uintptr_t)slow);
    if (json_is_number(attention) && json_number_value(attention) != 1)
        json_object_set_new(
            s->made, "attention_factor",
            gqa_gguf_rounded(json_number_value(attention) *
                             gqa_rope_yarn_magnitude(s->factor, 1)));
}

/* Where no kind is said, llama.cpp takes "linear", and knows an older name of
 * the factor. */
enum gqa_status gqa_gguf_scaling_read(json_t *config,
                                      const struct gqa_gguf_architecture *a,
                                      const struct gqa_gguf_header *h)
{
    struct scaling s = {.a = a, .h = h};
    const json_t *type = said(&s, "%.rope.scaling.type");
    const json_t *factor = said(&s, "%.rope.scaling.factor");
    const json_t *length = said(&s, "%.rope.scaling.original_context_length");
    const char *name = type ? json_string_value(type) : "linear";
    enum gqa_status st = check_tensors(h);

    if (st == GQA_OK)
        st = check_kinds(&s);
    if (!factor)
        factor = said(&s, "%.rope.scale_linear");
    if (st != GQA_OK || strcmp(name, "none") == 0 ||
        (strcmp(name, "linear") == 0 &&
         (!factor || json_number_value(factor) == 1)))
        return st;
    if ((strcmp(name, "linear") != 0 && strcmp(name, "yarn") != 0) ||
        !json_is_number(factor))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s.rope.scaling.type is \"%.40s\", which is not read; "
                        "give --config the original's config.json",
                        a->name, name);
    if (strcmp(name, "yarn") == 0 && (st = check_yarn(&s)) != GQA_OK)
        return st;
    s.factor = json_number_value(factor);
    s.made = json_pack("{s:s, s:f}", "rope_type", name, "factor", s.factor);
    if (s.made && json_is_integer(length))
        json_object_set_new(s.made, "original_max_position_embeddings",
                            json_integer(json_integer_value(length)));
    if (s.made && strcmp(name, "yarn") == 0)
        take_yarn(&s);
    return json_object_set_new(config, "rope_scaling", s.made) == 0
               ? GQA_OK
               : gqa_fail_nomem();
}
