/* What the fuzz targets share. */
#ifndef GQA_TESTS_FUZZ_H
#define GQA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "formats/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory; the caller closes it. */
int fuzz_file(const uint8_t *data, size_t size);

/* Read each tensor that is not large: whole, and in pieces. */
void fuzz_read_tensors(struct gqa_source *source);

#endif
