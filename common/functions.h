/*
 * Functions that a model's description names and a device computes: the
 * words that formats/ and runtime/ share.
 */
#ifndef GQA_COMMON_FUNCTIONS_H
#define GQA_COMMON_FUNCTIONS_H

enum gqa_norm_kind {
    GQA_NORM_NONE,  /* x */
    GQA_NORM_RMS,   /* x / sqrt(mean(x^2) + eps) * weight + bias */
    GQA_NORM_LAYER, /* (x - mean) / sqrt(variance + eps) * weight + bias */
};

enum gqa_activation {
    GQA_ACTIVATION_RELU,
    GQA_ACTIVATION_GELU,      /* with erf */
    GQA_ACTIVATION_GELU_TANH, /* gelu_new, gelu_pytorch_tanh */
    GQA_ACTIVATION_SILU,
    GQA_ACTIVATION_QUICK_GELU, /* x / (1 + e^(-1.702 x)) */
    GQA_ACTIVATION_RELU2,      /* relu(x)^2 */
    GQA_ACTIVATION_GELU_BLOOM, /* the tanh one, of 0.79788456 for
                                  sqrt(2 / pi) */
};

/*
 * An activation whose constants are a layer's own (Apertus):
 *
 *   x > 0: positive * x^2 + beta * x
 *   else:  negative * (e^min(x, eps) - 1 - x) + beta * x
 */
struct gqa_xielu {
    double positive, negative, beta, eps;
};

/*
 * An activation of a gate's output g and another's u together (GPT-OSS):
 *
 *   g' = min(g, limit), u' = u within [-limit, limit]
 *   (u' + 1) g' / (1 + e^(-alpha g'))
 */
struct gqa_clamped_swiglu {
    double alpha, limit;
};

#endif
