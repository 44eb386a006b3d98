/* A .gqa file: any bytes, read strictly and with salvage. */
#include "common/log.h"
#include "formats/gqa/reader.h"
#include "fuzz.h"

static void read_file(const uint8_t *data, size_t size, bool salvage)
{
    struct gqa_source *source;

    if (gqa_gqa_open(&source, &(const struct gqa_file_handle){
                                  .path = "x",
                                  .fd = fuzz_file(data, size),
                                  .size = size,
                                  .salvage = salvage}) == GQA_OK) {
        fuzz_read_tensors(source);
        gqa_source_close(source);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gqa_log_init("fuzz", GQA_LOG_ERROR);
    read_file(data, size, false);
    read_file(data, size, true);
    return 0;
}
