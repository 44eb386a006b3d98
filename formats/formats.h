/*
 * The formats: each is an entry, defined in its folder, and a line here. All
 * that depends on the kind of a file asks its entry.
 *
 * Formats that are not read have entries too: they say what to do instead.
 */
#ifndef GQA_FORMATS_FORMATS_H
#define GQA_FORMATS_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/source.h"

/*
 * In the order in which a file is tried: the first that recognises it has
 * it. What has a mark of its own comes before what is known by its form.
 */
#define GQA_FORMATS(X) \
    X(hdf5)            \
    X(gqa)             \
    X(safetensors)     \
    X(index)           \
    X(keras)           \
    X(hdf5_behind)     \
    X(torch)           \
    X(pickle)          \
    X(gguf)            \
    X(zip)             \
    X(ggml)            \
    X(llama2c)         \
    X(zst)             \
    X(gzip)            \
    X(xz)              \
    X(bzip2)           \
    X(sevenzip)        \
    X(rar)             \
    X(lz4)             \
    X(tar)             \
    X(numpy)           \
    X(git_lfs)         \
    X(web_page)        \
    X(server_error)    \
    X(openvino)        \
    X(t5x)             \
    X(apple_double)    \
    X(tflite)          \
    X(tensorrt)        \
    X(llm_c)           \
    X(ctranslate2)     \
    X(core_ml)         \
    X(saved_model)     \
    X(onnx)            \
    X(tf_checkpoint)   \
    X(flax)            \
    X(distcp)          \
    X(rust_bert)       \
    X(llama2c_bare)

/* A file to be recognised: its beginning, and the rest by reading. */
struct gqa_file_start {
    unsigned char bytes[512];
    size_t n; /* the whole file where it is shorter */
    int fd;
    uint64_t size;
};

/* Bytes that a format puts at a place of its own. */
struct gqa_mark {
    size_t offset;
    const char *bytes;
    size_t n;
};

#define GQA_MARK(offset, text)         \
    {                                  \
        offset, text, sizeof(text) - 1 \
    }

/* How names of files of a format end. */
struct gqa_name_ending {
    const char *text;
    bool may_be_else; /* than weights: copied along with a checkpoint */
    bool is_common;   /* much else is called so: a folder's are looked into */
    bool is_made; /* of a model that lies beside it: taken where none does */
};

struct gqa_format {
    const char *word;  /* for programs; NULL: no source is of this format */
    const char *label; /* in lists for people; NULL as above */
    /* For people, of a source: "HDF5 (TensorFlow)". */
    const char *(*describe)(enum gqa_naming naming);

    /*
     * What tells the format: one of the marks, or the function, which says
     * whether a file is of the format or means to be; what is wrong with it
     * is for open() to say. Each NULL for none; marks end in one of no bytes.
     * Errors GQA_ERR_IO.
     */
    const struct gqa_mark *marks;
    enum gqa_status (*recognise)(bool *is, const struct gqa_file_start *start);

    /*
     * Open a file; only headers are read. Errors GQA_ERR_FORMAT, with a
     * message that names the cause (without the path: the caller puts it in
     * front), GQA_ERR_UNSUPPORTED for sound files that we cannot read,
     * GQA_ERR_IO, GQA_ERR_NOMEM. NULL for the two kinds that follow.
     */
    enum gqa_status (*open)(struct gqa_source **out,
                            const struct gqa_file_handle *file);
    /* JSON that names the files of a checkpoint: index.h. */
    bool is_index;
    /* A file may hold several checkpoints by name (gqa_file_handle). */
    bool has_state_dicts;
    /* Loaders take no tensors besides, such as transforms of ours. */
    bool has_weights_alone;
    /* A format that is not read: what it is and what to do; or what the
     * beginning of a file tells of that. */
    const char *advice;
    const char *(*advise)(const struct gqa_file_start *start);

    /*
     * What a folder is searched for: `names` are whole, or '*' and an ending,
     * best first, and those of the format with the least `preference` before
     * others' (from 1 on, each its own); after these, any one file with an
     * ending of a format that is read. Lists end in NULL; each NULL for none.
     */
    const char *const *names;
    unsigned preference;
    const struct gqa_name_ending *endings;
};

#define GQA_FORMAT_DECLARE(name) \
    extern const struct gqa_format gqa_format_##name;
GQA_FORMATS(GQA_FORMAT_DECLARE)
#undef GQA_FORMAT_DECLARE

extern const struct gqa_format *const gqa_formats[];
extern const size_t gqa_n_formats;

/* Whether it is one of `names` of a format: whole, or '*' and an ending. */
bool gqa_name_fits(const char *name, const char *pattern);

/* The format with names that comes after `last`, by preference; NULL: the
 * first, and none after the last. */
const struct gqa_format *gqa_format_next_preferred(
    const struct gqa_format *last);

#endif
