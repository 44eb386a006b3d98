#include "convert/output.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "convert/atomic.h"
#include "convert/folder.h"
#include "convert/st_write.h"
#include "convert/weights.h"

static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  struct gqa_atomic *target,
                                  struct gqa_weights *weights)
{
    struct gqa_st_header header = {0};
    const size_t n = weights->n;
    size_t *order = calloc(n ? n : 1, sizeof *order);
    enum gqa_status st;

    if (!order)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    gqa_st_sort(order, n, weights->tensors);
    st = gqa_st_header_create(&header, weights->tensors, order, n,
                              weights->options->metadata);
    if (st != GQA_OK)
        goto done;
    weights->order = order;
    weights->header = &header;
    weights->progress_all = header.data_bytes;
    st = gqa_atomic_check_space(target, gqa_weights_file_bytes(weights));
    if (st != GQA_OK)
        goto done;
    st =
        gqa_weights_write(weights, gqa_atomic_fd(target), &summary->file_bytes);
    if (st != GQA_OK)
        goto done;
    summary->content_bytes = header.n_bytes + header.data_bytes;
    summary->n_files = 1;
    st = gqa_atomic_commit(target);
done:
    gqa_st_header_free(&header);
    free(order);
    return st;
}

static enum gqa_status write_any(struct gqa_output_summary *summary,
                                 const char *path,
                                 const struct gqa_output_tensor *tensors,
                                 size_t n_tensors, gqa_produce_fn produce,
                                 void *produce_ctx,
                                 const struct gqa_output_options *options)
{
    struct gqa_weights weights = {
        .path = path,
        .tensors = tensors,
        .n = n_tensors,
        .produce = produce,
        .produce_ctx = produce_ctx,
        .options = options,
    };
    struct gqa_atomic *target = NULL;
    enum gqa_status st;

    if (options->kind == GQA_OUTPUT_FOLDER)
        return gqa_folder_write(summary, path, tensors, n_tensors, produce,
                                produce_ctx, options);
    if ((st = gqa_atomic_create_file(&target, path, options->force)) != GQA_OK)
        return st;
    st = write_file(summary, target, &weights);
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
    st = write_any(summary, path, tensors, n_tensors, produce, produce_ctx,
                   options);
    sigaction(SIGXFSZ, &before, NULL);
    return st;
}
