/*
 * What the files of this folder share: HDF5's own types stay within it. The
 * library's state, like the note that it ran out of memory, is that of the
 * process; all else belongs to a file.
 */
#ifndef GQA_FORMATS_HDF5_LIBRARY_PRIVATE_H
#define GQA_FORMATS_HDF5_LIBRARY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "formats/hdf5/library/h5.h"
#include "formats/hdf5/library/library.h"
#include "formats/hdf5/origin.h"

#if !H5_VERSION_GE(1, 10, 5)
#error "HDF5 1.10.5 or newer is needed (H5Dget_num_chunks)"
#endif

/* Where the one piece of raw data lay that the library asked for. */
struct gqa_h5_place {
    unsigned n; /* times that it asked */
    haddr_t address;
    size_t size;
};

struct gqa_h5_file {
    hid_t id;
    int fd;
    uint64_t size;
    bool opened;                 /* once; nothing in a file may open it again */
    struct gqa_h5_origin origin; /* of what was read, but for chunks */
    /* Unless NULL, raw data is not read but its place noted: the way to find
     * chunks without H5Dchunk_iter. */
    struct gqa_h5_place *place;
};

/* Fill the table of h5.h. Errors those of gqa_library_load(). */
GQA_MUST_USE
enum gqa_status gqa_h5_library_load(void);

/*
 * The file driver, registered when the library starts: reads the descriptor
 * of a file, and cannot open, write or grow anything.
 */
bool gqa_h5_driver_register(void);
/* Have an access list open this file. */
bool gqa_h5_driver_set(hid_t access, struct gqa_h5_file *file);

/* An allocation has failed; see gqa_h5_short_of_memory(). */
void gqa_h5_note_no_memory(void);
/* A read has failed, for this errno, or 0: the file has become shorter. */
void gqa_h5_note_read_error(int error);

/* Whether the library has these bytes from the file, and nowhere else; where
 * they lie there. */
bool gqa_h5_find_in_file(struct gqa_h5_file *file, const void *bytes, size_t n,
                         uint64_t *address);
bool gqa_h5_is_from_file(struct gqa_h5_file *file, const void *bytes, size_t n);

/* Failures: what the library itself says of its last one. */
const char *gqa_h5_reason(void);
enum gqa_status gqa_h5_damaged(const char *path, const char *what);
enum gqa_status gqa_h5_not_in_file(const char *path, const char *what);

/* Whether a text attribute has this value. */
bool gqa_h5_attribute_is(struct gqa_h5_file *file, hid_t object,
                         const char *name, const char *value);
/* Whether an attribute is a number or truth value other than zero. */
bool gqa_h5_attribute_is_true(hid_t object, const char *name);

/* Fill in the object's dataset: its element type, ... */
enum gqa_status gqa_h5_describe_type(struct gqa_h5_file *file,
                                     struct gqa_h5_object *object,
                                     hid_t dataset, hid_t type);
/* ... and where its values lie and what they went through. */
enum gqa_status gqa_h5_describe_layout(struct gqa_h5_file *file,
                                       struct gqa_h5_object *object,
                                       hid_t dataset, hid_t plist, hid_t type,
                                       H5D_layout_t layout);

/*
 * Fill in an object whose path is set. What cannot be read is no failure yet:
 * the object says why.
 */
enum gqa_status gqa_h5_describe_dataset(struct gqa_h5_file *file,
                                        struct gqa_h5_object *object,
                                        hid_t dataset);
/* Neither a group nor a dataset */
enum gqa_status gqa_h5_describe_other(struct gqa_h5_object *object,
                                      const char *what);
/* A dataset that is no tensor. */
enum gqa_status gqa_h5_is_other(struct gqa_h5_object *object, const char *what);

bool gqa_h5_count_chunks(hid_t dataset, hsize_t *n);

#endif
