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

/*
 * One function, two ways: locate_all() fills in those of the chunks, all zero
 * before, that the index has, and counts them.
 */

#if GQA_H5_HAS_CHUNK_ITER

struct located {
    struct gqa_h5_chunk *chunks;
    const struct gqa_h5_dataset *dataset;
    hsize_t n_found;
};

/* Place of a chunk in row-major order; n_chunks: it is none of the grid. */
static uint64_t chunk_number(const struct gqa_h5_dataset *d,
                             const hsize_t *offset)
{
    uint64_t number = 0;

    for (unsigned k = 0; k < d->rank; k++) {
        const uint64_t at = offset[k] / d->chunk[k];

        if (at >= d->grid[k])
            return d->n_chunks;
        number = number * d->grid[k] + at;
    }
    return number;
}

static int take_chunk(const hsize_t *offset, unsigned skipped, haddr_t address,
                      hsize_t size, void *arg)
{
    struct located *located = arg;
    const uint64_t number = chunk_number(located->dataset, offset);

    if (size == 0 || address == HADDR_UNDEF) /* none */
        return H5_ITER_CONT;
    if (number == located->dataset->n_chunks || size > UINT32_MAX ||
        located->chunks[number].size > 0)
        return H5_ITER_ERROR;
    located->chunks[number] = (struct gqa_h5_chunk){
        .address = address, .size = (uint32_t)size, .skipped = skipped};
    located->n_found++;
    return H5_ITER_CONT;
}

static hsize_t locate_all(struct gqa_h5_file *file, struct gqa_h5_chunk *chunks,
                          hid_t dataset, const struct gqa_h5_dataset *d,
                          hsize_t n_there)
{
    struct located located = {.chunks = chunks, .dataset = d};

    (void)file;
    /* Where it fails, fewer than these are found. */
    if (n_there > 0)
        (void)H5Dchunk_iter(dataset, H5P_DEFAULT, take_chunk, &located);
    return located.n_found;
}

#else

/* One chunk, asked for without reading it; left as it is where it has none. */
static void locate_chunk(struct gqa_h5_file *file, struct gqa_h5_chunk *chunk,
                         hid_t dataset, const hsize_t *offset)
{
    struct gqa_h5_place place = {0};
    uint32_t skipped = 0;
    char nothing[1];

    file->place = &place;
    /* The driver does not touch the buffer while it takes notes. */
    H5Dread_chunk(dataset, H5P_DEFAULT, offset, &skipped, nothing);
    file->place = NULL;
    if (place.n != 1 || place.size > UINT32_MAX)
        return;
    chunk->address = place.address;
    chunk->size = (uint32_t)place.size;
    chunk->skipped = skipped;
}

/* H5Dget_chunk_info would scan all chunks for each one. */
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

#endif

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
