/*
 * A checkpoint: one file, the shards an index lists, or a folder of them.
 * It gives tensors, the configuration, and bytes of a tensor.
 *
 * The kind is found by content, never by name. Opening reads headers alone.
 */
#ifndef GQA_FORMATS_CHECKPOINT_H
#define GQA_FORMATS_CHECKPOINT_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/source.h"
#include "formats/tensor.h"

struct gqa_checkpoint;

struct gqa_checkpoint_options {
    const char *config_path; /* --config; NULL: beside or inside the file */
    bool salvage;            /* see struct gqa_file_handle */
    bool keep_going;         /* where the configuration cannot be read */
    bool unsafe_hdf5;        /* likewise */
    bool dequantise;         /* likewise */
    bool unwrap; /* leave out what wrappers of PyTorch put into names */
    const char *state_dict; /* likewise; lent */
    /* A descriptor of a file that has no name and is read in place of path,
     * which is what it is called; lent. NULL: none. */
    const int *fd;
};

/*
 * Open a checkpoint.
 *
 * path is one of
 *   - a file: safetensors, .gqa, HDF5 (TensorFlow, Keras, flat);
 *   - an index: model.safetensors.index.json, tf_model.h5.index.json,
 *     model.weights.json; it may name files of its own folder only, by
 *     bare name;
 *   - a folder that holds one of these;
 *   - "-": a file on standard input, which is read once (standard_input.h);
 *     its configuration is inside, or options name it.
 *
 * out    receives the checkpoint on GQA_OK. The caller owns it and ends it
 *        with gqa_checkpoint_close().
 * Errors GQA_ERR_IO, GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM; the
 *        message begins with the path at fault.
 */
GQA_MUST_USE
enum gqa_status gqa_checkpoint_open(
    struct gqa_checkpoint **out, const char *path,
    const struct gqa_checkpoint_options *options);
void gqa_checkpoint_close(struct gqa_checkpoint *checkpoint);

/*
 * That one of two checkpoints is of files that a state dict may be named of.
 * name: that was asked for; NULL: none, which is right. b may be NULL.
 * Errors GQA_ERR_USAGE.
 */
GQA_MUST_USE
enum gqa_status gqa_checkpoint_check_state_dict(const char *name,
                                                const struct gqa_checkpoint *a,
                                                const struct gqa_checkpoint *b);

/*
 * That none of the files that were read (weights, index, configuration) has
 * been written to, replaced or removed since they were opened, and that a
 * folder's weights would still be found in the same one.
 * Errors GQA_ERR_IO, GQA_ERR_NOMEM; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_checkpoint_check_unchanged(
    const struct gqa_checkpoint *checkpoint);

/* Whether it was opened with `unwrap`, and has names of PyTorch. */
bool gqa_checkpoint_unwraps(const struct gqa_checkpoint *checkpoint);

/* The files that were read, of these kinds, by their paths; lent. None of
 * standard input. */
size_t gqa_checkpoint_n_files(const struct gqa_checkpoint *checkpoint);
const char *gqa_checkpoint_file_read(const struct gqa_checkpoint *checkpoint,
                                     size_t index);

/* In a sentence for people: "HDF5 (TensorFlow), 2 shards". */
const char *gqa_checkpoint_kind(const struct gqa_checkpoint *checkpoint);
const char *gqa_checkpoint_path(const struct gqa_checkpoint *checkpoint);
/* The file that was read: weights, or the index that lists them; of a folder,
 * the one that was chosen. */
const char *gqa_checkpoint_file(const struct gqa_checkpoint *checkpoint);
/* The folder of the files: the path itself, or where the file lies; NULL: it
 * came through standard input, or has no name. */
const char *gqa_checkpoint_folder(const struct gqa_checkpoint *checkpoint);
/* Given as a folder: its other files (tokenizer...) belong to it. */
bool gqa_checkpoint_is_folder(const struct gqa_checkpoint *checkpoint);
enum gqa_naming gqa_checkpoint_naming(const struct gqa_checkpoint *checkpoint);

/* The files tensors lie in; all lent. */
size_t gqa_checkpoint_n_sources(const struct gqa_checkpoint *checkpoint);
const struct gqa_source *gqa_checkpoint_source(
    const struct gqa_checkpoint *checkpoint, size_t i);

/* File by file, in the order of the sources; names are unique over all.
 * Lent. */
size_t gqa_checkpoint_n_tensors(const struct gqa_checkpoint *checkpoint);
const struct gqa_tensor *gqa_checkpoint_tensor(
    const struct gqa_checkpoint *checkpoint, size_t i);
/* The file that it lies in. Lent. */
const struct gqa_source *gqa_checkpoint_source_of(
    const struct gqa_checkpoint *checkpoint, size_t tensor);

/*
 * The configuration as found (Hugging Face config.json or a KerasHub
 * preset's), or NULL. Lent. Precedence: --config, inside the file, beside
 * it. config_path: where it came from, for messages; lent.
 */
const json_t *gqa_checkpoint_config(const struct gqa_checkpoint *checkpoint);
const char *gqa_checkpoint_config_path(const struct gqa_checkpoint *checkpoint);
/* Why the one that was found cannot be read (keep_going); NULL: it can. Lent.
 */
const char *gqa_checkpoint_config_trouble(
    const struct gqa_checkpoint *checkpoint);

/*
 * Read a span of a tensor's row-major little-endian content into buf
 * (span->piece * span->count bytes). Any thread. Errors GQA_ERR_IO,
 * GQA_ERR_FORMAT (a damaged chunk or frame), GQA_ERR_USAGE (a span that
 * passes the tensor's end), with the path in the message.
 */
GQA_MUST_USE
enum gqa_status gqa_checkpoint_read(struct gqa_checkpoint *checkpoint,
                                    size_t tensor, const struct gqa_span *span,
                                    void *buf);

#endif
