/* An HDF5 file: any bytes; the library sees them in its own process. */
#include "common/log.h"
#include "formats/hdf5/reader.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_source *source;

    gqa_log_init("fuzz", GQA_LOG_ERROR);
    if (gqa_hdf5_open(&source, &(const struct gqa_file_handle){
                                   .path = "x",
                                   .fd = fuzz_file(data, size),
                                   .size = size}) == GQA_OK) {
        fuzz_read_tensors(source);
        gqa_source_close(source);
    }
    return 0;
}
