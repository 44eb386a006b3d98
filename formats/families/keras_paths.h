/* Paths of Keras variables, before any family's rules are held against them. */
#ifndef GQA_FORMATS_FAMILIES_KERAS_PATHS_H
#define GQA_FORMATS_FAMILIES_KERAS_PATHS_H

#include <stdbool.h>
#include <stddef.h>

/* Deeper than any model is wrapped. */
enum { GQA_KERAS_MAX_PREFIXES = 8 };

/*
 * Whether it was saved beside the weights and is no part of the model: of an
 * optimizer, a metric or a generator of random numbers. The path of a variable,
 * or of the group that holds some.
 */
bool gqa_keras_is_training_state(const char *path);

/*
 * The path that rules are written for, but for what a model is wrapped in:
 * without the leading '/', and in a .weights.h5 without "vars/" and without
 * leading underscores, which some versions of a class have. The caller frees
 * it; NULL when memory runs out.
 */
char *gqa_keras_normal_path(const char *name, bool legacy);

/*
 * What a model may be wrapped in: "" first, then the component that most paths
 * begin with, then with the one that most of these have next, and so on
 * ("layers/llama_backbone/layers/"). Each is a beginning of the path that
 * `at` numbers, of that length. NULL paths do not count.
 */
struct gqa_keras_prefix {
    size_t at, length;
};
struct gqa_keras_prefixes {
    struct gqa_keras_prefix items[GQA_KERAS_MAX_PREFIXES];
    size_t n;
};

/* False when memory runs out. */
bool gqa_keras_find_prefixes(struct gqa_keras_prefixes *out, char *const *paths,
                             size_t n);

#endif
