#include "formats/model/more_layers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* What is left out of a checkpoint. */
struct leaving {
    const struct gqa_family *family;
    uint64_t first, behind; /* layers [first, behind) */
};

static uint64_t said_by(const json_t *config, gqa_texts keys)
{
    for (gqa_texts key = keys; key && *key; key++) {
        const json_t *value = json_object_get(config, *key);

        if (json_is_integer(value) && json_integer_value(value) > 0)
            return (uint64_t)json_integer_value(value);
    }
    return 0;
}

/* The number of a name's layer: what "%" of "layers.%" is. */
static bool layer_of(uint64_t *layer, const char *name, const char *pattern)
{
    const size_t before = strcspn(pattern, "%");
    char *end;

    if (strncmp(name, pattern, before) != 0 || name[before] < '0' ||
        name[before] > '9')
        return false;
    *layer = strtoull(name + before, &end, 10);
    return *end == '.';
}

/* name: behind a prefix. */
static bool leaves_behind(const struct leaving *l, const char *name)
{
    uint64_t layer;

    for (gqa_texts part = l->family->names.left_out; part && *part; part++)
        if (strncmp(name, *part, strlen(*part)) == 0)
            return true;
    return l->behind > l->first &&
           layer_of(&layer, name,
                    l->family->stacks[GQA_STACK_DECODER].layers) &&
           layer >= l->first && layer < l->behind;
}

static bool leaves(const struct leaving *l, const char *name)
{
    for (gqa_texts p = l->family->names.prefixes; p && *p; p++)
        if (strncmp(name, *p, strlen(*p)) == 0 &&
            leaves_behind(l, name + strlen(*p)))
            return true;
    return false;
}

void gqa_leave_more_layers(struct gqa_params *params,
                           const struct gqa_family *family,
                           const json_t *config)
{
    const uint64_t n = said_by(config, family->keys.n_layers);
    const uint64_t more = said_by(config, family->keys.more_layers);
    const struct leaving l = {family, n, n > 0 && more < 64 ? n + more : n};
    size_t kept = 0;

    for (size_t i = 0; i < params->n; i++) {
        struct gqa_param *p = &params->items[i];

        if (!leaves(&l, p->name)) {
            params->items[kept++] = *p;
            continue;
        }
        if (kept == i)
            gqa_warn("'%s' and what else is of layers that predict more tokens "
                     "than the next one is left out, as stock classes do",
                     p->name);
        free(p->name);
        free(p->parts);
    }
    params->n = kept;
}
