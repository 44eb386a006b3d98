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

struct gqa_format;

/* What a source is opened from. */
struct gqa_file_handle {
    const char *path; /* for messages, copied; a folder's where fd is -1 */
    /*
     * Open for reading; the source's from the call on, also when it fails.
     * -1: a format that reads a folder as a whole.
     */
    int fd;
    uint64_t size;
    /* What is damaged but can be found out otherwise: warn and go on. */
    bool salvage;
    /* HDF5 is parsed without its sandbox. */
    bool unsafe_hdf5;
    /* Quantised weights are read as what they stand for; else refused, but
     * where the tensors are only listed. */
    bool dequantise, lists;
    /* Which one of a PyTorch file is read, by its path; NULL: the only one. */
    const char *state_dict;
    bool has_config; /* another configuration is given than that inside */
    /* Open a file that belongs to this one, which is watched as it is; NULL
     * where the file has no name. */
    enum gqa_status (*open_beside)(void *ctx, int *fd, uint64_t *size,
                                   const char *path);
    void *beside_ctx;
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
    const struct gqa_format *format;
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

/* Accepts NULL. */
void gqa_source_close(struct gqa_source *source);

/* Free what the struct itself owns; for the readers' close(). */
void gqa_source_clear(struct gqa_source *source);

#endif
