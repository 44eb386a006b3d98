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

/* One chunk, asked for without reading it; left as it is where it has none. */
static void locate_chunk(struct gqa_h5_file *file, struct gqa_h5_chunk *chunk,
                         hid_t dataset, const hsize_t *offset)
{
    struct gqa_h5_place place = {0};
    uint32_t skipped = 0;
    char nothing[1];

    file->place = &place;
    /* The driver does not touch the buffer while it takes notes. */
#if H5_VERSION_GE(2, 0, 0)
    H5Dread_chunk1(dataset, H5P_DEFAULT, offset, &skipped, nothing);
#else
    H5Dread_chunk(dataset, H5P_DEFAULT, offset, &skipped, nothing);
#endif
    file->place = NULL;
    if (place.n != 1 || place.size > UINT32_MAX)
        return;
    chunk->address = place.address;
    chunk->size = (uint32_t)place.size;
    chunk->skipped = skipped;
}

/*
 * Fill in chunks, all zero before, that the index has, and count them. Stops
 * at n_there. H5Dget_chunk_info would scan all chunks for each one.
 */
static hsize_t locate_all(struct gqa_h5_file *file, struct gqa_h5_chunk *chunks,
                          hid_t dataset, const struct gqa_h5_dataset *d,
                          hsize_t n_there)
{
    hsize_t offset[GQA_MAX_RANK] = {0};
    hsize_t n_found = 0;

    for (uint64_t i = 0; n_found < n_there && i < d->n_chunks; i++) {
        locate_chunk(file, &chunks[i], dataset, offset);
        n_found += chunks[i].size > 0;
        /* To the next one, the last dimension running fastest. */
        for (unsigned k = d->rank; k-- > 0;) {
            offset[k] += d->chunk[k];
            if (offset[k] < d->shape[k])
                break;
            offset[k] = 0;
        }
    }
    return n_found;
}

enum gqa_status gqa_h5_locate_chunks(struct gqa_h5_file *file,
                                     struct gqa_h5_chunk *chunks,
                                     const struct gqa_h5_dataset *d)
{
    const hid_t dataset = H5Dopen2(file->id, d->path, H5P_DEFAULT);
    hsize_t n_there = 0, n_found = 0;
    enum gqa_status st = GQA_OK;

    memset(chunks, 0, (size_t)d->n_chunks * sizeof *chunks);
    if (dataset < 0 || !gqa_h5_count_chunks(dataset, &n_there))
        st = gqa_fail(GQA_ERR_FORMAT,
                      "the HDF5 library cannot read the index of its chunks "
                      "(%s)",
                      gqa_h5_reason());
    else
        n_found = locate_all(file, chunks, dataset, d, n_there);
    /* One that was never written and one that is lost look alike. */
    if (st == GQA_OK && n_found != n_there)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "its index has %" PRIu64 " chunks, but only "
                      "%" PRIu64 " of them are found",
                      (uint64_t)n_there, (uint64_t)n_found);
    H5Dclose(dataset);
    return st;
}
