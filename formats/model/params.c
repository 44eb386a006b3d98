#include "formats/model/params.h"

#include <stdlib.h>
#include <string.h>

#include "formats/transforms.h"

void gqa_params_free(struct gqa_params *params)
{
    for (size_t i = 0; i < params->n; i++) {
        free(params->items[i].name);
        free(params->items[i].parts);
    }
    free(params->items);
    memset(params, 0, sizeof *params);
}

struct gqa_param *gqa_params_add(struct gqa_params *params, const char *name,
                                 size_t n_parts)
{
    struct gqa_param *param;

    if (params->n == params->capacity) {
        const size_t capacity = params->capacity ? 2 * params->capacity : 64;
        struct gqa_param *grown =
            reallocarray(params->items, capacity, sizeof *grown);

        if (!grown)
            return NULL;
        params->items = grown;
        params->capacity = capacity;
    }
    param = &params->items[params->n];
    memset(param, 0, sizeof *param);
    param->name = strdup(name);
    param->parts = calloc(n_parts, sizeof *param->parts);
    param->n_parts = n_parts;
    if (!param->name || !param->parts) {
        free(param->name);
        free(param->parts);
        return NULL;
    }
    params->n++;
    return param;
}

static int compare_names(const void *a, const void *b)
{
    const struct gqa_param *x = a;
    const struct gqa_param *y = b;

    return strcmp(x->name, y->name);
}

enum gqa_status gqa_params_finish(struct gqa_params *params)
{
    if (params->n == 0)
        return GQA_OK;
    qsort(params->items, params->n, sizeof *params->items, compare_names);
    for (size_t i = 1; i < params->n; i++)
        if (strcmp(params->items[i - 1].name, params->items[i].name) == 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "two tensors stand for the parameter '%s'",
                            params->items[i].name);
    return GQA_OK;
}

bool gqa_model_find(const struct gqa_model *model, const char *name,
                    size_t *index)
{
    const struct gqa_params params = {model->params, model->n_params, 0};

    return gqa_params_find(&params, name, index);
}

bool gqa_params_find(const struct gqa_params *params, const char *name,
                     size_t *index)
{
    size_t low = 0;
    size_t high = params->n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, params->items[middle].name);

        if (order == 0) {
            *index = middle;
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

enum gqa_status gqa_params_add_tensor(struct gqa_params *params,
                                      const char *name,
                                      const struct gqa_tensor *tensor,
                                      size_t index)
{
    struct gqa_param *param = gqa_params_add(params, name, 1);

    if (!param)
        return gqa_fail_nomem();
    param->dtype = tensor->dtype;
    param->rank = tensor->rank;
    memcpy(param->shape, tensor->shape, sizeof param->shape);
    param->n_elements = tensor->n_elements;
    param->n_bytes = tensor->n_bytes;
    param->rows = tensor->rank > 0 ? tensor->shape[0] : 1;
    /* An empty tensor has no columns that anybody could ask for. */
    param->cols = param->rows ? tensor->n_elements / param->rows : 0;
    param->parts[0] = (struct gqa_view){
        .tensor = index, .rows = param->rows, .cols = param->cols};
    return GQA_OK;
}

enum gqa_status gqa_params_from_torch(struct gqa_params *params,
                                      const struct gqa_checkpoint *checkpoint)
{
    const size_t n = gqa_checkpoint_n_tensors(checkpoint);

    for (size_t i = 0; i < n; i++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(checkpoint, i);
        enum gqa_status st;

        if (gqa_is_transform(t->name))
            continue;
        if ((st = gqa_params_add_tensor(params, t->name, t, i)) != GQA_OK)
            return st;
    }
    return gqa_params_finish(params);
}
