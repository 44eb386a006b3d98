/* plain_product.c, compiled for processors with AVX-512. */
#define EXPORT gqa_plain_add_v4
#include "runtime/cpu/plain_product.c"
