/* plain_product.c, compiled for processors with AVX2. */
#define EXPORT gqa_plain_add_v3
#include "runtime/cpu/plain_product.c"
