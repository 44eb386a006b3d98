#include "formats/safetensors/write.h"

#include <stdio.h>

#include "formats/write/sink.h"
#include "formats/writers.h"

static uint64_t file_bytes(const struct gqa_weights *w)
{
    return w->header->n_bytes + w->header->data_bytes;
}

static enum gqa_status write_all(const struct gqa_weights *w,
                                 struct gqa_sink *sink)
{
    struct gqa_stream stream;
    enum gqa_status st;

    st = gqa_sink_write(sink, w->header->bytes, w->header->n_bytes);
    if (st != GQA_OK)
        return st;
    stream = gqa_weights_stream(w, sink);
    if (w->digest)
        gqa_content_digest_update(w->digest, w->header->bytes,
                                  w->header->n_bytes);
    stream.content_digest = w->digest;
    return gqa_stream_run(&stream);
}

const struct gqa_weights_form gqa_safetensors_form = {file_bytes, write_all};

static enum gqa_status write_file(struct gqa_output_summary *summary,
                                  const struct gqa_output *output)
{
    return gqa_one_file_write(summary, output, &gqa_safetensors_form);
}

static void describe(char *out, size_t size,
                     const struct gqa_output_settings *settings)
{
    (void)settings;
    snprintf(out, size, "a safetensors file");
}

const struct gqa_writer gqa_writer_safetensors = {
    .word = ".safetensors",
    .name = "safetensors",
    .label = ".safetensors file",
    .form = "NAME.safetensors",
    .names = (const char *const[]){"*.safetensors", NULL},
    .stock = true,
    .describe = describe,
    .check = gqa_one_file_check,
    .write = write_file,
};
