/* Outputs that are one file of weights. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/file.h"
#include "formats/write/weights.h"

/* What was written is there for who has a descriptor of it, and gone with that:
 * this one is for reading, through the cache. */
static enum gqa_status keep(int *out, const struct gqa_atomic *target)
{
    char path[64];
    uint64_t size;

    snprintf(path, sizeof path, "/proc/self/fd/%d", gqa_atomic_fd(target));
    return gqa_file_open(out, &size, path);
}

/* target: NULL: to standard output, which appears as it is written. */
static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  struct gqa_atomic *target,
                                  const struct gqa_weights *weights,
                                  const struct gqa_weights_form *form)
{
    const int fd = target ? gqa_atomic_fd(target) : STDOUT_FILENO;
    enum gqa_status st = GQA_OK;

    if (target)
        st = gqa_atomic_check_space(target, form->file_bytes(weights));
    if (st != GQA_OK)
        return st;
    st = gqa_weights_write(weights, form, fd, &summary->file_bytes);
    if (st != GQA_OK)
        return st;
    summary->n_files = 1;
    if (weights->output->options->ready)
        st = weights->output->options->ready(
            weights->output->options->ready_ctx, summary);
    if (st != GQA_OK || !target)
        return st;
    return weights->output->options->kept_fd
               ? keep(weights->output->options->kept_fd, target)
               : gqa_atomic_commit(target);
}

enum gqa_status gqa_one_file_put(struct gqa_output_summary *summary,
                                 const struct gqa_weights *weights,
                                 const struct gqa_weights_form *form)
{
    const struct gqa_output_options *options = weights->output->options;
    struct gqa_atomic *target = NULL;
    enum gqa_status st = GQA_OK;

    if (!options->to_stdout)
        st = gqa_atomic_create_file(&target, weights->path, options->force);
    if (st == GQA_OK)
        st = write_file(summary, target, weights, form);
    gqa_atomic_free(target);
    return st;
}

enum gqa_status gqa_one_file_write(struct gqa_output_summary *summary,
                                   const struct gqa_output *output,
                                   const struct gqa_weights_form *form)
{
    const size_t n = output->n_tensors;
    struct gqa_st_text header = {0};
    size_t *order = calloc(n ? n : 1, sizeof *order);
    enum gqa_status st;

    if (!order)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    gqa_st_sort(order, n, output->tensors);
    st = gqa_st_text_create(&header, output->tensors, order, n,
                            output->options->metadata);
    summary->content_bytes = header.n_bytes + header.data_bytes;
    if (st == GQA_OK)
        st = gqa_one_file_put(summary,
                              &(const struct gqa_weights){
                                  .path = output->path,
                                  .output = output,
                                  .order = order,
                                  .n = n,
                                  .header = &header,
                                  .progress_all = header.data_bytes,
                              },
                              form);
    gqa_st_text_free(&header);
    free(order);
    return st;
}

enum gqa_status gqa_one_file_check(const char *path,
                                   const struct gqa_output_options *options)
{
    return options->to_stdout ? GQA_OK
                              : gqa_atomic_try_file(path, options->force);
}
