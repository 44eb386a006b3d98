#include "formats/write/weights.h"

#include "formats/write/sink.h"

struct gqa_stream gqa_weights_stream(const struct gqa_weights *w,
                                     struct gqa_sink *sink)
{
    return (struct gqa_stream){
        .sink = sink,
        .framing = GQA_FRAMING_NONE,
        .n_threads = w->output->options->n_threads,
        .tensors = w->output->tensors,
        .order = w->order,
        .n = w->n,
        .produce = w->output->produce,
        .produce_ctx = w->output->produce_ctx,
        .progress = w->output->options->progress,
        .progress_ctx = w->output->options->progress_ctx,
        .progress_base = w->progress_base,
        .progress_all = w->progress_all,
    };
}

enum gqa_status gqa_weights_write(const struct gqa_weights *w,
                                  const struct gqa_weights_form *form, int fd,
                                  uint64_t *file_bytes)
{
    struct gqa_sink *sink = NULL;
    enum gqa_status st;

    st = gqa_sink_create(&sink, fd, w->output->options->to_stdout, w->path,
                         form->file_bytes(w));
    if (st != GQA_OK)
        return st;
    if ((st = form->write(w, sink)) == GQA_OK)
        st = gqa_sink_finish(sink);
    *file_bytes = gqa_sink_offset(sink);
    gqa_sink_free(sink);
    return st;
}
