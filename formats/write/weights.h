/* One file of weights, from its header to its last byte. */
#ifndef GQA_FORMATS_WRITE_WEIGHTS_H
#define GQA_FORMATS_WRITE_WEIGHTS_H

#include "formats/content_digest.h"
#include "formats/safetensors/header_write.h"
#include "formats/write/output.h"

struct gqa_weights {
    const char *path; /* for messages, lent */
    const struct gqa_output_tensor *tensors;
    const size_t *order; /* [n], in data order, lent */
    size_t n;
    const struct gqa_st_text *header; /* of these tensors, lent */
    gqa_produce_fn produce;
    void *produce_ctx;
    const struct gqa_output_options *options; /* kind GQA: as .gqa */
    uint64_t progress_base, progress_all;     /* content bytes */
    struct gqa_content_digest *digest; /* of the file, no .gqa; or NULL */
};

/* The file's size where it is known beforehand, else 0. */
uint64_t gqa_weights_file_bytes(const struct gqa_weights *weights);

/*
 * Write the file to fd, which is empty, and bring it to the device.
 *
 * file_bytes  receives its length on GQA_OK.
 * Errors      those of gqa_stream_run().
 */
GQA_MUST_USE
enum gqa_status gqa_weights_write(const struct gqa_weights *weights, int fd,
                                  uint64_t *file_bytes);

#endif
