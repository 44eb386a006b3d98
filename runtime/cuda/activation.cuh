/* Activations and their derivatives, in float32. */
#ifndef GQA_RUNTIME_CUDA_ACTIVATION_CUH
#define GQA_RUNTIME_CUDA_ACTIVATION_CUH

#include "common/functions.h"

/* Written so that neither tail loses digits: 1 + erf and 1 + tanh are 0 to
 * rounding where their products with x are not. */
static __device__ __forceinline__ float activation(float x,
                                                   enum gqa_activation which)
{
    switch (which) {
    case GQA_ACTIVATION_RELU:
        return x < 0 ? 0 : x; /* a NaN stays one */
    case GQA_ACTIVATION_GELU:
        return 0.5f * x * erfcf(x * -0.70710678f);
    case GQA_ACTIVATION_GELU_TANH:
        return x / (1 + expf(-1.5957691f * x * (1 + 0.044715f * x * x)));
    case GQA_ACTIVATION_QUICK_GELU:
        return x / (1 + expf(-1.702f * x));
    case GQA_ACTIVATION_RELU2:
        return x < 0 ? 0 : x * x;
    case GQA_ACTIVATION_GELU_BLOOM: /* in float32, the same constant */
        return x / (1 + expf(-1.5957691f * x * (1 + 0.044715f * x * x)));
    default: /* SiLU */
        return x / (1 + expf(-x));
    }
}

/* x * sigmoid(inner(x)) and its derivative, of inner and its slope at x. */
static __device__ __forceinline__ void gated(float *y, float *dy, float x,
                                             float inner, float inner_slope)
{
    const float half = 1 / (1 + expf(-inner));
    const float both = half / (1 + expf(inner));

    *y = x * half;
    /* Far out the slope of a cube is no number times nothing. */
    *dy = half + (both == 0 ? 0 : x * both * inner_slope);
}

/* act(x) and its derivative; a NaN makes both NaN. */
static __device__ __forceinline__ void activation_slope(
    float *y, float *dy, float x, enum gqa_activation which)
{
    switch (which) {
    case GQA_ACTIVATION_RELU:
        *y = x < 0 ? 0 : x;
        *dy = x > 0 ? 1 : 0 * *y;
        return;
    case GQA_ACTIVATION_RELU2:
        *y = x < 0 ? 0 : x * x;
        *dy = x < 0 ? 0 : 2 * x;
        return;
    case GQA_ACTIVATION_GELU: {
        const float share = 0.5f * erfcf(x * -0.70710678f);

        *y = x * share;
        *dy = share + x * 0.39894228f * expf(-0.5f * x * x);
        return;
    }
    case GQA_ACTIVATION_GELU_TANH:
    case GQA_ACTIVATION_GELU_BLOOM:
        gated(y, dy, x, 1.5957691f * x * (1 + 0.044715f * x * x),
              1.5957691f * (1 + 0.134145f * x * x));
        return;
    case GQA_ACTIVATION_QUICK_GELU:
        gated(y, dy, x, 1.702f * x, 1.702f);
        return;
    default: /* SiLU */
        gated(y, dy, x, x, 1);
        return;
    }
}

#endif
