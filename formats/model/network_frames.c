#include "formats/model/network_frames.h"

#include "common/ull.h"

/* [outputs, inputs, kernel], of so many inputs (0: any). */
static enum gqa_status take_convolution(struct gqa_convolution *out,
                                        const struct gqa_network_builder *b,
                                        const struct gqa_convolution_rule *rule,
                                        uint64_t inputs)
{
    static const struct gqa_setting no_bias = {.json = NULL};
    struct gqa_stem stem = {""};
    const struct gqa_param *p;
    enum gqa_status st = gqa_take_linear(
        &out->linear, b, gqa_stem_of(&stem, b, rule->module), &no_bias);

    if (st != GQA_OK)
        return st;
    p = &b->model->params[out->linear.weight];
    if (p->rank != 3 || p->shape[2] % 2 == 0)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' is no convolution that can be run: that is "
                        "[outputs, inputs, frames], of frames an odd number",
                        p->name);
    if (inputs && p->shape[1] != inputs)
        return gqa_fail(GQA_ERR_FORMAT,
                        "'%s' has %llu inputs, not the %llu outputs of the "
                        "convolution before it",
                        p->name, ULL(p->shape[1]), ULL(inputs));
    out->linear.input_major = false;
    out->linear.rows = p->shape[0];
    out->linear.cols = p->shape[1] * p->shape[2];
    out->inputs = p->shape[1];
    out->kernel = p->shape[2];
    out->stride = rule->stride ? rule->stride : 1;
    return gqa_check_vector(b, out->linear.bias, out->linear.rows);
}

enum gqa_status gqa_check_frames(const struct gqa_network_builder *b,
                                 const struct gqa_frames_rule *rule)
{
    return rule->n_convolutions > 0
               ? GQA_OK
               : gqa_fail(GQA_ERR_UNSUPPORTED,
                          "the encoder of a %s reads frames, of sound or of a "
                          "picture, and the description of family %s does not "
                          "say how they become its rows: such a model can be "
                          "converted and inspected, but not run",
                          b->model->model_type ? b->model->model_type
                                               : b->family->name,
                          b->family->name);
}

static enum gqa_status count_convolutions(size_t *out,
                                          const struct gqa_network_builder *b,
                                          const struct gqa_frames_rule *rule)
{
    uint64_t n = rule->n_convolutions;
    enum gqa_status st = gqa_setting_count(&n, &rule->n, b->model->config);

    if (st == GQA_OK)
        st = gqa_check_frames(b, rule);
    if (st != GQA_OK)
        return st;
    if (n == 0 || n > rule->n_convolutions || n > GQA_MAX_CONVOLUTIONS)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "configuration: an encoder behind %llu convolutions "
                        "cannot be run: 1 to %zu are known",
                        ULL(n), rule->n_convolutions);
    *out = (size_t)n;
    return GQA_OK;
}

enum gqa_status gqa_take_frames(struct gqa_frames *out,
                                const struct gqa_network_builder *b,
                                const struct gqa_frames_rule *rule)
{
    uint64_t inputs = 0;
    size_t n = 0;
    enum gqa_status st = count_convolutions(&n, b, rule);

    out->per_position = 1;
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        struct gqa_convolution *c = &out->convolutions[i];

        if ((st = take_convolution(c, b, &rule->convolutions[i], inputs)) !=
            GQA_OK)
            return st;
        c->gated = rule->gated;
        inputs = c->linear.rows / (c->gated ? 2 : 1);
        out->per_position *= c->stride;
        if (i == 0)
            out->width = c->inputs;
        if (c->gated && c->linear.rows % 2 != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' has %llu outputs, which are not two halves",
                            b->model->params[c->linear.weight].name,
                            ULL(c->linear.rows));
    }
    out->n_convolutions = n;
    if (st == GQA_OK && inputs != b->network->d_model)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the convolutions of the encoder make rows of %llu, "
                        "not of %llu",
                        ULL(inputs), ULL(b->network->d_model));
    return st;
}
