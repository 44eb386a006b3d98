#include "formats/torch/state_dict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* As deep as trainers put them: "state", "model", "module". */
enum { MAX_DEPTH = 4, MAX_SHOWN = 8 };

struct search {
    const struct gqa_pickle_values *v;
    const char *name; /* of the one that is wanted, or NULL */
    bool is_named;    /* there is one of that name */
    uint32_t named;
    bool wants_matrices;
    unsigned char *was_seen; /* [n_values] */
    size_t n;                /* dictionaries that were found */
    uint32_t found;          /* the first */
    char paths[512];         /* of all, for people */
};

/* The values of a dictionary, one after another: *item is moved behind the
 * pair; false: there is none. */
static bool next_pair(const struct gqa_pickle_values *v, uint32_t *item,
                      uint32_t *key, uint32_t *value)
{
    if (*item == 0)
        return false;
    *key = v->items[*item].value;
    *item = v->items[*item].next;
    *value = v->items[*item].value;
    *item = v->items[*item].next;
    return true;
}

static uint32_t first_item(const struct gqa_pickle_values *v, uint32_t dict)
{
    return v->values[dict].n > 0 ? v->values[dict].is.items.first : 0;
}

static const struct gqa_pickle_tensor *tensor_of(
    const struct gqa_pickle_values *v, uint32_t value)
{
    return gqa_pickle_kind_of(v, value) == GQA_PICKLE_TENSOR
               ? &v->tensors[v->values[value].is.at]
               : NULL;
}

static bool is_candidate(const struct search *s, uint32_t dict)
{
    uint32_t item = first_item(s->v, dict), key, value;

    while (next_pair(s->v, &item, &key, &value)) {
        const struct gqa_pickle_tensor *t = tensor_of(s->v, value);

        if (t && gqa_pickle_kind_of(s->v, key) == GQA_PICKLE_TEXT &&
            (t->rank >= 2 || !s->wants_matrices))
            return true;
    }
    return false;
}

static void note(struct search *s, uint32_t dict, const char *path)
{
    const size_t n = strlen(s->paths);

    if (s->n++ == 0)
        s->found = dict;
    if (s->n <= MAX_SHOWN)
        snprintf(s->paths + n, sizeof s->paths - n, "%s%.50s", n ? ", " : "",
                 *path ? path : "(all)");
    else if (s->n == MAX_SHOWN + 1)
        snprintf(s->paths + n, sizeof s->paths - n, ", ...");
}

/* Each dictionary is looked into once, however often it is referred to. */
static void look(struct search *s, uint32_t value, const char *path,
                 unsigned depth)
{
    uint32_t item, key, below;

    if (gqa_pickle_kind_of(s->v, value) != GQA_PICKLE_DICT)
        return;
    /* The same one may go by several names. */
    if (s->name && strcmp(path, s->name) == 0 && is_candidate(s, value)) {
        s->named = value;
        s->is_named = true;
    }
    if (s->was_seen[value])
        return;
    s->was_seen[value] = 1;
    if (is_candidate(s, value)) {
        note(s, value, path);
        return;
    }
    if (depth == MAX_DEPTH)
        return;
    item = first_item(s->v, value);
    while (next_pair(s->v, &item, &key, &below)) {
        char name[200];

        if (gqa_pickle_kind_of(s->v, key) != GQA_PICKLE_TEXT)
            continue;
        snprintf(name, sizeof name, "%.100s%s%.60s", path, *path ? "." : "",
                 gqa_pickle_text(s->v, key));
        look(s, below, name, depth + 1);
    }
}

static enum gqa_status find_dict(uint32_t *out,
                                 const struct gqa_pickle_values *v,
                                 uint32_t root, const char *name)
{
    struct search s = {.v = v, .name = name};

    for (int i = 0; i < 2 && s.n == 0; i++) {
        s.wants_matrices = i == 0;
        s.was_seen = calloc(v->n_values, 1);
        if (!s.was_seen)
            return gqa_fail_nomem();
        look(&s, root, "", 0);
        free(s.was_seen);
    }
    if (s.n == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a PyTorch file without tensors by name: no "
                        "state_dict of a model");
    if (name && !s.is_named)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a PyTorch file without a state_dict '%.100s'; it has "
                        "%s",
                        name, s.paths);
    if (!name && s.n > 1)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a PyTorch file with several state_dicts: %s; "
                        "--state-dict NAME reads one of them",
                        s.paths);
    *out = name ? s.named : s.found;
    return GQA_OK;
}

/* JSON's rules of UTF-8 are those of all that is written. */
static enum gqa_status check_name(const struct gqa_pickle_value *value,
                                  const char *name)
{
    json_t *text;

    if (strlen(name) != value->n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the name of a tensor, \"%.60s\", holds a NUL", name);
    text = json_string(name);
    if (!text)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the name of a tensor, \"%.60s\", is not UTF-8", name);
    json_decref(text);
    return gqa_tensor_name_check(name);
}

static int compare_names(const void *a, const void *b)
{
    const struct gqa_named_tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static enum gqa_status check_unique(struct gqa_named_tensor *tensors, size_t n)
{
    qsort(tensors, n, sizeof *tensors, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(tensors[i - 1].name, tensors[i].name) == 0)
            return gqa_fail(GQA_ERR_FORMAT, "two tensors are called %s",
                            tensors[i].name);
    return GQA_OK;
}

static enum gqa_status list_tensors(struct gqa_named_tensor *out, size_t *n,
                                    const struct gqa_pickle_values *v,
                                    uint32_t dict)
{
    uint32_t item = first_item(v, dict), key, value;

    while (next_pair(v, &item, &key, &value)) {
        enum gqa_status st;

        if (gqa_pickle_kind_of(v, value) != GQA_PICKLE_TENSOR ||
            gqa_pickle_kind_of(v, key) != GQA_PICKLE_TEXT)
            continue;
        out[*n].name = gqa_pickle_text(v, key);
        out[*n].tensor = (uint32_t)v->values[value].is.at;
        if ((st = check_name(&v->values[key], out[*n].name)) != GQA_OK)
            return st;
        ++*n;
    }
    return GQA_OK;
}

enum gqa_status gqa_state_dict_find(struct gqa_named_tensor **out, size_t *n,
                                    const struct gqa_pickle_values *v,
                                    uint32_t root, const char *name)
{
    uint32_t dict;
    enum gqa_status st = find_dict(&dict, v, root, name);

    if (st != GQA_OK)
        return st;
    *n = 0;
    *out = calloc(v->values[dict].n / 2 + 1, sizeof **out);
    if (!*out)
        return gqa_fail_nomem();
    st = list_tensors(*out, n, v, dict);
    if (st == GQA_OK)
        st = check_unique(*out, *n);
    if (st != GQA_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}
