/*
 * The keys that a description may have, each once, with what its value is and
 * which field of struct gqa_family it fills.
 */
#ifndef GQA_FORMATS_FAMILIES_SCHEMA_H
#define GQA_FORMATS_FAMILIES_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/families/setting.h"

enum gqa_field_kind {
    GQA_FIELD_TEXT,      /* const char * */
    GQA_FIELD_PATTERN,   /* likewise, with '%' once */
    GQA_FIELD_TEXTS,     /* gqa_texts: a text, or a list of them */
    GQA_FIELD_PREFIXES,  /* likewise; they may be empty */
    GQA_FIELD_FLAG,      /* bool */
    GQA_FIELD_COUNT,     /* uint64_t */
    GQA_FIELD_WORD,      /* an enum, by the names in `words` */
    GQA_FIELD_SETTING,   /* struct gqa_setting, of kind `value` */
    GQA_FIELD_DEVIATION, /* likewise, of "key" and "default" beside it */
    GQA_FIELD_JSON,      /* const json_t *, a plain value */
    GQA_FIELD_SETTINGS,  /* const json_t *, an object of settings */
    GQA_FIELD_OBJECT,    /* a struct, by the fields in `inner` */
    GQA_FIELD_LIST,      /* a pointer to such structs, and how many */
    GQA_FIELD_TYPES,     /* model types: what each says is laid over the rest */
    GQA_FIELD_LIKE,      /* a text that is read before the rest */
};

struct gqa_field {
    const char *key;
    enum gqa_field_kind kind;
    size_t offset;
    const void *more; /* const char *const *words, or struct gqa_schema */
    enum gqa_value_kind value;
    size_t count_offset;
    bool required;
};

struct gqa_schema {
    const struct gqa_field *fields; /* key NULL ends */
    size_t size;                    /* of the struct that it fills */
    bool has_given; /* it begins with a bool that says it was there */
};

extern const struct gqa_schema gqa_family_schema;

/* Values of "weights", "layout" and so on, in the order of their enums; NULL
 * ends. */
const char *const *gqa_field_words(const struct gqa_field *field);

const struct gqa_schema *gqa_field_inner(const struct gqa_field *field);

#endif
