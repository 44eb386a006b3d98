#include <string.h>

#include "common/file.h"
#include "formats/formats.h"
#include "formats/hdf5/reader.h"

#define SIGNATURE "\x89HDF\r\n\x1a\n"

static const char *describe(enum gqa_naming naming)
{
    switch (naming) {
    case GQA_NAMES_TORCH:
        return "HDF5 (state dict)";
    case GQA_NAMES_TF:
        return "HDF5 (TensorFlow)";
    case GQA_NAMES_KERAS:
        return "HDF5 (Keras)";
    case GQA_NAMES_KERAS_LEGACY:
        return "HDF5 (Keras, legacy)";
    }
    return "HDF5";
}

const struct gqa_format gqa_format_hdf5 = {
    .word = "hdf5",
    .label = "HDF5",
    .describe = describe,
    .marks = (const struct gqa_mark[]){GQA_MARK(0, SIGNATURE), {0}},
    .open = gqa_hdf5_open,
    .names =
        (const char *const[]){"tf_model.h5", "tf_model.h5.index.json",
                              "model.weights.h5", "model.weights.json", NULL},
    .preference = 4,
    .endings = (const struct gqa_name_ending[]){{.text = ".h5"}, {0}},
};

/* Behind a user block of 512, 1024, 2048, ... bytes */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    char found[sizeof SIGNATURE - 1];

    for (uint64_t at = 512; at < start->size && start->size - at > sizeof found;
         at *= 2) {
        const enum gqa_status st =
            gqa_file_read(start->fd, found, sizeof found, at);

        if (st != GQA_OK)
            return st;
        *is = memcmp(found, SIGNATURE, sizeof found) == 0;
        if (*is || at > UINT64_MAX / 2)
            break;
    }
    return GQA_OK;
}

/*
 * Anything may stand in a user block, and any file may have the signature
 * somewhere: it is looked for where nothing else that is read begins so.
 */
const struct gqa_format gqa_format_hdf5_behind = {
    .recognise = recognise,
    .open = gqa_hdf5_open,
};
