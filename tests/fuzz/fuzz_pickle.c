/* A pickle, and the tensors by name that it holds: any bytes. */
#include <stdlib.h>
#include <unistd.h>

#include "formats/torch/state_dict.h"
#include "formats/torch/unpickle.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gqa_input in;
    struct gqa_pickle_values values = {0};
    struct gqa_named_tensor *named;
    const int fd = fuzz_file(data, size);
    uint32_t root;
    size_t n;

    gqa_input_begin(&in, "the pickle", fd, 0, size);
    if (gqa_unpickle(&root, &values, &in) == GQA_OK &&
        gqa_state_dict_find(&named, &n, &values, root, NULL) == GQA_OK) {
        for (size_t i = 0; i < n; i++)
            if (named[i].tensor >= values.n_tensors)
                abort();
        free(named);
    }
    gqa_pickle_values_clear(&values);
    close(fd);
    return 0;
}
