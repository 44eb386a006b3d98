#include "formats/write/output.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/atomic.h"
#include "formats/folder/write.h"
#include "formats/safetensors/header_write.h"
#include "formats/write/weights.h"

static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  struct gqa_atomic *target,
                                  const struct gqa_weights *weights)
{
    enum gqa_status st;

    st = gqa_atomic_check_space(target, gqa_weights_file_bytes(weights));
    if (st != GQA_OK)
        return st;
    st =
        gqa_weights_write(weights, gqa_atomic_fd(target), &summary->file_bytes);
    if (st != GQA_OK)
        return st;
    summary->content_bytes =
        weights->header->n_bytes + weights->header->data_bytes;
    summary->n_files = 1;
    if (weights->options->ready)
        st = weights->options->ready(weights->options->ready_ctx, summary);
    return st == GQA_OK ? gqa_atomic_commit(target) : st;
}

/* .gqa and .safetensors: all tensors in one file. */
static enum gqa_status write_one(struct gqa_output_summary *summary,
                                 const char *path,
                                 const struct gqa_output_tensor *tensors,
                                 size_t n, gqa_produce_fn produce,
                                 void *produce_ctx,
                                 const struct gqa_output_options *options)
{
    struct gqa_atomic *target = NULL;
    struct gqa_st_text header = {0};
    size_t *order = NULL;
    enum gqa_status st;

    if ((st = gqa_atomic_create_file(&target, path, options->force)) != GQA_OK)
        return st;
    order = calloc(n ? n : 1, sizeof *order);
    if (!order) {
        st = gqa_fail_nomem();
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    gqa_st_sort(order, n, tensors);
    st = gqa_st_text_create(&header, tensors, order, n, options->metadata);
    if (st == GQA_OK)
        st = write_file(summary, target,
                        &(const struct gqa_weights){
                            .path = path,
                            .tensors = tensors,
                            .order = order,
                            .n = n,
                            .header = &header,
                            .produce = produce,
                            .produce_ctx = produce_ctx,
                            .options = options,
                            .progress_all = header.data_bytes,
                        });
done:
    gqa_st_text_free(&header);
    free(order);
    gqa_atomic_free(target);
    return st;
}

enum gqa_status gqa_output_write(struct gqa_output_summary *summary,
                                 const char *path,
                                 const struct gqa_output_tensor *tensors,
                                 size_t n_tensors, gqa_produce_fn produce,
                                 void *produce_ctx,
                                 const struct gqa_output_options *options)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    enum gqa_status st;

    /* A limit on file sizes is to be an error of write(), not our end. */
    sigaction(SIGXFSZ, &ignore, &before);
    memset(summary, 0, sizeof *summary);
    st = (options->kind == GQA_OUTPUT_FOLDER ? gqa_folder_write : write_one)(
        summary, path, tensors, n_tensors, produce, produce_ctx, options);
    sigaction(SIGXFSZ, &before, NULL);
    return st;
}

enum gqa_status gqa_output_try(const char *path,
                               const struct gqa_output_options *options)
{
    return options->kind == GQA_OUTPUT_FOLDER
               ? gqa_folder_try(path, options)
               : gqa_atomic_try_file(path, options->force);
}
