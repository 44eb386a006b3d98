/* Where sequences to train on come from, as the command line says it. */
#ifndef GQA_UPTRAIN_DATA_LIST_H
#define GQA_UPTRAIN_DATA_LIST_H

#include <stddef.h>

#include "common/status.h"

enum gqa_data_kind {
    GQA_DATA_SELF,   /* the teacher draws it */
    GQA_DATA_TOKENS, /* a file of tokens */
    GQA_DATA_TEXT,   /* text for a model of bytes */
    GQA_DATA_FILE,   /* either: its beginning tells */
};

struct gqa_data_item {
    enum gqa_data_kind kind;
    char *path;   /* owned; NULL: self */
    double share; /* of all sequences, relative to the others' */
};

/* Zeroed to begin; end it with gqa_data_list_clear(). */
struct gqa_data_list {
    struct gqa_data_item *items;
    size_t n;
};

/*
 * Append "PATH" or "PATH:SHARE"; of kind FILE "self" is the teacher's. Without
 * a share it is 1; a path that ends like one has it all the same. Errors
 * GQA_ERR_USAGE: no path, a share that is none; GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_data_list_add(struct gqa_data_list *list, const char *text,
                                  size_t length, enum gqa_data_kind kind);

/* Append several, apart by commas. */
GQA_MUST_USE
enum gqa_status gqa_data_list_parse(struct gqa_data_list *list,
                                    const char *text);

void gqa_data_list_clear(struct gqa_data_list *list);

/* Of bytes at the beginning of a file: tokens as safetensors, .npy or decimal
 * numbers; else text, or, where it has zeros, FILE: neither. */
enum gqa_data_kind gqa_data_kind_of(const unsigned char *start, size_t n);

#endif
