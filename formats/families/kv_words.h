/*
 * Numbers of KV heads that stand where no family's description looks: in
 * lists for each block of a config.json, and in the files of other programs.
 */
#ifndef GQA_FORMATS_FAMILIES_KV_WORDS_H
#define GQA_FORMATS_FAMILIES_KV_WORDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What a number under a key is. */
enum gqa_kv_word {
    GQA_KV_NOTHING,
    GQA_KV_HEADS, /* KV heads */
    GQA_KV_SHARE, /* query heads that share one */
};

enum gqa_kv_word gqa_kv_word(const char *key);

/*
 * Whether some number of KV heads, however deep in value, is not this one; 0:
 * whether there is any.
 */
bool gqa_kv_words_differ(const json_t *value, uint64_t n_kv_heads);

/* The same of a text that is no JSON: YAML, INI and the like. */
bool gqa_kv_words_differ_in_text(const char *text, uint64_t n_kv_heads);

/*
 * KV heads of a layer, where a list of config with an element for each of
 * n_layers tells them; n_heads: its query heads. 0: none does.
 */
uint64_t gqa_kv_words_of_layer(const json_t *config, uint64_t layer,
                               uint64_t n_layers, uint64_t n_heads);

/* A copy of what stands under the key, in which all such numbers are null; the
 * caller owns it. NULL: out of memory, as gqa_json_check() tells. */
json_t *gqa_kv_words_hide(const char *key, const json_t *value);

#endif
