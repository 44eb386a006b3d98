/* A Keras archive: any bytes. What HDF5's parser is given is of any kind too.
 */
#include "formats/keras/reader.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gqa_source *source;

    if (gqa_keras_open(&source, &(const struct gqa_file_handle){
                                    .path = "x",
                                    .fd = fuzz_file(data, size),
                                    .size = size}) == GQA_OK) {
        fuzz_read_tensors(source);
        gqa_source_close(source);
    }
    return 0;
}
