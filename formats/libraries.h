/* The libraries that checkpoints are read with. */
#ifndef GQA_FORMATS_LIBRARIES_H
#define GQA_FORMATS_LIBRARIES_H

#include <stddef.h>

/* Their versions in a line: "HDF5 1.10.8, zstd 1.5.4, OpenSSL 3.0.17". */
void gqa_format_libraries(char *out, size_t size);

#endif
