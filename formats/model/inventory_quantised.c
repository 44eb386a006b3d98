/* What a configuration says of quantised weights, against the tensors. */
#include "formats/model/inventory_taking.h"
#include "formats/model/leftover.h"

/* transformers', MLX's, what llm-compressor and AWQ wrote at first, and what
 * came before quantization_config. */
static const char *const keys[] = {"quantization_config", "quantization",
                                   "compression_config",  "quant_config",
                                   "load_in_4bit",        "load_in_8bit"};

/* Whether it says something: false, null, {} and a word do not. */
static bool is_said(const json_t *value)
{
    return json_is_true(value) || json_object_size(value) > 0 ||
           json_number_value(value) != 0;
}

static bool is_quantised(const struct gqa_taking *t, size_t index)
{
    const struct gqa_param *p = &t->model->params[index];

    switch (t->out->roles[index]) {
    case GQA_ROLE_BUFFER:
        return false;
    case GQA_ROLE_SCALE:
        return true;
    case GQA_ROLE_EXTRA:
        return !gqa_dtype_is_float(p->dtype) || gqa_leftover_cause(p->name);
    default:
        /* T5's "wo" is a sign of another layout where it is left over. */
        return !gqa_dtype_is_float(p->dtype);
    }
}

enum gqa_status gqa_take_quantised(struct gqa_taking *t)
{
    const char *method, *key = NULL;
    const json_t *claim = NULL;

    for (size_t i = 0; i < sizeof keys / sizeof *keys && !key; i++) {
        claim = json_object_get(t->model->config, keys[i]);
        if (is_said(claim))
            key = keys[i];
    }
    /* That something is missing tells more. */
    if (!key || t->out->n_of[GQA_FAULT_MISSING] > 0)
        return GQA_OK;
    for (size_t i = 0; i < t->model->n_params; i++)
        if (is_quantised(t, i))
            return GQA_OK;
    method = json_string_value(json_object_get(claim, "quant_method"));
    return gqa_taking_fault(
        t, GQA_FAULT_CONFIG, key,
        "%s%s%.40s%s in %s says that the weights are quantised, and none is; "
        "where they were made floats again, take it out",
        key, method ? " (" : "", method ? method : "", method ? ")" : "",
        gqa_taking_config_path(t));
}
