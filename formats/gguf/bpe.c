#include "formats/gguf/bpe.h"

#include <string.h>

#define WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define REST  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static bool is_of_type(const json_t *part, const char *type)
{
    const char *said = json_string_value(json_object_get(part, "type"));

    return said && strcmp(said, type) == 0;
}

/* Part i of what cuts a text, which may be one alone; NULL: there are no more.
 */
static const json_t *part_at(const json_t *tokenizer, size_t i)
{
    const json_t *cuts = json_object_get(tokenizer, "pre_tokenizer");

    if (is_of_type(cuts, "Sequence"))
        return json_array_get(json_object_get(cuts, "pretokenizers"), i);
    return i == 0 ? cuts : NULL;
}

static const json_t *find_part(const json_t *tokenizer, const char *type)
{
    const json_t *part;

    for (size_t i = 0; (part = part_at(tokenizer, i)); i++)
        if (is_of_type(part, type))
            return part;
    return NULL;
}

bool gqa_bpe_is(const json_t *tokenizer)
{
    const json_t *model = json_object_get(tokenizer, "model");

    return is_of_type(model, "BPE") && find_part(tokenizer, "ByteLevel") &&
           json_string_length(
               json_object_get(model, "continuing_subword_prefix")) == 0 &&
           json_string_length(json_object_get(model, "end_of_word_suffix")) ==
               0;
}

static const char *name_of_split(const json_t *split)
{
    static const struct {
        const char *pattern, *name;
    } known[] = {
        {WORDS "\\p{N}{1,3}" REST, "llama-bpe"},
        {WORDS "\\p{N}" REST, "qwen2"},
    };
    const char *pattern = json_string_value(
        json_object_get(json_object_get(split, "pattern"), "Regex"));

    for (size_t i = 0; pattern && i < sizeof known / sizeof *known; i++)
        if (strcmp(pattern, known[i].pattern) == 0)
            return known[i].name;
    return NULL;
}

const char *gqa_bpe_cut_name(const json_t *tokenizer)
{
    const json_t *bytes = find_part(tokenizer, "ByteLevel");
    const json_t *split = find_part(tokenizer, "Split");
    const json_t *digits = find_part(tokenizer, "Digits");
    const bool has_own = !json_is_false(json_object_get(bytes, "use_regex"));
    const size_t n = 1 + (size_t)(split != NULL) + (size_t)(digits != NULL);

    if (part_at(tokenizer, n) || (split && (digits || has_own)))
        return NULL;
    if (split)
        return name_of_split(split);
    if (!has_own)
        return NULL;
    if (!digits)
        return "gpt-2";
    return json_is_true(json_object_get(digits, "individual_digits"))
               ? "starcoder"
               : NULL;
}

/* Composed characters are what texts come in. */
static bool changes_texts(const json_t *tokenizer)
{
    const json_t *normalizer = json_object_get(tokenizer, "normalizer");

    return normalizer && !json_is_null(normalizer) &&
           !is_of_type(normalizer, "NFC");
}

const char *gqa_bpe_differs(const json_t *tokenizer, const json_t *config)
{
    static const char key[] = "add_prefix_space";
    const char *name = gqa_bpe_cut_name(tokenizer);
    const bool whole = json_is_true(
        json_object_get(json_object_get(tokenizer, "model"), "ignore_merges"));

    if (!name)
        return "by what rule its tokenizer cuts a text into words is not known "
               "here; the file says 'default' (tokenizer.ggml.pre)";
    /* Versions of transformers go by one or the other. */
    if (json_is_true(json_object_get(find_part(tokenizer, "ByteLevel"), key)) ||
        json_is_true(json_object_get(config, key)))
        return "its tokenizer puts a space before a text (add_prefix_space), "
               "which llama.cpp does not with such vocabularies";
    if (changes_texts(tokenizer))
        return "its tokenizer changes texts before it cuts them (normalizer), "
               "which llama.cpp does not with such vocabularies";
    if (whole != (strcmp(name, "llama-bpe") == 0))
        return whole ? "its tokenizer takes words that are tokens whole "
                       "(ignore_merges), which llama.cpp does not where they "
                       "are cut as here"
                     : "its tokenizer merges words that are tokens, too "
                       "(ignore_merges), which llama.cpp takes whole where "
                       "they are cut as here";
    return NULL;
}
