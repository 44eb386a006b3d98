/*
 * What a configuration says, whichever way it is spelt: each thing that
 * decides what a model computes, generates or how it is loaded, once, with
 * what transformers takes where the configuration is silent. Two that mean
 * the same have the same meaning, as before and after a re-save.
 */
#ifndef GQA_FORMATS_FAMILIES_MEANING_H
#define GQA_FORMATS_FAMILIES_MEANING_H

#include "formats/families/nested.h"

struct gqa_meaning_view {
    uint64_t n_layers; /* that windows are told of: the decoder's, if two */
    bool kv_heads;     /* their number too, which a conversion changes */
    /* What the runtime computes, and of other keys what both say: one of the
     * two is no config.json of Hugging Face, and has few of them. */
    bool network_alone;
    /* generation_config.json beside it, or NULL: it has the keys of generation
     * that newer versions no longer write into a config.json. */
    const json_t *generation;
    bool no_generation; /* that of a folder, which has no such file */
    /* Then tokens count that are said alone: transformers 5 takes them from
     * the file, and not from a class. Of the second of two. */
    bool tokens_said;
    /* Of a model that holds a language model: the family of that, whose default
     * counts where it does not say whether its embedding is tied; or NULL. */
    const struct gqa_family *inner;
};

/*
 * *out receives the meaning, an object for the functions below alone; the
 * caller owns it. config: in Hugging Face's keys.
 * Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_meaning_create(json_t **out,
                                   const struct gqa_family *family,
                                   const json_t *config,
                                   const struct gqa_meaning_view *view);

/*
 * The same of a model that holds a language model: what the configuration of
 * the whole says beside that, of other parts too. Whose tie_word_embeddings
 * counts, and what its keys stand for, `nested` tells. view: of it what stands
 * in generation_config.json counts, and the inner family.
 */
GQA_MUST_USE
enum gqa_status gqa_meaning_beside(json_t **out,
                                   const struct gqa_nested *nested,
                                   const json_t *whole,
                                   const struct gqa_meaning_view *view);

/* The first key that is null where loaders need a value, lent; or NULL. */
const char *gqa_meaning_refused(const json_t *meaning);

/* The same of a configuration; it is copied into room of size bytes, "" where
 * there is none. Errors GQA_ERR_NOMEM. */
GQA_MUST_USE
enum gqa_status gqa_config_null(char *room, size_t size,
                                const struct gqa_family *family,
                                const json_t *config);

/* Add what one key says to a meaning that is made of such alone, as of
 * generation_config.json. value: lent. */
void gqa_meaning_state(json_t *meaning, const char *key, const json_t *value);

/*
 * *out receives a list of {"key", "first", "second"}, one for each thing that
 * they say differently, with what the keys say or stand for; a value that
 * there is not is left out. first: of what was there before. The caller owns
 * the list. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_meaning_compare(json_t **out, const json_t *first,
                                    const json_t *second);

#endif
