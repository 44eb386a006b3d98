/* A file of llama2.c, of either version: any bytes. */
#include <string.h>

#include "formats/llama2c/reader.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_source *source;
    const struct gqa_file_handle file = {
        .path = "x", .fd = fuzz_file(data, size), .size = size};

    if ((size >= 4 && memcmp(data, "24ka", 4) == 0
             ? gqa_llama2c_open(&source, &file)
             : gqa_llama2c_bare_open(&source, &file)) == GQA_OK) {
        fuzz_read_tensors(source);
        gqa_source_close(source);
    }
    return 0;
}
