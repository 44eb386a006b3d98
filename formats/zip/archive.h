/*
 * The members of a zip archive: where in the file the bytes of each lie.
 * Zip64; members that are stored or deflated; one file, no encryption.
 */
#ifndef GQA_FORMATS_ZIP_ARCHIVE_H
#define GQA_FORMATS_ZIP_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

struct gqa_zip_member {
    const char *name; /* lent by the archive */
    uint64_t header;  /* its local header, and behind that */
    uint64_t offset;  /* its bytes, from the file's start */
    uint64_t n_bytes; /* as they lie there */
    uint64_t n_unpacked;
    bool is_deflated; /* or stored, n_bytes being n_unpacked */
    uint32_t crc;     /* of the content; PyTorch may write any */
};

/* Zero-initialise; gqa_zip_clear() frees what reading put in. */
struct gqa_zip {
    struct gqa_zip_member *members; /* [n] by name */
    size_t n;
    char *names;
};

/*
 * Read the directory of an archive that is a whole file. Both of its copies
 * are read, that at the end and that before each member, and have to agree.
 * Memory is taken by what the file holds.
 *
 * Errors GQA_ERR_FORMAT: cut off, no archive, members that overlap, lie
 * outside of it or have one name. GQA_ERR_UNSUPPORTED: encrypted, compressed
 * otherwise, in several files, or a directory beyond 64 MiB. GQA_ERR_IO,
 * GQA_ERR_NOMEM. On an error the caller clears it, too.
 */
GQA_MUST_USE
enum gqa_status gqa_zip_read(struct gqa_zip *zip, int fd, uint64_t size);
void gqa_zip_clear(struct gqa_zip *zip);

/* The member of that name, or NULL. Lent. */
const struct gqa_zip_member *gqa_zip_find(const struct gqa_zip *zip,
                                          const char *name);

#endif
