/* One file of weights, from its header to its last byte. */
#ifndef GQA_FORMATS_WRITE_WEIGHTS_H
#define GQA_FORMATS_WRITE_WEIGHTS_H

#include "formats/content_digest.h"
#include "formats/safetensors/header_write.h"
#include "formats/write/output.h"
#include "formats/write/stream.h"

struct gqa_weights {
    const char *path;                /* for messages, lent */
    const struct gqa_output *output; /* that it is part of, lent */
    const size_t *order; /* [n] of the output's tensors, in data order, lent */
    size_t n;
    const struct gqa_st_text *header; /* of these tensors, lent; NULL: the form
                                         has its own */
    uint64_t progress_base, progress_all; /* content bytes */
    struct gqa_content_digest *digest;    /* of the file, if plain; or NULL */
};

/* How a format lays them down. */
struct gqa_weights_form {
    /* The file's size where it is known beforehand, else 0. */
    uint64_t (*file_bytes)(const struct gqa_weights *weights);
    /* All of the file, from front to back. Errors of gqa_stream_run(). */
    enum gqa_status (*write)(const struct gqa_weights *weights,
                             struct gqa_sink *sink);
};

/* Their blocks on the way into the sink, as they are: without framing. */
struct gqa_stream gqa_weights_stream(const struct gqa_weights *weights,
                                     struct gqa_sink *sink);

/*
 * Write the file to fd, which is empty or a stream, and bring it to the device.
 *
 * file_bytes  receives its length on GQA_OK.
 * Errors      those of gqa_stream_run().
 */
GQA_MUST_USE
enum gqa_status gqa_weights_write(const struct gqa_weights *weights,
                                  const struct gqa_weights_form *form, int fd,
                                  uint64_t *file_bytes);

/*
 * A writer's write(), where an output is one file with all tensors and the
 * metadata.
 */
GQA_MUST_USE
enum gqa_status gqa_one_file_write(struct gqa_output_summary *summary,
                                   const struct gqa_output *output,
                                   const struct gqa_weights_form *form);

/* The same, once all is at hand; summary->content_bytes is the caller's. */
GQA_MUST_USE
enum gqa_status gqa_one_file_put(struct gqa_output_summary *summary,
                                 const struct gqa_weights *weights,
                                 const struct gqa_weights_form *form);

/*
 * The same of several files, of which readers open the first: it appears last,
 * and none of them where something fails. What is there already is never
 * replaced, whatever options->force says. options->kept_fd and to_stdout are
 * for one file.
 */
GQA_MUST_USE
enum gqa_status gqa_several_files_put(struct gqa_output_summary *summary,
                                      const struct gqa_weights *const *weights,
                                      size_t n,
                                      const struct gqa_weights_form *form);

/* And its check(). */
GQA_MUST_USE
enum gqa_status gqa_one_file_check(const char *path,
                                   const struct gqa_output_options *options);

#endif
