/* What architecture.c reads of each architecture. */
#ifndef GQA_FORMATS_GGUF_ARCHITECTURE_TABLE_H
#define GQA_FORMATS_GGUF_ARCHITECTURE_TABLE_H

#include "formats/gguf/architecture.h"

/* '%' stands for a layer's number. */
struct gqa_gguf_name {
    const char *theirs;
    const char *ours; /* NULL: nothing that the original has */
    enum gqa_gguf_order order;
    bool is_of_keys; /* paired: heads of keys, not of queries */
};

/* '%' at the beginning stands for the architecture. */
struct gqa_gguf_key {
    const char *ours, *theirs;
    bool is_optional;
    bool may_differ; /* from layer to layer: a list there, too */
};

struct gqa_gguf_architecture {
    const char *name; /* llama.cpp's */
    const char *model_type, *class;
    const struct gqa_gguf_name *names; /* ends in one of NULL */
    const struct gqa_gguf_key *keys;   /* likewise */
    const char *share; /* the key of the share of heads that RoPE turns; NULL:
                          it turns all, or there is no RoPE */
    const char *bias, *mlp_bias; /* that tell whether there are; NULL: none */
    const char *extra;           /* JSON: what is always so; or NULL */
};

/* Ends in one without a name. */
extern const struct gqa_gguf_architecture gqa_gguf_architectures[];

#endif
