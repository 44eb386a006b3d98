/* f32.c, compiled for processors with AVX-512. */
#define EXPORT gqa_cpu_f32_v4
#include "runtime/cpu/f32.c"
