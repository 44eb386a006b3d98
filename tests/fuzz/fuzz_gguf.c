/* A GGUF file: any bytes, with what is quantised read as what it stands for. */
#include "formats/gguf/reader.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_source *source;

    if (gqa_gguf_open(&source, &(const struct gqa_file_handle){
                                   .path = "x",
                                   .fd = fuzz_file(data, size),
                                   .size = size,
                                   .dequantise = true}) == GQA_OK) {
        fuzz_read_tensors(source);
        gqa_source_close(source);
    }
    return 0;
}
