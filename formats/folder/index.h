/*
 * The index of a checkpoint in shards: a JSON object whose weight_map says
 * which file holds which tensor. Three writers, three spellings:
 *
 *   Hugging Face  model.safetensors.index.json   tensor name: file
 *   TensorFlow    tf_model.h5.index.json         variable name, with the
 *                 model's name in front of what the file calls it: file
 *   Keras 3       model.weights.json             path of a layer's "vars":
 *                 file, or the list of files that share it
 */
#ifndef GQA_FORMATS_FOLDER_INDEX_H
#define GQA_FORMATS_FOLDER_INDEX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/status.h"
#include "formats/source.h"
#include "formats/tensor_table.h"

/* Zero-initialise; gqa_index_clear() frees what loading put in. */
struct gqa_index {
    json_t *root;
    json_t *weight_map; /* lent by root */
    json_t *names;      /* the keys: each file once */
    const char **files; /* [n_files] bare names, sorted, lent by names */
    size_t n_files;
    /* Tensors that are in its files and do not count; the first of them. */
    size_t n_left_out, left_out_of;
    char left_out[GQA_MAX_NAME + 1];
};

/*
 * Load an index. Every file it names is a bare name: nothing outside the
 * index's own folder can be meant.
 *
 * Errors GQA_ERR_IO, GQA_ERR_NOMEM; GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED: no
 *        JSON, or JSON that is no index. The message begins with path.
 */
GQA_MUST_USE
enum gqa_status gqa_index_load(struct gqa_index *index, const char *path);
void gqa_index_clear(struct gqa_index *index);

/*
 * For a struct gqa_tensor_filter, where names are spelled alike
 * (GQA_NAMES_TORCH): a tensor counts in the file where the index puts it.
 * Others are left over, or replaced by that of another file. ctx: the index.
 */
bool gqa_index_keeps(void *ctx, size_t source, const char *name);

/* A warning, where there are such. path: of the index. */
void gqa_index_say_left_out(const struct gqa_index *index, const char *path);

/*
 * Check that each tensor of the index is in the file it names.
 * table: of the opened files, in the order of index->files.
 * Errors GQA_ERR_FORMAT; the message has no path.
 */
GQA_MUST_USE
enum gqa_status gqa_index_check(const struct gqa_index *index,
                                const struct gqa_tensor_table *table,
                                enum gqa_naming naming);

#endif
