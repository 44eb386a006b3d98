/*
 * Everything that a report may want of one checkpoint, found out once.
 */
#ifndef GQA_INSPECT_INSPECTION_H
#define GQA_INSPECT_INSPECTION_H

#include <jansson.h>

#include "formats/checkpoint.h"
#include "formats/model/heads_said.h"
#include "formats/model/model.h"
#include "inspect/kv_cache.h"
#include "inspect/options.h"
#include "inspect/similarity.h"
#include "inspect/stats.h"
#include "inspect/trade_off.h"

/* Where a context's length came from. */
enum gqa_context_origin {
    GQA_CONTEXT_OPTION,
    GQA_CONTEXT_CONFIG,
    GQA_CONTEXT_DEFAULT,
};

struct gqa_inspection {
    struct gqa_inspect_options show;
    struct gqa_family_file *family; /* --family, or NULL */
    struct gqa_checkpoint *checkpoint;
    /* NULL where the summary is not wanted, or the model not understood. */
    struct gqa_model *model;
    char *model_unknown;           /* why, else NULL */
    enum gqa_status model_refused; /* likewise, else GQA_OK */
    /* Of one that is not understood, by its configuration. */
    bool has_said;
    struct gqa_heads_said said;
    json_t *adapter; /* adapter_config.json, or NULL */
    /* What the model lacks or has too much; NULL: nothing, or no model. */
    char *faults;
    json_t *readings; /* texts: what loaders read in two ways; or NULL */
    /*
     * Param index of each attention's output bias, or GQA_NO_PARAM. A
     * slice of o has none, since it does not divide among heads.
     */
    size_t *output_bias; /* [n_attentions] */
    bool has_recipe;

    /* Tensors as stored; transforms of conversions are counted apart. */
    size_t *tensors; /* [n_tensors], indices */
    size_t n_tensors, n_transforms;
    uint64_t tensor_bytes, transform_bytes;
    size_t n_unwritten;                   /* tensors, or in part */
    uint64_t n_parameters;                /* of the model */
    size_t n_grouped;                     /* attentions with fewer KV heads */
    struct gqa_kv_per_token kv_per_token; /* of the model */

    /* Each NULL unless asked for. */
    json_t *recipe;
    struct gqa_stats *stats;
    struct gqa_kv_plan *kv_plan;
    enum gqa_context_origin context_origin;
    struct gqa_similarity *similarity;
    struct gqa_trade_off *trade_off;
};

/*
 * Open and examine options->path. A model that is not understood, for whatever
 * reason, leaves its tensors to be shown, where these can be read.
 *
 * out    receives the inspection on GQA_OK; the caller ends it with
 *        gqa_inspection_free(). It keeps a copy of the options.
 * Errors as gqa_checkpoint_open(), gqa_model_create() but for the above,
 *        gqa_recipe_load(), gqa_stats_create(), gqa_kv_plan_create(),
 *        gqa_similarity_create(), gqa_trade_off_create().
 */
GQA_MUST_USE
enum gqa_status gqa_inspection_create(
    struct gqa_inspection **out, const struct gqa_inspect_options *options);
/*
 * What is wrong with the model: after the report, so that it is the last that
 * is seen. What it lacks and one that we do not handle are warned of; one that
 * contradicts itself, or that needs an option, is an error:
 * GQA_ERR_FORMAT, GQA_ERR_USAGE.
 */
GQA_MUST_USE
enum gqa_status gqa_inspection_judge(const struct gqa_inspection *inspection);
void gqa_inspection_free(struct gqa_inspection *inspection);

/*
 * The groups to draw of an attention: what was asked for, else what the plan
 * chose, else half. Lent; NULL: heads cannot share.
 */
const struct gqa_sharing_choice *gqa_inspection_drawn(
    const struct gqa_inspection *inspection, size_t attention);

/* The file that a tensor lies in. Lent. */
const struct gqa_source *gqa_inspection_source_of(
    const struct gqa_inspection *inspection, size_t tensor);

#endif
