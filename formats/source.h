/*
 * One file of tensors, whatever its format: what each reader makes and what
 * a checkpoint is put together from.
 */
#ifndef GQA_FORMATS_SOURCE_H
#define GQA_FORMATS_SOURCE_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/tensor.h"

/* How tensors are named and which way matrices lie. */
enum gqa_naming {
    GQA_NAMES_TORCH,        /* Hugging Face names, Linear is [out, in] */
    GQA_NAMES_TF,           /* "encoder/block_._0/.../kernel:0", [in, out] */
    GQA_NAMES_KERAS,        /* "/layers/.../vars/0" */
    GQA_NAMES_KERAS_LEGACY, /* variable paths of a whole-model .h5 */
};

enum gqa_container {
    GQA_CONTAINER_SAFETENSORS,
    GQA_CONTAINER_GQA,
    GQA_CONTAINER_HDF5,
};

struct gqa_source;

struct gqa_source_ops {
    /*
     * Read a span of tensor `index` into buf (span->piece * span->count
     * bytes). The span has been checked against the tensor's size. Called
     * from several threads at once. The message has no file name.
     */
    enum gqa_status (*read)(struct gqa_source *source, size_t index,
                            const struct gqa_span *span, void *buf);
    /* Free everything, the source itself included. */
    void (*close)(struct gqa_source *source);
};

/* The first member of each reader's own struct. */
struct gqa_source {
    const struct gqa_source_ops *ops;
    char *path; /* as the user would name it */
    enum gqa_container container;
    enum gqa_naming naming;
    struct gqa_tensor *tensors; /* in file order, names unique, owned */
    size_t n_tensors;
    /* What the file says of itself; each NULL where it does not. */
    json_t *metadata; /* safetensors __metadata__: string -> string, owned */
    json_t *config;   /* a configuration inside the file, owned */
    json_t *manifest; /* of a .gqa, owned */
    uint64_t file_bytes;
    uint64_t content_bytes; /* uncompressed; file_bytes if not compressed */
};

/*
 * Open one file. Only headers are read. fd: open for reading, owned by the
 * source from the call on, also when it fails. path: for messages, copied.
 *
 * Each returns GQA_ERR_FORMAT with a message that names the cause (without
 * the path: the caller puts it in front), GQA_ERR_UNSUPPORTED for sound
 * files that we cannot read, GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_safetensors_open(struct gqa_source **out, int fd,
                                     uint64_t size, const char *path);

/*
 * A Zstandard stream in the seekable format whose content is a safetensors
 * file. salvage: where only the seek table is bad, warn and find the frames
 * by a scan instead of failing.
 */
GQA_MUST_USE
enum gqa_status gqa_gqa_open(struct gqa_source **out, int fd, uint64_t size,
                             const char *path, bool salvage);

/*
 * HDF5. The library parses the file in a sandboxed child process; tensors
 * are read by this one.
 */
GQA_MUST_USE
enum gqa_status gqa_hdf5_open(struct gqa_source **out, int fd, uint64_t size,
                              const char *path);

/* Accepts NULL. */
void gqa_source_close(struct gqa_source *source);

/* Free what the struct itself owns; for the readers' close(). */
void gqa_source_clear(struct gqa_source *source);

#endif
