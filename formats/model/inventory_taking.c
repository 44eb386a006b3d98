#include "formats/model/inventory_taking.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strings.h"
#include "common/ull.h"

/* More faults than these are counted, and not kept. */
enum { MAX_FAULTS = 4096 };

enum gqa_status gqa_taking_fault(struct gqa_taking *t, enum gqa_fault_kind kind,
                                 const char *name, const char *fmt, ...)
{
    struct gqa_inventory *inv = t->out;
    struct gqa_fault *fault, *grown;
    va_list ap;

    inv->n_of[kind]++;
    if (inv->n_faults == MAX_FAULTS)
        return GQA_OK;
    grown = reallocarray(inv->faults, inv->n_faults + 1, sizeof *grown);
    if (!grown)
        return gqa_fail_nomem();
    inv->faults = grown;
    fault = &grown[inv->n_faults];
    fault->kind = kind;
    fault->name = strdup(name);
    va_start(ap, fmt);
    if (vasprintf(&fault->text, fmt, ap) < 0)
        fault->text = NULL;
    va_end(ap);
    if (!fault->name || !fault->text) {
        free(fault->name);
        free(fault->text);
        return gqa_fail_nomem();
    }
    inv->n_faults++;
    return GQA_OK;
}

const char *gqa_shape_text(struct gqa_shape_text *out, unsigned rank,
                           const uint64_t *shape)
{
    size_t n = 0;

    for (unsigned i = 0; i < rank; i++)
        n += (size_t)snprintf(out->text + n, sizeof out->text - n, "%s%llu",
                              i ? ", " : "[", ULL(shape[i]));
    snprintf(out->text + n, sizeof out->text - n, "%s",
             rank ? "]" : "of no dimension");
    return out->text;
}

bool gqa_taking_find(const struct gqa_taking *t, const char *name,
                     size_t *index)
{
    return gqa_model_find(t->model, name, index);
}

bool gqa_shape_fits(const struct gqa_param *p, unsigned rank, uint64_t rows,
                    uint64_t cols)
{
    if (p->rank != rank || (rows && p->shape[0] != rows))
        return false;
    return rank < 2 || cols == 0 || p->shape[1] == cols;
}

uint64_t gqa_taking_layers(const struct gqa_taking *t, enum gqa_stack stack)
{
    return stack == GQA_STACK_DECODER && gqa_model_is_encoder_decoder(t->model)
               ? t->model->n_decoder_layers
               : t->model->n_layers;
}

enum gqa_status gqa_taking_gated(bool *out, const struct gqa_taking *t,
                                 enum gqa_stack stack)
{
    const struct gqa_feed_forward_rule *rule =
        &t->family->stacks[stack].feed_forward;
    struct gqa_stem stem = {""};
    char name[2 * GQA_MAX_NAME + 8];
    size_t index;

    *out = false;
    if (t->is_known || !gqa_is_setting(rule->gated.json))
        return gqa_setting_flag(out, &rule->gated, t->model->config);
    snprintf(name, sizeof name, "%s.weight",
             gqa_stem_in(&stem, &t->names, t->family->stacks[stack].layers, 0,
                         rule->up));
    *out = gqa_taking_find(t, name, &index);
    return GQA_OK;
}

/* --- Classes -------------------------------------------------------------- */

static enum gqa_model_class class_of(const char *name)
{
    if (gqa_ends_with(name, "ForCausalLM") ||
        gqa_ends_with(name, "LMHeadModel") ||
        gqa_ends_with(name, "ForConditionalGeneration"))
        return GQA_CLASS_LM;
    if (gqa_ends_with(name, "EncoderModel"))
        return GQA_CLASS_ENCODER;
    if (strstr(name, "For") || strstr(name, "DoubleHeads") ||
        strstr(name, "Reward") || strstr(name, "Value"))
        return GQA_CLASS_TASK;
    return gqa_ends_with(name, "Model") ? GQA_CLASS_BASE : GQA_CLASS_LM;
}

/* A language model within another may have those that once wrote it. */
static const json_t *classes_of(const struct gqa_model *model)
{
    const json_t *list =
        model->within ? json_object_get(model->outer_config, "architectures")
                      : NULL;

    return json_array_size(list) > 0
               ? list
               : json_object_get(model->config, "architectures");
}

const char *gqa_class_named(const struct gqa_model *model,
                            enum gqa_model_class kind)
{
    const json_t *list = classes_of(model);

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name && class_of(name) == kind)
            return name;
    }
    return NULL;
}

bool gqa_has_classes(const struct gqa_model *model)
{
    return json_array_size(classes_of(model)) > 0;
}
