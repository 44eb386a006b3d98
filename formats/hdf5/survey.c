#include "formats/hdf5/survey.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/hdf5/candidates.h"
#include "formats/hdf5/library/library.h"

enum { MAX_NOTES_BYTES = 1 << 16 };

struct survey {
    struct gqa_h5_file *file;
    struct gqa_h5_table *table;
    const char *base; /* the group that holds the weights; "" for the root */
    bool legacy;      /* a whole Keras model */
    struct gqa_h5_objects objects;
    struct gqa_h5_object **by_path; /* [objects.n] sorted */
    struct gqa_h5_candidates candidates;
    size_t notes_length;
};

static int compare_paths(const void *a, const void *b)
{
    const struct gqa_h5_object *const *x = a;
    const struct gqa_h5_object *const *y = b;

    return strcmp((*x)->dataset.path, (*y)->dataset.path);
}

static int compare_with_path(const void *path, const void *object)
{
    const struct gqa_h5_object *const *o = object;

    return strcmp(path, (*o)->dataset.path);
}

static struct gqa_h5_object *find(const struct survey *s, const char *path)
{
    struct gqa_h5_object **hit =
        s->objects.n == 0 ? NULL
                          : bsearch(path, s->by_path, s->objects.n,
                                    sizeof *s->by_path, compare_with_path);

    return hit ? *hit : NULL;
}

static enum gqa_status index_paths(struct survey *s)
{
    s->by_path = calloc(s->objects.n + 1, sizeof *s->by_path);
    if (!s->by_path)
        return gqa_fail_nomem();
    for (size_t i = 0; i < s->objects.n; i++)
        s->by_path[i] = &s->objects.items[i];
    qsort(s->by_path, s->objects.n, sizeof *s->by_path, compare_paths);
    return GQA_OK;
}

/* A line for the log; what does not fit is dropped. */
static enum gqa_status note(struct survey *s, const char *text)
{
    const size_t length = strlen(text);
    char *longer;

    if (s->notes_length + length + 2 > MAX_NOTES_BYTES)
        return GQA_OK;
    longer = realloc(s->table->notes, s->notes_length + length + 2);
    if (!longer)
        return gqa_fail_nomem();
    stpcpy(stpcpy(longer + s->notes_length, text), "\n");
    s->notes_length += length + 1;
    s->table->notes = longer;
    return GQA_OK;
}

static enum gqa_status note_path(struct survey *s,
                                 const struct gqa_h5_object *object,
                                 const char *what)
{
    enum gqa_status st;
    char *text;

    if (asprintf(&text, "%s: %s", object->dataset.path, what) < 0)
        return gqa_fail_nomem();
    st = note(s, text);
    free(text);
    return st;
}

/* named: the file itself calls it a weight. */
static enum gqa_status add(struct survey *s, const struct gqa_h5_object *object,
                           const char *name, bool named)
{
    const char *path = object->dataset.path;

    if (object->kind == GQA_H5_OTHER && !named)
        return note(s, object->why);
    if (object->kind == GQA_H5_REFUSED || object->kind == GQA_H5_OTHER)
        return gqa_fail(object->status, "%s", object->why);
    if (object->kind == GQA_H5_BARE_OPAQUE && !s->legacy &&
        s->table->naming != GQA_NAMES_KERAS)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: opaque elements of 2 bytes; if they are "
                        "bfloat16, say so: give the dataset the attribute "
                        "dtype=\"bfloat16\"",
                        path);
    if (strlen(name) > GQA_MAX_NAME)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: a name of more than %d bytes",
                        path, GQA_MAX_NAME);
    return gqa_h5_candidates_add(&s->candidates, object, name);
}

/*
 * A list that h5py could not store as one attribute (64 KiB) is in
 * layer_names0, layer_names1, ...
 */
static enum gqa_status read_list(struct gqa_h5_file *file,
                                 struct gqa_h5_texts *texts, bool *found,
                                 const char *path, const char *attribute)
{
    enum gqa_status st = gqa_h5_read_texts(file, texts, found, path, attribute);
    bool more = true;

    if (st != GQA_OK || *found)
        return st;
    for (unsigned i = 0; more && st == GQA_OK; i++) {
        char part[32];

        snprintf(part, sizeof part, "%s%u", attribute, i);
        st = gqa_h5_read_texts(file, texts, &more, path, part);
        *found = *found || more;
    }
    return st;
}

static enum gqa_status list_once(struct gqa_h5_object *object)
{
    if (object->listed)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the file lists %s twice; if Keras failed to save it, "
                        "as it does where two variables have one name, save "
                        "a .weights.h5",
                        object->dataset.path);
    object->listed = true;
    return GQA_OK;
}

static enum gqa_status add_listed(struct survey *s, const char *group,
                                  const char *weight, const char *name)
{
    struct gqa_h5_object *object;
    enum gqa_status st;
    char *path;

    if (asprintf(&path, "%s/%s", group, weight) < 0)
        return gqa_fail_nomem();
    object = find(s, path);
    if (!object || object->kind == GQA_H5_GROUP)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "the file lists the weight %s, but holds no dataset of "
                      "that path",
                      path);
    else if ((st = list_once(object)) == GQA_OK)
        st = add(s, object, name, true);
    free(path);
    return st;
}

/*
 * TensorFlow: "<model>/encoder/...": the model's own name says nothing.
 * Keras: the path of the variable. Some of Keras 3 begin below their layer,
 * and only together with it name one variable.
 */
static enum gqa_status add_weight(struct survey *s, const char *layer,
                                  const char *group, const char *weight)
{
    const size_t length = strlen(layer);
    const char *slash = strchr(weight, '/');
    enum gqa_status st;
    char *name;

    if (s->table->naming == GQA_NAMES_TF)
        return add_listed(s, group, weight, slash ? slash + 1 : weight);
    if (strncmp(weight, layer, length) == 0 && weight[length] == '/')
        return add_listed(s, group, weight, weight);
    if (asprintf(&name, "%s/%s", layer, weight) < 0)
        return gqa_fail_nomem();
    st = add_listed(s, group, weight, name);
    free(name);
    return st;
}

/* The weights of one top-level layer. */
static enum gqa_status add_layer(struct survey *s, const char *layer)
{
    struct gqa_h5_texts weights = {0};
    struct gqa_h5_object *object;
    enum gqa_status st;
    bool found;
    char *path;

    if (asprintf(&path, "%s/%s", s->base, layer) < 0)
        return gqa_fail_nomem();
    object = find(s, path);
    if (!object || object->kind != GQA_H5_GROUP)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "layer_names lists %s, but there is no group %s", layer,
                      path);
    else if ((st = list_once(object)) == GQA_OK &&
             (st = read_list(s->file, &weights, &found, path,
                             "weight_names")) == GQA_OK &&
             !found)
        st =
            gqa_fail(GQA_ERR_FORMAT, "%s: the group has no weight_names", path);
    for (size_t i = 0; i < weights.n && st == GQA_OK; i++)
        st = add_weight(s, layer, path, weights.items[i]);
    gqa_h5_texts_clear(&weights);
    free(path);
    return st;
}

/*
 * Groups of layers, each with its weight_names: TensorFlow's tf_model.h5
 * and the weights of a whole Keras model.
 */
static enum gqa_status add_layers(struct survey *s,
                                  const struct gqa_h5_texts *layers)
{
    static const char top_level[] = "top_level_model_weights";
    bool top_listed = false;
    enum gqa_status st = GQA_OK;
    char path[64];

    for (size_t i = 0; i < layers->n && st == GQA_OK; i++) {
        top_listed = top_listed || strcmp(layers->items[i], top_level) == 0;
        st = add_layer(s, layers->items[i]);
    }
    /* Keras writes this group since 2.6, but does not list it. */
    snprintf(path, sizeof path, "%s/%s", s->base, top_level);
    if (st == GQA_OK && !top_listed && find(s, path))
        st = add_layer(s, top_level);
    return st;
}

/* Datasets that no list names are no weights: of an optimizer, say. */
static enum gqa_status note_unlisted(struct survey *s)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < s->objects.n && st == GQA_OK; i++) {
        const struct gqa_h5_object *object = &s->objects.items[i];

        if (object->kind != GQA_H5_GROUP && !object->listed)
            st = note_path(s, object, "in no list of weights; left out");
    }
    return st;
}

/* transformers takes the model's own name from those of a shard, but leaves
 * whatever begins a name with "model." in it: of an embedding that is built in
 * a scope of its own name ("model.shared/model.shared/embeddings:0") that. */
static const char *without_scope(const char *name)
{
    const char *slash = strchr(name, '/');
    const size_t n = slash ? (size_t)(slash + 1 - name) : 0;

    return n && strstr(name, "model.") && strncmp(name, slash + 1, n) == 0
               ? slash + 1
               : name;
}

/* A shard of a tf_model.h5: layer_names lists datasets. */
static enum gqa_status add_shard(struct survey *s,
                                 const struct gqa_h5_texts *names)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < names->n && st == GQA_OK; i++)
        st = add_listed(s, s->base, names->items[i],
                        without_scope(names->items[i]));
    return st;
}

/* "block_._0" or "layers.0": how transformers' TF classes name lists. */
static bool has_tf_list(const char *name)
{
    const char *layers = strstr(name, "layers.");

    return strstr(name, "_._") ||
           (layers && isdigit((unsigned char)layers[strlen("layers.")]));
}

/* A whole Keras model may wrap one of transformers' classes. */
static enum gqa_naming find_naming(const struct survey *s)
{
    if (!s->legacy)
        return GQA_NAMES_TF;
    for (size_t i = 0; i < s->objects.n; i++)
        if (has_tf_list(s->objects.items[i].dataset.path))
            return GQA_NAMES_TF;
    return GQA_NAMES_KERAS_LEGACY;
}

static enum gqa_status name_by_lists(struct survey *s,
                                     const struct gqa_h5_texts *layers)
{
    const struct gqa_h5_object *first = NULL;
    enum gqa_status st;
    char *path;

    s->table->naming = find_naming(s);
    if (layers->n > 0) {
        if (asprintf(&path, "%s/%s", s->base, layers->items[0]) < 0)
            return gqa_fail_nomem();
        first = find(s, path);
        free(path);
    }
    st = first && first->kind != GQA_H5_GROUP ? add_shard(s, layers)
                                              : add_layers(s, layers);
    return st == GQA_OK ? note_unlisted(s) : st;
}

/* ".../vars/0"; a shard may begin at any number. */
static bool is_keras_variable(const char *path)
{
    const char *number = strrchr(path, '/') + 1;
    static const char group[] = "/vars/";
    const size_t length = sizeof group - 1;

    return (size_t)(number - path) >= length &&
           strncmp(number - length, group, length) == 0 && *number &&
           strspn(number, "0123456789") == strlen(number);
}

static bool is_keras(const struct gqa_h5_objects *objects)
{
    for (size_t i = 0; i < objects->n; i++)
        if (objects->items[i].kind != GQA_H5_GROUP &&
            is_keras_variable(objects->items[i].dataset.path))
            return true;
    return false;
}

/* What has this name is a weight, if in a form that we do not know. */
static bool is_weight_name(const char *path, bool keras)
{
    const char *dot = strrchr(path, '.');

    if (keras)
        return is_keras_variable(path);
    return dot && (strcmp(dot, ".weight") == 0 || strcmp(dot, ".bias") == 0);
}

/*
 * A state dict that was written with a slash for each dot: no dot anywhere,
 * and groups that end in weights. Its own names come back.
 */
static bool is_slashed(const struct gqa_h5_objects *objects)
{
    bool has_weight = false;

    for (size_t i = 0; i < objects->n; i++) {
        const char *path = objects->items[i].dataset.path;
        const char *last = strrchr(path, '/');

        if (objects->items[i].kind == GQA_H5_GROUP)
            continue;
        if (strchr(path, '.'))
            return false;
        has_weight =
            has_weight || (last > path && strcmp(last + 1, "weight") == 0);
    }
    return has_weight;
}

static enum gqa_status add_by_path(struct survey *s,
                                   const struct gqa_h5_object *object,
                                   bool keras, bool slashed)
{
    char *name = strdup(object->dataset.path + (keras ? 0 : 1));
    enum gqa_status st;

    if (!name)
        return gqa_fail_nomem();
    for (char *c = name; slashed && *c; c++)
        if (*c == '/')
            *c = '.';
    st = add(s, object, name, is_weight_name(name, keras));
    free(name);
    return st;
}

/* Every dataset is a weight, named by its path. */
static enum gqa_status name_by_path(struct survey *s)
{
    static const char optimizer[] = "/optimizer/";
    const bool keras = is_keras(&s->objects);
    const bool slashed = !keras && is_slashed(&s->objects);
    enum gqa_status st = GQA_OK;

    s->table->naming = keras ? GQA_NAMES_KERAS : GQA_NAMES_TORCH;
    for (size_t i = 0; i < s->objects.n && st == GQA_OK; i++) {
        const struct gqa_h5_object *object = &s->objects.items[i];
        const char *path = object->dataset.path;

        if (object->kind == GQA_H5_GROUP)
            continue;
        if (keras && strncmp(path, optimizer, sizeof optimizer - 1) == 0)
            st = note_path(s, object, "of the optimizer; left out");
        else
            st = add_by_path(s, object, keras, slashed);
    }
    if (st == GQA_OK && slashed)
        st = note(s, "names are written with / for ., and read as a state "
                     "dict's");
    return st;
}

static enum gqa_status refuse_cerebras(const struct gqa_h5_objects *objects)
{
    for (size_t i = 0; i < objects->n; i++)
        if (objects->items[i].has_type_tag)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: a Cerebras checkpoint (attribute "
                            "__H5_TYPE__), which may hold pickled code; "
                            "convert it with Cerebras' own tools first",
                            objects->items[i].dataset.path);
    return GQA_OK;
}

/* Only a whole model has a configuration inside. */
static enum gqa_status keep_config(struct survey *s)
{
    struct gqa_h5_texts texts = {0};
    bool found;
    enum gqa_status st =
        gqa_h5_read_texts(s->file, &texts, &found, "/", "model_config");

    if (st == GQA_OK && texts.n == 1) {
        if (strlen(texts.items[0]) <= GQA_H5_MAX_CONFIG_BYTES) {
            s->table->config = texts.items[0];
            texts.items[0] = NULL;
        } else {
            st = note(s, "model_config is too long and is ignored");
        }
    }
    gqa_h5_texts_clear(&texts);
    return st;
}

static enum gqa_status find_candidates(struct survey *s)
{
    struct gqa_h5_texts config = {0}, layers = {0};
    enum gqa_status st = GQA_OK;
    bool found = false;

    if (gqa_h5_exists(s->file, "/model_weights"))
        st = gqa_h5_read_texts(s->file, &config, &s->legacy, "/",
                               "model_config");
    gqa_h5_texts_clear(&config);
    s->base = s->legacy ? "/model_weights" : "";
    if (st != GQA_OK ||
        (st = gqa_h5_walk(s->file, &s->objects, s->legacy ? s->base : "/")) !=
            GQA_OK ||
        (st = refuse_cerebras(&s->objects)) != GQA_OK ||
        (st = index_paths(s)) != GQA_OK)
        return st;
    st = read_list(s->file, &layers, &found, s->legacy ? s->base : "/",
                   "layer_names");
    if (st == GQA_OK)
        st = found ? name_by_lists(s, &layers) : name_by_path(s);
    gqa_h5_texts_clear(&layers);
    if (st == GQA_OK && s->legacy)
        st = keep_config(s);
    return st;
}

static void survey_clear(struct survey *s)
{
    gqa_h5_candidates_clear(&s->candidates);
    free(s->by_path);
    gqa_h5_objects_clear(&s->objects);
}

enum gqa_status gqa_h5_survey(struct gqa_h5_table *table,
                              struct gqa_h5_file *file)
{
    struct survey s = {.file = file, .table = table, .base = ""};
    enum gqa_status st = find_candidates(&s);

    if (st == GQA_OK)
        st = gqa_h5_candidates_fill(table, &s.candidates);
    survey_clear(&s);
    return st;
}
