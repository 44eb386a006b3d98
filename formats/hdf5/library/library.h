/*
 * The HDF5 library behind plain C: find objects, read lists of strings,
 * locate chunks. Only the parser's process calls this.
 */
#ifndef GQA_FORMATS_HDF5_LIBRARY_LIBRARY_H
#define GQA_FORMATS_HDF5_LIBRARY_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/hdf5/table.h"

/* What a dataset is good for. */
enum gqa_h5_kind {
    GQA_H5_GROUP,
    GQA_H5_TENSOR,
    GQA_H5_BARE_OPAQUE, /* 2 bytes of something: bf16 if Keras wrote it */
    GQA_H5_OTHER,       /* no tensor: strings, compounds, ...; see why */
    GQA_H5_REFUSED,     /* a tensor that cannot be read; see status, why */
};

struct gqa_h5_object {
    enum gqa_h5_kind kind;
    bool has_type_tag;             /* attribute __H5_TYPE__ */
    bool listed;                   /* for the survey */
    struct gqa_h5_dataset dataset; /* groups: only its path */
    enum gqa_status status;
    char *why; /* a whole message, owned */
};

struct gqa_h5_objects {
    struct gqa_h5_object *items; /* each group before what it holds */
    size_t n;
    size_t room;
};

void gqa_h5_objects_clear(struct gqa_h5_objects *objects);

struct gqa_h5_texts {
    char **items; /* each owned */
    size_t n;
};

void gqa_h5_texts_clear(struct gqa_h5_texts *texts);

/*
 * Load and start the library: no plug-ins, no printing, no external links.
 * Before the sandbox closes, since this looks at files.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_library_start(void);

struct gqa_h5_file;

/*
 * Open a file of `size` bytes, once. It lives as long as the process, and fd
 * as long as it is used.
 * Errors GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_file_open(struct gqa_h5_file **out, int fd,
                                 uint64_t size);

/*
 * Whether an allocation has failed at any time since the start, so that what
 * has been found, or not found, may be wrong.
 */
bool gqa_h5_short_of_memory(void);

/* The same of a read of the file, which is told of. Errors GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_h5_check_reading(void);

/* Whether there is an object at an absolute h5 path of hard links. */
bool gqa_h5_exists(struct gqa_h5_file *file, const char *path);

/*
 * Append every object below the group `base`, itself not included, in
 * natural order of names (2 before 10). Soft links are followed. Errors
 * GQA_ERR_FORMAT (damage, dangling links), GQA_ERR_UNSUPPORTED (a cycle,
 * links out of the file, too many objects), GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_walk(struct gqa_h5_file *file,
                            struct gqa_h5_objects *objects, const char *base);

/*
 * Append the strings of an attribute; fixed and variable length, any shape.
 * found: false, and nothing appended, where there is no such attribute.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_read_texts(struct gqa_h5_file *file,
                                  struct gqa_h5_texts *texts, bool *found,
                                  const char *path, const char *attribute);

/*
 * Where each chunk of a dataset lies: dataset->n_chunks, row-major. Errors
 * GQA_ERR_FORMAT; the message does not name the dataset.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_locate_chunks(struct gqa_h5_file *file,
                                     struct gqa_h5_chunk *chunks,
                                     const struct gqa_h5_dataset *dataset);

/* Of the headers that this was built with: "1.10.8". Asks nothing of the
 * library. */
void gqa_h5_version(char *out, size_t size);

#endif
