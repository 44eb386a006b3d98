#include "formats/write/output.h"

#include <signal.h>
#include <string.h>

#include "formats/tensor.h"
#include "formats/writers.h"

struct gqa_output_tensor gqa_output_transform(const struct gqa_tensor *t)
{
    return (struct gqa_output_tensor){.name = t->name,
                                      .dtype = t->dtype,
                                      .rank = t->rank,
                                      .shape = t->shape,
                                      .n_bytes = t->n_bytes,
                                      .part = GQA_OUTPUT_TRANSFORM};
}

enum gqa_status gqa_output_write(struct gqa_output_summary *summary,
                                 const char *path,
                                 const struct gqa_output_tensor *tensors,
                                 size_t n_tensors, gqa_produce_fn produce,
                                 void *produce_ctx,
                                 const struct gqa_output_options *options)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct gqa_output output = {
        .path = path,
        .tensors = tensors,
        .n_tensors = n_tensors,
        .produce = produce,
        .produce_ctx = produce_ctx,
        .options = options,
    };
    struct sigaction before;
    enum gqa_status st;

    /* A limit on file sizes is to be an error of write(), not our end. */
    sigaction(SIGXFSZ, &ignore, &before);
    memset(summary, 0, sizeof *summary);
    st = options->writer->write(summary, &output);
    sigaction(SIGXFSZ, &before, NULL);
    return st;
}

enum gqa_status gqa_output_try(const char *path,
                               const struct gqa_output_options *options)
{
    return options->writer->check(path, options);
}
