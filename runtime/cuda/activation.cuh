/* Activations and their derivatives, in float32. */
#ifndef GQA_RUNTIME_CUDA_ACTIVATION_CUH
#define GQA_RUNTIME_CUDA_ACTIVATION_CUH

#include "common/functions.h"

/* e^x and a / b, to float32's rounding for float, else to a few of its last
 * bits, which are more than a half or bfloat16 holds, and with 0 for what is
 * smaller than float32's normal numbers. */
template <typename T>
static __device__ __forceinline__ float exponential(float x)
{
    float y;

    if (sizeof(T) == 4)
        return expf(x);
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x * 1.44269504f));
    return y;
}

template <typename T>
static __device__ __forceinline__ float quotient(float a, float b)
{
    float inverse;

    if (sizeof(T) == 4)
        return a / b;
    asm("rcp.approx.ftz.f32 %0, %1;\n" : "=f"(inverse) : "f"(b));
    return a * inverse;
}

/* Written so that neither tail loses digits: 1 + erf and 1 + tanh are 0 to
 * rounding where their products with x are not. */
template <typename T, enum gqa_activation WHICH>
static __device__ __forceinline__ float activation(float x)
{
    switch (WHICH) {
    case GQA_ACTIVATION_RELU:
        return x < 0 ? 0 : x; /* a NaN stays one */
    case GQA_ACTIVATION_GELU:
        return 0.5f * x * erfcf(x * -0.70710678f);
    case GQA_ACTIVATION_GELU_TANH:
    case GQA_ACTIVATION_GELU_BLOOM: /* in float32, the same constant */
        return quotient<T>(
            x, 1 + exponential<T>(-1.5957691f * x * (1 + 0.044715f * x * x)));
    case GQA_ACTIVATION_QUICK_GELU:
        return quotient<T>(x, 1 + exponential<T>(-1.702f * x));
    case GQA_ACTIVATION_RELU2:
        return x < 0 ? 0 : x * x;
    default: /* SiLU */
        return quotient<T>(x, 1 + exponential<T>(-x));
    }
}

/* x * sigmoid(inner(x)) and its derivative, of inner and its slope at x. */
template <typename T>
static __device__ __forceinline__ void gated(float *y, float *dy, float x,
                                             float inner, float inner_slope)
{
    const float half = quotient<T>(1, 1 + exponential<T>(-inner));
    /* half (1 - half), whose last bits a half or bfloat16 does not hold. */
    const float both = sizeof(T) == 4
                           ? quotient<T>(half, 1 + exponential<T>(inner))
                           : half - half * half;

    *y = x * half;
    /* Far out the slope of a cube is no number times nothing. */
    *dy = half + (both == 0 ? 0 : x * both * inner_slope);
}

/* act(x) and its derivative; a NaN makes both NaN. */
template <typename T, enum gqa_activation WHICH>
static __device__ __forceinline__ void activation_slope(float *y, float *dy,
                                                        float x)
{
    switch (WHICH) {
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
        *dy = share + x * 0.39894228f * exponential<T>(-0.5f * x * x);
        return;
    }
    case GQA_ACTIVATION_GELU_TANH:
    case GQA_ACTIVATION_GELU_BLOOM:
        gated<T>(y, dy, x, 1.5957691f * x * (1 + 0.044715f * x * x),
                 1.5957691f * (1 + 0.134145f * x * x));
        return;
    case GQA_ACTIVATION_QUICK_GELU:
        gated<T>(y, dy, x, 1.702f * x, 1.702f);
        return;
    default: /* SiLU */
        gated<T>(y, dy, x, x, 1);
        return;
    }
}

template <enum gqa_activation WHICH> struct activation_kind {
    static constexpr enum gqa_activation value = WHICH;
};

/* Call f with the activation as a type: kernels are made for each, since a
 * choice for each element costs more than the element. */
template <typename F>
static void with_activation(enum gqa_activation which, F f)
{
    switch (which) {
    case GQA_ACTIVATION_RELU:
        return f(activation_kind<GQA_ACTIVATION_RELU>());
    case GQA_ACTIVATION_GELU:
        return f(activation_kind<GQA_ACTIVATION_GELU>());
    case GQA_ACTIVATION_GELU_TANH:
    case GQA_ACTIVATION_GELU_BLOOM:
        return f(activation_kind<GQA_ACTIVATION_GELU_TANH>());
    case GQA_ACTIVATION_QUICK_GELU:
        return f(activation_kind<GQA_ACTIVATION_QUICK_GELU>());
    case GQA_ACTIVATION_RELU2:
        return f(activation_kind<GQA_ACTIVATION_RELU2>());
    default:
        return f(activation_kind<GQA_ACTIVATION_SILU>());
    }
}

#endif
