/* A configuration that says that weights are quantised, where none is: loaders
 * would look for scales that are not there, or refuse it. */
#include "formats/model/inventory_taking.h"

/* Of transformers and compressed-tensors, of MLX, and of older writers. */
static const char *const keys[] = {
    "quantization_config", "compression_config", "quantization",
    "quant_config",        "load_in_4bit",       "load_in_8bit",
};

/* Whether it says something: false, null and {} do not. */
static bool is_said(const json_t *value)
{
    return json_is_true(value) || json_object_size(value) > 0 ||
           json_string_length(value) > 0 || json_number_value(value) != 0;
}

/* Left-overs count: what they tell is said of them. */
static bool has_quantised(const struct gqa_taking *t)
{
    for (size_t i = 0; i < t->model->n_params; i++) {
        const enum gqa_param_role role = t->out->roles[i];

        if (role == GQA_ROLE_SCALE ||
            (role != GQA_ROLE_BUFFER &&
             !gqa_dtype_is_float(t->model->params[i].dtype)))
            return true;
    }
    return false;
}

enum gqa_status gqa_take_quantisation(struct gqa_taking *t)
{
    const size_t n_keys = sizeof keys / sizeof *keys;
    const json_t *value = NULL;
    const char *method;
    size_t k = 0;

    for (; k < n_keys; k++) {
        value = json_object_get(t->model->config, keys[k]);
        if (is_said(value))
            break;
    }
    /* What is missing may be what was quantised: that is the cause then. */
    if (k == n_keys || t->out->n_of[GQA_FAULT_MISSING] > 0 ||
        t->out->n_of[GQA_FAULT_SHAPE] > 0 || has_quantised(t))
        return GQA_OK;
    method = json_string_value(json_object_get(value, "quant_method"));
    return gqa_taking_fault(
        t, GQA_FAULT_CONFIG, keys[k],
        "%s%s%.40s says that weights are quantised, and all are plain floats "
        "(if they were dequantised, remove the key from %s)",
        keys[k], method ? ": " : "", method ? method : "",
        gqa_taking_config_path(t));
}
