#include <string.h>

#include "formats/formats.h"
#include "formats/keras/reader.h"
#include "formats/start.h"

/* Its first member is one of those that Keras writes. */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    static const char *const names[] = {"metadata.json", "config.json",
                                        "model.weights.h5"};

    if (!gqa_start_has(start, 0, "PK\x03\x04", 4))
        return GQA_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        *is = *is || gqa_start_has(start, 30, names[i], strlen(names[i]));
    return GQA_OK;
}

/* What is in it is a source of HDF5. */
const struct gqa_format gqa_format_keras = {
    .recognise = recognise,
    .open = gqa_keras_open,
    .endings = (const struct gqa_name_ending[]){{.text = ".keras"}, {0}},
};
