/* A model in two GGUF files: two bytes say how long the first is. */
#include "formats/gguf/reader.h"
#include "fuzz.h"

struct second {
    const uint8_t *data;
    size_t size;
};

static enum gqa_status open_second(void *ctx, int *fd, uint64_t *size,
                                   const char *path)
{
    const struct second *second = ctx;

    (void)path;
    *fd = fuzz_file(second->data, second->size);
    *size = second->size;
    return GQA_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_source *source;
    struct second second;
    size_t first;

    if (size < 2)
        return 0;
    first = data[0] | (size_t)data[1] << 8;
    first = first < size - 2 ? first : size - 2;
    second = (struct second){data + 2 + first, size - 2 - first};
    if (gqa_gguf_open(&source, &(const struct gqa_file_handle){
                                   .path = "x-00001-of-00002.gguf",
                                   .fd = fuzz_file(data + 2, first),
                                   .size = first,
                                   .dequantise = true,
                                   .open_beside = open_second,
                                   .beside_ctx = &second}) == GQA_OK) {
        fuzz_read_tensors(source);
        gqa_source_close(source);
    }
    return 0;
}
