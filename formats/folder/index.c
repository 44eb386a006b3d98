#include "formats/folder/index.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/advice.h"
#include "common/json.h"
#include "common/log.h"
#include "formats/families/keras_paths.h"
#include "formats/formats.h"
#include "formats/start.h"

/* As for the header of a safetensors file: names of as many tensors. */
static enum gqa_status check_file_name(const char *path, const char *name)
{
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strchr(name, '/'))
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: weight_map names the file \"%.200s\"; only bare "
                        "names of files beside the index are allowed",
                        path, name);
    return GQA_OK;
}

/* A value of weight_map is a file or a list of files. */
static size_t n_files(const json_t *value)
{
    return json_is_array(value) ? json_array_size(value) : 1;
}

static const char *file_at(const json_t *value, size_t i)
{
    return json_string_value(json_is_array(value) ? json_array_get(value, i)
                                                  : value);
}

static enum gqa_status collect_names(struct gqa_index *index, const char *path,
                                     const char *key, const json_t *value)
{
    for (size_t i = 0; i < n_files(value); i++) {
        const char *file = file_at(value, i);
        enum gqa_status st;

        if (!file)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: the file of \"%.200s\" in weight_map is not "
                            "a string",
                            path, key);
        if ((st = check_file_name(path, file)) != GQA_OK)
            return st;
        if (json_object_set_new(index->names, file, json_true()) != 0)
            return gqa_fail_nomem();
    }
    if (n_files(value) == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: weight_map names no file for \"%.200s\"", path,
                        key);
    return GQA_OK;
}

static int compare_files(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;

    return strcmp(*x, *y);
}

/* What another JSON file is, in place of "no weight_map". */
static enum gqa_status refuse_json(const char *path, const json_t *root)
{
    if (json_object_get(root, "model_type") ||
        json_object_get(root, "architectures") ||
        json_object_get(root, "registered_name"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: a configuration, not weights; give the folder or "
                        "the file of weights%s",
                        path, gqa_advice(GQA_ADVICE_THIS_CONFIG));
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: a JSON file, but no index of a checkpoint (it has no "
                    "weight_map)",
                    path);
}

static enum gqa_status sort_names(struct gqa_index *index)
{
    json_t *value;
    const char *name;

    index->files = calloc(json_object_size(index->names), sizeof(char *));
    if (!index->files)
        return gqa_fail_nomem();
    json_object_foreach(index->names, name, value)
    {
        index->files[index->n_files++] = name;
    }
    qsort(index->files, index->n_files, sizeof(char *), compare_files);
    return GQA_OK;
}

enum gqa_status gqa_index_load(struct gqa_index *index, const char *path)
{
    json_t *value;
    const char *key;
    enum gqa_status st =
        gqa_json_load_list(&index->root, path, 2 * GQA_JSON_MAX_BYTES);

    if (st != GQA_OK)
        return st;
    index->weight_map = json_object_get(index->root, "weight_map");
    if (!index->weight_map)
        return refuse_json(path, index->root);
    if (json_object_size(index->weight_map) == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: weight_map is not an object that names tensors",
                        path);
    index->names = json_object();
    if (!index->names)
        return gqa_fail_nomem();
    json_object_foreach(index->weight_map, key, value)
    {
        if ((st = collect_names(index, path, key, value)) != GQA_OK)
            return st;
    }
    return sort_names(index);
}

void gqa_index_clear(struct gqa_index *index)
{
    json_decref(index->root);
    json_decref(index->names);
    free(index->files);
    memset(index, 0, sizeof *index);
}

/* Whether the tensor called `name` lies in the file. */
static bool is_in_file(const struct gqa_index *index,
                       const struct gqa_tensor_table *table, const char *name,
                       const char *file)
{
    const struct gqa_tensor_ref *ref = gqa_tensor_table_find(table, name);

    return ref && strcmp(index->files[ref->source], file) == 0;
}

/* Whether the file holds a variable of the layer whose "vars" key names. */
static bool has_variable(const struct gqa_index *index,
                         const struct gqa_tensor_table *table, const char *key,
                         const char *file)
{
    const size_t length = strlen(key);

    for (size_t i = gqa_tensor_table_lower_bound(table, key); i < table->n;
         i++) {
        const struct gqa_tensor_ref *ref = table->by_name[i];
        const char *name = ref->tensor->name;

        if (strncmp(name, key, length) != 0)
            return false;
        if (name[length] == '/' && strcmp(index->files[ref->source], file) == 0)
            return true;
    }
    return false;
}

static bool matches(const struct gqa_index *index,
                    const struct gqa_tensor_table *table,
                    enum gqa_naming naming, const char *key, const char *file)
{
    const char *slash = strchr(key, '/');

    if (naming == GQA_NAMES_KERAS)
        return has_variable(index, table, key, file);
    if (is_in_file(index, table, key, file))
        return true;
    return naming != GQA_NAMES_TORCH && slash &&
           is_in_file(index, table, slash + 1, file);
}

bool gqa_index_keeps(void *ctx, size_t source, const char *name)
{
    struct gqa_index *index = ctx;
    const json_t *value = json_object_get(index->weight_map, name);

    for (size_t i = 0; value && i < n_files(value); i++)
        if (strcmp(file_at(value, i), index->files[source]) == 0)
            return true;
    if (index->n_left_out++ == 0) {
        snprintf(index->left_out, sizeof index->left_out, "%s", name);
        index->left_out_of = source;
    }
    return false;
}

void gqa_index_say_left_out(const struct gqa_index *index, const char *path)
{
    if (index->n_left_out > 0)
        gqa_warn("%s: %zu of the tensors in its files left out, as the index "
                 "does not name them there; the first is %s of %s",
                 path, index->n_left_out, index->left_out,
                 index->files[index->left_out_of]);
}

enum gqa_status gqa_index_check(const struct gqa_index *index,
                                const struct gqa_tensor_table *table,
                                enum gqa_naming naming)
{
    const json_t *value;
    const char *key;

    json_object_foreach(index->weight_map, key, value)
    {
        /* Of a model that was compiled: not among what was read. */
        if (naming == GQA_NAMES_KERAS && gqa_keras_is_training_state(key))
            continue;
        for (size_t i = 0; i < n_files(value); i++)
            if (!matches(index, table, naming, key, file_at(value, i)))
                return gqa_fail(GQA_ERR_FORMAT,
                                "\"%.200s\" is not in %s, where the index "
                                "puts it; do index and files belong together?",
                                key, file_at(value, i));
    }
    return GQA_OK;
}

static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    *is = gqa_start_is_json(start);
    return GQA_OK;
}

/* Which names are looked for, the formats of the files say. */
const struct gqa_format gqa_format_index = {
    .recognise = recognise,
    .is_index = true,
    .endings = (const struct gqa_name_ending[]){{.text = ".index.json"},
                                                {.text = ".weights.json"},
                                                {0}},
};
