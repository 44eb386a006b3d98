/*
 * What becomes of each parameter: copied, or put together from segments of
 * itself along the axis its heads lie on. Made from the model description
 * alone, before any data is read.
 */
#ifndef GQA_CONVERT_PLAN_H
#define GQA_CONVERT_PLAN_H

#include <stdbool.h>

#include "align/align.h"
#include "formats/model/inventory.h"

enum gqa_method {
    GQA_METHOD_MEAN,
    GQA_METHOD_FIRST,
    GQA_METHOD_RANDOM,
    GQA_METHOD_ALIGNED, /* transforms of align/align.h */
};

/* Bits of gqa_plan_options.attentions. */
enum {
    GQA_SELECT_ENCODER = 1,
    GQA_SELECT_DECODER_SELF = 2,
    GQA_SELECT_DECODER_CROSS = 4,
    GQA_SELECT_DECODER = GQA_SELECT_DECODER_SELF | GQA_SELECT_DECODER_CROSS,
    GQA_SELECT_ALL = GQA_SELECT_ENCODER | GQA_SELECT_DECODER,
};

/* Layers first..last keep as many KV heads as are asked for. */
struct gqa_layer_groups {
    uint64_t first, last, asked;
};

struct gqa_plan_options {
    uint64_t asked; /* KV heads, --groups; 0: only what layer_groups says */
    const struct gqa_layer_groups *layer_groups;
    size_t n_layer_groups;
    /* By attention, lent: KV heads of those that are selected, in place of
     * both; NULL: as asked. */
    const uint64_t *chosen;
    unsigned attentions; /* GQA_SELECT_... */
    enum gqa_method method;
    uint64_t seed;
    /* Aligned: heads are transformed, each by itself, and none share; asked and
     * layer_groups say nothing. */
    bool no_pooling;
    bool expand;
    bool remote_code; /* of a folder: with a module that loads grouped heads */
    /* Pooled heads stand where the source's stood, as often as those did: what
     * the source's own network can run. */
    bool in_place;
    bool keep_dtype;
    enum gqa_dtype dtype; /* unless keep_dtype */
    /* Of each parameter, lent: which of them change their type; NULL: all. */
    const enum gqa_param_role *roles;
};

enum gqa_segment_kind {
    GQA_SEGMENT_COPY,   /* from source, as it is */
    GQA_SEGMENT_MEAN,   /* mean of n_sources stretches */
    GQA_SEGMENT_RANDOM, /* drawn afresh */
    GQA_SEGMENT_ZERO,   /* a bias drawn afresh */
    GQA_SEGMENT_MIX,    /* a matrix times n_sources stretches */
    GQA_SEGMENT_NORM,   /* one number, that of a norm of pooled keys */
};

enum gqa_mixed_part { GQA_MIX_Q, GQA_MIX_K, GQA_MIX_V, GQA_MIX_O };

/*
 * A stretch of an output parameter along its axis. Stretch j of the source
 * begins at source + j * source_stride and has the same length; that of a mix,
 * where gqa_plan_source() says.
 */
struct gqa_segment {
    enum gqa_segment_kind kind;
    uint64_t start, length;
    uint64_t source, source_stride, n_sources;
    uint64_t stream; /* random: equal streams give equal numbers */
    /* Copies and means: the sources' elements times the weights of the norm of
     * this attention's keys, at the same places, where these differ. */
    bool has_norm;
    /* Mix: [length, n_sources * length], head `head` of an attention's
     * transforms. */
    size_t attention;
    enum gqa_mixed_part part;
    uint64_t head;
};

struct gqa_plan_tensor {
    const struct gqa_param *param; /* lent by the model */
    enum gqa_dtype dtype;
    unsigned rank;
    uint64_t shape[GQA_MAX_RANK];
    uint64_t rows, cols; /* of the output, as gqa_param has them */
    uint64_t n_bytes;
    unsigned axis;
    struct gqa_segment *segments; /* NULL: the whole parameter, unchanged */
    size_t n_segments;
    double deviation; /* random: standard deviation */
};

/* An attention before and after. */
struct gqa_plan_attention {
    const struct gqa_attention *attention; /* lent by the model */
    /* KV heads: those there are, those that differ after conversion, and
     * those written: as many as pooled, or n_heads where they are expanded. */
    uint64_t source, pooled, written;
    bool selected;
};

struct gqa_plan {
    const struct gqa_model *model; /* lent */
    struct gqa_plan_options options;
    struct gqa_plan_tensor *tensors; /* one for each parameter, same order */
    struct gqa_plan_attention *attentions; /* one for each of the model */
    /* Lent; made between planning and producing, where the method wants it. */
    const struct gqa_alignment *alignment;
};

/*
 * Plan the conversion of a model, which must outlive the plan. options is
 * copied but for layer_groups, chosen and roles, which must live on.
 *
 * Errors GQA_ERR_USAGE: a count that does not divide (the message lists
 *        those that do), layers or stacks the model does not have;
 *        GQA_ERR_UNSUPPORTED: K or V of integers, or quantised.
 */
GQA_MUST_USE
enum gqa_status gqa_plan_create(struct gqa_plan **out,
                                const struct gqa_model *model,
                                const struct gqa_plan_options *options);
void gqa_plan_free(struct gqa_plan *plan);

/* Whether an attention is among those that are to be grouped. */
bool gqa_plan_selects(const struct gqa_plan_options *options,
                      const struct gqa_attention *a);

/*
 * What was learnt of the model, lent: heads that only come to stand elsewhere,
 * and tables that go with them, are taken from there. Before a producer is
 * made. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_plan_align(struct gqa_plan *plan,
                               const struct gqa_alignment *alignment);

/* Whether q, k, v and o of an attention are transformed. */
bool gqa_plan_is_aligned(const struct gqa_plan *plan,
                         const struct gqa_plan_attention *attention);

/* A parameter that was fitted anew, in its own dtype; NULL: it was not. */
const void *gqa_plan_fitted(const struct gqa_plan *plan, size_t param);

/* A mixed segment's head of a parameter where it was fitted anew, in the
 * parameter's dtype: [length, inputs]; NULL: it was not. */
const void *gqa_plan_fitted_head(const struct gqa_plan *plan,
                                 const struct gqa_param *param,
                                 const struct gqa_segment *segment);

/* Where stretch j of a mixed segment's sources begins. */
uint64_t gqa_plan_source(const struct gqa_plan *plan,
                         const struct gqa_segment *segment, uint64_t j);

/* The matrix of a mixed segment. */
const double *gqa_plan_mix(const struct gqa_plan *plan,
                           const struct gqa_segment *segment);

const char *gqa_method_name(enum gqa_method method);

#endif
