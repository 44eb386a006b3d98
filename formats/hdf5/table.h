/*
 * What the parser's process finds in an HDF5 file: which datasets are
 * tensors and where their bytes lie. It comes from a process that a hostile
 * file may have taken over, so that decoding checks everything again.
 */
#ifndef GQA_FORMATS_HDF5_TABLE_H
#define GQA_FORMATS_HDF5_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/hdf5/wire.h"
#include "formats/source.h"
#include "formats/tensor.h"

enum {
    GQA_H5_MAX_PATH = 4096,
    GQA_H5_MAX_FILTERS = 8,
    GQA_H5_MAX_OBJECTS = 1 << 18,      /* links followed in one file */
    GQA_H5_MAX_CHUNKS = 1 << 21,       /* of one dataset */
    GQA_H5_MAX_CHUNK_BYTES = 64 << 20, /* where it has to be decoded */
    GQA_H5_MAX_TABLE_BYTES = 64 << 20,
    GQA_H5_MAX_CONFIG_BYTES = 1 << 20,
};

enum gqa_h5_layout {
    GQA_H5_CONTIGUOUS, /* in one piece; also what HDF5 calls compact */
    GQA_H5_CHUNKED,
    GQA_H5_ABSENT, /* never written: the fill value everywhere */
};

/* The registered numbers of the filters that we undo. */
enum gqa_h5_filter_id {
    GQA_H5_DEFLATE = 1,
    GQA_H5_SHUFFLE = 2,
    GQA_H5_FLETCHER32 = 3,
    GQA_H5_ZSTD = 32015,
};

struct gqa_h5_filter {
    enum gqa_h5_filter_id id;
    uint32_t element; /* shuffle: bytes of what it took for an element */
};

struct gqa_h5_dataset {
    char *path; /* h5 path, owned */
    enum gqa_dtype dtype;
    bool big_endian;
    unsigned rank;
    uint64_t shape[GQA_MAX_RANK];
    enum gqa_h5_layout layout;
    uint64_t offset;              /* contiguous: in the file */
    unsigned char fill[8];        /* one element, little-endian */
    uint64_t chunk[GQA_MAX_RANK]; /* chunked: elements in each dimension */
    uint64_t n_written;           /* chunked: chunks that are in the file */
    bool raw_edges;               /* chunks that stick out are not filtered */
    unsigned n_filters;           /* in the order of writing */
    struct gqa_h5_filter filters[GQA_H5_MAX_FILTERS];
    /* What follows from the above; set by gqa_h5_dataset_check(). */
    uint64_t n_elements;
    uint64_t n_bytes;
    uint64_t chunk_bytes;
    uint64_t grid[GQA_MAX_RANK]; /* chunks in each dimension */
    uint64_t n_chunks;
};

/* One variable; some files hold it several times. */
struct gqa_h5_variable {
    char *name;      /* owned */
    size_t first;    /* of its datasets */
    size_t n_copies; /* at least 1; equal in dtype and shape */
};

struct gqa_h5_table {
    enum gqa_naming naming;
    struct gqa_h5_variable *variables; /* names unique, owned */
    size_t n_variables;
    struct gqa_h5_dataset *datasets; /* grouped by variable, owned */
    size_t n_datasets;
    char *config; /* JSON, or NULL; owned */
    char *notes;  /* lines for the log, each ending in a newline; owned */
};

/* Where a chunk lies; size 0: nowhere, it was never written. */
struct gqa_h5_chunk {
    uint64_t address; /* in the file */
    uint32_t size;    /* bytes as stored */
    uint32_t skipped; /* bit i: filter i was not applied */
};

/* What a dataset is stored in: its chunks, or 1; none where it is empty. */
uint64_t gqa_h5_n_parts(const struct gqa_h5_dataset *dataset);
/* How many of them are not in the file, and read as the fill value. */
uint64_t gqa_h5_n_unwritten(const struct gqa_h5_dataset *dataset);

/* Derive n_elements and n_bytes from the shape. Errors GQA_ERR_FORMAT. */
GQA_MUST_USE
enum gqa_status gqa_h5_dataset_measure(struct gqa_h5_dataset *dataset);

/*
 * Derive all that follows from shape, dtype and chunk. file_bytes: the length
 * of the file that the dataset must lie in. Errors GQA_ERR_FORMAT,
 * GQA_ERR_UNSUPPORTED; the message begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_dataset_check(struct gqa_h5_dataset *dataset,
                                     uint64_t file_bytes);

/* Free what it owns, not the struct. */
void gqa_h5_dataset_clear(struct gqa_h5_dataset *dataset);
void gqa_h5_table_clear(struct gqa_h5_table *table);

void gqa_h5_table_encode(struct gqa_wire *wire,
                         const struct gqa_h5_table *table);

/*
 * table: zero-initialised; to be cleared also after a failure.
 * Errors GQA_ERR_FORMAT, GQA_ERR_UNSUPPORTED, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_table_decode(struct gqa_h5_table *table,
                                    const void *message, size_t length,
                                    uint64_t file_bytes);

#endif
