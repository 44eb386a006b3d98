/* What a member of a zip archive holds, checked against its checksum. */
#ifndef GQA_FORMATS_ZIP_UNPACK_H
#define GQA_FORMATS_ZIP_UNPACK_H

#include "formats/zip/archive.h"

/* Where the content goes, some bytes after others. */
struct gqa_zip_sink {
    enum gqa_status (*put)(void *ctx, const void *bytes, size_t n);
    void *ctx;
};

/*
 * Give a member of the archive that is open as fd to the sink, never more than
 * its n_unpacked bytes. Errors GQA_ERR_FORMAT: damaged; GQA_ERR_IO,
 * GQA_ERR_NOMEM, GQA_ERR_INTERRUPTED, the sink's. The message begins with the
 * member's name.
 */
GQA_MUST_USE
enum gqa_status gqa_zip_unpack(const struct gqa_zip_member *member, int fd,
                               const struct gqa_zip_sink *sink);

/* The whole of a small one, of at most max_bytes, with an end mark behind it.
 * The caller owns *out. Errors alike, and GQA_ERR_UNSUPPORTED: it is larger. */
GQA_MUST_USE
enum gqa_status gqa_zip_load(char **out, const struct gqa_zip_member *member,
                             int fd, size_t max_bytes);

#endif
