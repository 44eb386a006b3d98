/* Sizes as people read them. */
#ifndef GQA_COMMON_UNITS_H
#define GQA_COMMON_UNITS_H

#include <stdint.h>

enum { GQA_UNITS_MAX = 24 };

/* "512 B", "1.5 KiB", "12.3 GiB"; returns out, of GQA_UNITS_MAX bytes. */
const char *gqa_units_bytes(char *out, uint64_t bytes);

#endif
