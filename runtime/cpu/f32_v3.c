/* f32.c, compiled for processors with AVX2. */
#define EXPORT gqa_cpu_f32_v3
#include "runtime/cpu/f32.c"
