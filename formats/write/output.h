/*
 * Writing a grouped checkpoint: blocks of every tensor are produced on
 * several threads, hashed, compressed and written, and the result appears
 * under its name at once or not at all.
 */
#ifndef GQA_FORMATS_WRITE_OUTPUT_H
#define GQA_FORMATS_WRITE_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/status.h"

struct gqa_checkpoint; /* formats/checkpoint.h */
struct gqa_companions; /* formats/folder/companions.h */
struct gqa_model;      /* formats/model/model.h */
struct gqa_tensor;     /* formats/tensor.h */
struct gqa_writer;     /* formats/writers.h */

struct gqa_output_summary {
    uint64_t content_bytes; /* the safetensors stream(s), headers included */
    uint64_t file_bytes;    /* written: files of weights and index */
    size_t n_files;         /* of weights and index */
    /* Of a folder, while `ready` is called: what came along, and what did
     * not; else NULL. */
    const struct gqa_companions *companions;
};

/* A tensor is produced in blocks of this many bytes, the last one shorter. */
#define GQA_BLOCK_BYTES ((size_t)4 << 20)

enum gqa_output_part {
    GQA_OUTPUT_WEIGHT,
    /* A copy of another, or a constant that nothing reads: left out where
     * loaders take no more than a model needs. */
    GQA_OUTPUT_NEEDLESS,
    /* Not among the weights where they lie in a folder. */
    GQA_OUTPUT_TRANSFORM,
};

struct gqa_output_tensor {
    const char *name; /* lent */
    enum gqa_dtype dtype;
    unsigned rank;
    const uint64_t *shape; /* [rank], lent */
    uint64_t n_bytes;
    enum gqa_output_part part;
};

/* A transform of the source's that comes along as it is. Lent is what t lends.
 */
struct gqa_output_tensor gqa_output_transform(const struct gqa_tensor *t);

/* What is for some writers: each takes what it can (writers.h). */
struct gqa_output_settings {
    bool store;     /* frames without compression */
    unsigned level; /* of zstd */
    /* Largest data size of one of several files; 0: what the writer does by
     * itself. */
    uint64_t shard_bytes;
};

struct gqa_output_options {
    const struct gqa_writer *writer;
    struct gqa_output_settings settings;
    unsigned n_threads; /* at least 1 */
    bool force;         /* replace what exists */
    /* To standard output, front to back, and `path` is a name for messages:
     * outputs that are one file. */
    bool to_stdout;
    /* Outputs that are one file: it does not appear, and whatever has its name
     * stays; receives a descriptor to read it by. Lent; NULL: it appears. */
    int *kept_fd;

    /*
     * __metadata__ of the file or of every shard of a folder, string ->
     * string, lent. NULL: the shards of a folder carry `format` alone.
     */
    const json_t *metadata;
    /* What the tensors are: the configuration, and the model as it was before
     * its heads were grouped. Each NULL where the writer does not ask for it.
     * Lent. */
    const json_t *config;
    const struct gqa_model *model;
    const struct gqa_checkpoint *source; /* what they are made of */
    uint64_t n_kv_heads;                 /* of all its layers; 0: they differ */
    bool allow_hybrid; /* they may differ where loaders take one number */
    /* Of a folder: README.md, and a folder whose other files come along where
     * they are true of the output (formats/folder/left_out.h); each NULL for
     * none. Lent. */
    const char *card;
    const char *copy_from;
    /* Of a folder, for a conversion: its Python module (formats/families/
     * remote_code.h), name and text; NULL: it has none. Lent. */
    const char *module_name, *module;
    bool converts;    /* such a module of copy_from does not come along */
    const char *tool; /* of ours, that writes the folder; lent */

    /* Called from one thread at a time, now and then; NULL for none. */
    void (*progress)(void *ctx, uint64_t done_bytes, uint64_t all_bytes);
    void *progress_ctx;

    /*
     * Called when all is written and on the device, before it appears: the
     * last moment for the caller to fail. NULL for none.
     */
    enum gqa_status (*ready)(void *ctx,
                             const struct gqa_output_summary *summary);
    void *ready_ctx;
};

/*
 * Fill buf with the n content bytes of a tensor from offset on, both whole
 * elements. worker: number of the calling thread, below n_threads. Any order,
 * any thread.
 */
typedef enum gqa_status (*gqa_produce_fn)(void *ctx, unsigned worker,
                                          size_t tensor, uint64_t offset,
                                          size_t n, void *buf);

/* What gqa_output_write() is given, all of it lent. */
struct gqa_output {
    const char *path;
    const struct gqa_output_tensor *tensors;
    size_t n_tensors;
    gqa_produce_fn produce;
    void *produce_ctx;
    const struct gqa_output_options *options;
};

/*
 * Write tensors to path.
 *
 * tensors  any order; written sorted by dtype (widest first), then name, as
 *          the safetensors library does, so that data stays aligned.
 * Errors   GQA_ERR_USAGE: path exists and force is false, or replacing it
 *          would lose other files; GQA_ERR_IO: not writable, disk full;
 *          GQA_ERR_INTERRUPTED: gqa_interrupt_pending() came true; whatever
 *          produce or ready returns. After an error nothing is left behind and
 *          what was at path is untouched; what went to standard output is
 *          gone.
 */
GQA_MUST_USE
enum gqa_status gqa_output_write(struct gqa_output_summary *summary,
                                 const char *path,
                                 const struct gqa_output_tensor *tensors,
                                 size_t n_tensors, gqa_produce_fn produce,
                                 void *produce_ctx,
                                 const struct gqa_output_options *options);

/*
 * Whether gqa_output_write() would refuse what is at path, or its folder;
 * nothing is written. Of options writer, to_stdout, force, card, copy_from,
 * converts and n_kv_heads count.
 */
GQA_MUST_USE
enum gqa_status gqa_output_try(const char *path,
                               const struct gqa_output_options *options);

#endif
