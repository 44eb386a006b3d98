/*
 * A value of a family's description that the configuration may decide:
 *
 *     1e-5                                               as it stands
 *     {"key": "rms_norm_eps", "default": 1e-6}           what the key says
 *     {"key": ["a", "b.c"], "map": {"gelu": "gelu_new"}} the first that is
 *                                                        there, translated
 *
 * A null in the configuration is false where that is one of two values, and
 * what the setting says it stands for ("null": VALUE); else as good as no key
 * here, where loaders that need a value stop (gqa_meaning_refused()).
 */
#ifndef GQA_FORMATS_FAMILIES_SETTING_H
#define GQA_FORMATS_FAMILIES_SETTING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

/* Texts, of which the first is preferred; NULL ends. */
typedef const char *const *gqa_texts;

/* What a setting's value may be. */
enum gqa_value_kind {
    GQA_VALUE_ANY,
    GQA_VALUE_FLAG,
    GQA_VALUE_POSITIVE,  /* a finite number above 0; of null a description
                            may say 0: nothing */
    GQA_VALUE_FROM_ZERO, /* a finite number of at least 0 */
    GQA_VALUE_WHOLE,     /* a whole number of at least 1 */
    GQA_VALUE_ALIKE,   /* likewise, or a list of the same one, of each layer */
    GQA_VALUE_WINDOW,  /* likewise; a description may say 0: none */
    GQA_VALUE_TOKEN,   /* a whole number, 0 among them */
    GQA_VALUE_SHARE,   /* a number in (0, 1] */
    GQA_VALUE_DROPOUT, /* a number in [0, 1) */
    GQA_VALUE_TEXT,
    GQA_VALUE_MODULE,   /* a text, or null: no such module */
    GQA_VALUE_PRESENCE, /* true, false or "optional" */
    GQA_VALUE_RESIDUAL, /* "sequential" or "parallel" */
    GQA_VALUE_STREAM,   /* a number of at least 0, or "sqrt_2n_layers" */
    GQA_VALUE_SCORES,   /* a number above 0, "head_dim" or "rhead_dim" */
    GQA_VALUE_WIDTH,    /* a number above 0, or "sqrt_d_model" */
    GQA_VALUE_RWIDTH,   /* a number above 0, or "rsqrt_d_model" */
    GQA_VALUE_HEADS,    /* a whole number of at least 1, or "n_heads" */
};

struct gqa_setting {
    const json_t *json; /* lent by the description; NULL: it has no such key */
    enum gqa_value_kind kind;
};

/* "true or false", for messages. */
const char *gqa_value_kind_text(enum gqa_value_kind kind);

/* Is the value one of this kind? */
bool gqa_value_fits(const json_t *value, enum gqa_value_kind kind);

/* True for {"key": ...}: a value that is not there as it stands. */
bool gqa_is_setting(const json_t *json);

/*
 * The value that holds with this configuration, of the setting's kind and
 * lent by it or by the description. *out is NULL where neither says any, or
 * where it is null. key: receives the key that said it, else NULL; may be
 * NULL.
 *
 * Errors GQA_ERR_FORMAT, naming the key and its value.
 */
GQA_MUST_USE
enum gqa_status gqa_setting_get(const json_t **out, const char **key,
                                const struct gqa_setting *setting,
                                const json_t *config);

/* The last of a setting's keys, which transformers 4 knows where newer ones
 * come before it. NULL: no key decides. Lent by the description. */
const char *gqa_setting_last_key(const struct gqa_setting *setting);

/* Of settings within each other the one whose keys say what holds with this
 * configuration; lent by the description. NULL: it is none. */
const json_t *gqa_setting_last(const struct gqa_setting *setting,
                               const json_t *config);

/* Each leaves *out as it is where nothing is said. Errors as above. */
GQA_MUST_USE
enum gqa_status gqa_setting_number(double *out,
                                   const struct gqa_setting *setting,
                                   const json_t *config);
GQA_MUST_USE
enum gqa_status gqa_setting_count(uint64_t *out,
                                  const struct gqa_setting *setting,
                                  const json_t *config);
GQA_MUST_USE
enum gqa_status gqa_setting_flag(bool *out, const struct gqa_setting *setting,
                                 const json_t *config);
/* Lent as above. */
GQA_MUST_USE
enum gqa_status gqa_setting_text(const char **out,
                                 const struct gqa_setting *setting,
                                 const json_t *config);

/* The texts that the description itself has for it, one by one from 0 on; NULL
 * behind the last. */
const char *gqa_setting_choice(const struct gqa_setting *setting, size_t i);

/* The value of a key that may be dotted ("rope_parameters.rope_theta"); NULL:
 * none. */
const json_t *gqa_config_at(const json_t *config, const char *key);

/* A value as text, for messages: "[1,2]"; cut to fit. */
void gqa_value_text(char *out, size_t size, const json_t *value);

#endif
