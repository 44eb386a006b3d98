#include "formats/hdf5/library/private.h"

#include <inttypes.h>
#include <string.h>

bool gqa_h5_count_chunks(hid_t dataset, hsize_t *n)
{
    /* H5S_ALL fails here up to 1.10.8 at least. */
    const hid_t space = H5Dget_space(dataset);
    const bool counted = H5Dget_num_chunks(dataset, space, n) >= 0;

    H5Sclose(space);
    return counted;
}

/* Leaves the chunk as it is where the library knows no place for it. */
static void locate_chunk(struct gqa_h5_chunk *chunk, hid_t dataset,
                         const hsize_t *offset)
{
    uint32_t skipped = 0;
    char nothing[1];

    gqa_h5_file.n_noted = 0;
    gqa_h5_file.noting = true;
    /* The driver does not touch the buffer while it takes notes. */
#if H5_VERSION_GE(2, 0, 0)
    H5Dread_chunk1(dataset, H5P_DEFAULT, offset, &skipped, nothing);
#else
    H5Dread_chunk(dataset, H5P_DEFAULT, offset, &skipped, nothing);
#endif
    gqa_h5_file.noting = false;
    if (gqa_h5_file.n_noted != 1 || gqa_h5_file.noted_size > UINT32_MAX)
        return;
    chunk->address = gqa_h5_file.noted_address;
    chunk->size = (uint32_t)gqa_h5_file.noted_size;
    chunk->skipped = skipped;
}

enum gqa_status gqa_h5_locate_chunks(struct gqa_h5_chunk *chunks,
                                     const struct gqa_h5_dataset *d)
{
    const hid_t dataset = H5Dopen2(gqa_h5_file.id, d->path, H5P_DEFAULT);
    hsize_t offset[GQA_MAX_RANK] = {0};
    hsize_t n_there = 0, n_found = 0;
    enum gqa_status st = GQA_OK;

    memset(chunks, 0, (size_t)d->n_chunks * sizeof *chunks);
    if (dataset < 0 || !gqa_h5_count_chunks(dataset, &n_there))
        st = gqa_fail(GQA_ERR_FORMAT,
                      "the HDF5 library cannot read the index of its chunks "
                      "(%s)",
                      gqa_h5_reason());
    for (uint64_t i = 0; n_found < n_there && i < d->n_chunks; i++) {
        locate_chunk(&chunks[i], dataset, offset);
        n_found += chunks[i].size > 0;
        /* To the next one, the last dimension running fastest. */
        for (unsigned k = d->rank; k-- > 0;) {
            offset[k] += d->chunk[k];
            if (offset[k] < d->shape[k])
                break;
            offset[k] = 0;
        }
    }
    /* One that was never written and one that is lost look alike. */
    if (st == GQA_OK && n_found != n_there)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "its index has %" PRIu64 " chunks, but only "
                      "%" PRIu64 " of them are found",
                      (uint64_t)n_there, (uint64_t)n_found);
    H5Dclose(dataset);
    return st;
}
