#include "formats/hdf5/chunks.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "formats/hdf5/filters.h"

enum {
    MAX_RUNS = 16384,
    /* Unfiltered chunks are cached only where that saves small reads. */
    MAX_CACHED_PLAIN_BYTES = 1 << 20,
    MIN_DIRECT_BYTES = 4096,
};

/* Bytes that lie together in a chunk, in the tensor and in the buffer. */
struct run {
    uint64_t chunk;
    uint64_t from; /* in the chunk */
    size_t to;     /* in the buffer */
    uint64_t at;   /* in the tensor */
    size_t length;
};

struct runs {
    struct run *items;
    size_t n;
    size_t room;
    bool sorted; /* by chunk */
};

static unsigned element_bytes(const struct gqa_h5_dataset *d)
{
    return gqa_dtype_bits(d->dtype) / 8;
}

void gqa_h5_fill(const struct gqa_h5_dataset *dataset, unsigned char *to,
                 uint64_t at, size_t n)
{
    static const unsigned char zeros[sizeof dataset->fill];
    const unsigned size = element_bytes(dataset);

    if (memcmp(dataset->fill, zeros, sizeof zeros) == 0) {
        memset(to, 0, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        to[i] = dataset->fill[(at + i) % size];
}

/* Filters that a chunk went through; the others count as skipped. */
static uint32_t skipped_filters(const struct gqa_h5_dataset *d, uint64_t chunk,
                                const struct gqa_h5_chunk *place)
{
    if (!d->raw_edges)
        return place->skipped;
    for (unsigned i = d->rank; i-- > 0;) {
        const uint64_t coordinate = chunk % d->grid[i];

        if ((coordinate + 1) * d->chunk[i] > d->shape[i])
            return UINT32_MAX; /* sticks out */
        chunk /= d->grid[i];
    }
    return place->skipped;
}

static bool is_plain(const struct gqa_h5_dataset *d, uint32_t skipped)
{
    for (unsigned i = 0; i < d->n_filters; i++)
        if (!(skipped >> i & 1))
            return false;
    return true;
}

struct load {
    const struct gqa_h5_chunked *source;
    uint64_t chunk;
    uint32_t skipped;
};

static enum gqa_status chunk_failure(const struct gqa_h5_chunked *source,
                                     enum gqa_status st, uint64_t chunk)
{
    return gqa_fail_prefix(st, "chunk %" PRIu64 " (at byte %" PRIu64 ")", chunk,
                           source->chunks[chunk].address);
}

/*
 * By way of two blocks of `room` bytes each; *content is one of them.
 * second: NULL where no filter has to be undone.
 */
static enum gqa_status read_chunk(const struct load *load,
                                  unsigned char **content, unsigned char *first,
                                  unsigned char *second, size_t room)
{
    const struct gqa_h5_dataset *d = load->source->dataset;
    const struct gqa_h5_chunk *place = &load->source->chunks[load->chunk];
    enum gqa_status st;

    if (place->size > room)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu32 " bytes are stored for %" PRIu64,
                        place->size, d->chunk_bytes);
    st = gqa_file_read(load->source->fd, first, place->size, place->address);
    if (st == GQA_OK)
        st = gqa_h5_decode(d, load->skipped, first, place->size, second,
                           content);
    if (st == GQA_OK && d->big_endian)
        gqa_h5_swap(*content, (size_t)d->chunk_bytes, element_bytes(d));
    return st;
}

static enum gqa_status load_chunk(void *ctx, unsigned char **content)
{
    const struct load *load = ctx;
    const struct gqa_h5_dataset *d = load->source->dataset;
    const bool plain = is_plain(d, load->skipped);
    const size_t room = plain ? (size_t)d->chunk_bytes : gqa_h5_decode_room(d);
    unsigned char *first = malloc(room);
    unsigned char *second = plain ? NULL : malloc(room);
    unsigned char *decoded = NULL;
    enum gqa_status st;

    if (!first || (!plain && !second))
        st = gqa_fail_nomem();
    else
        st = read_chunk(load, &decoded, first, second, room);
    if (st != GQA_OK)
        decoded = NULL;
    if (decoded != first)
        free(first);
    if (decoded != second)
        free(second);
    if (st != GQA_OK)
        return chunk_failure(load->source, st, load->chunk);
    /* Many small chunks are kept: give the spare room back. */
    *content = realloc(decoded, (size_t)d->chunk_bytes);
    if (!*content)
        *content = decoded;
    return GQA_OK;
}

static enum gqa_status copy_cached(const struct gqa_h5_chunked *source,
                                   const struct run *runs, size_t n,
                                   uint32_t skipped, unsigned char *buf)
{
    struct load load = {source, runs[0].chunk, skipped};
    const struct gqa_h5_key key = {source->index, runs[0].chunk};
    struct gqa_h5_cached *chunk;
    const unsigned char *content;
    const enum gqa_status st = gqa_h5_cache_get(
        source->cache, &chunk, key, (size_t)source->dataset->chunk_bytes,
        load_chunk, &load);

    if (st != GQA_OK)
        return st;
    content = gqa_h5_cached_content(chunk);
    for (size_t i = 0; i < n; i++)
        memcpy(buf + runs[i].to, content + runs[i].from, runs[i].length);
    gqa_h5_cache_give_back(source->cache, chunk);
    return GQA_OK;
}

static enum gqa_status copy_direct(const struct gqa_h5_chunked *source,
                                   const struct run *runs, size_t n,
                                   unsigned char *buf)
{
    const struct gqa_h5_chunk *place = &source->chunks[runs[0].chunk];
    enum gqa_status st = GQA_OK;

    if (place->size != source->dataset->chunk_bytes)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "it holds %" PRIu32 " bytes instead of "
                      "%" PRIu64,
                      place->size, source->dataset->chunk_bytes);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = gqa_file_read(source->fd, buf + runs[i].to, runs[i].length,
                           place->address + runs[i].from);
    return st == GQA_OK ? st : chunk_failure(source, st, runs[0].chunk);
}

/* All runs are of one chunk. */
static enum gqa_status copy_runs(const struct gqa_h5_chunked *source,
                                 const struct run *runs, size_t n,
                                 unsigned char *buf)
{
    const struct gqa_h5_dataset *d = source->dataset;
    const struct gqa_h5_chunk *place = &source->chunks[runs[0].chunk];
    uint32_t skipped;

    if (place->size == 0) {
        for (size_t i = 0; i < n; i++)
            gqa_h5_fill(d, buf + runs[i].to, runs[i].at, runs[i].length);
        return GQA_OK;
    }
    skipped = skipped_filters(d, runs[0].chunk, place);
    if (is_plain(d, skipped) && !d->big_endian &&
        (d->chunk_bytes > MAX_CACHED_PLAIN_BYTES ||
         runs[0].length >= MIN_DIRECT_BYTES))
        return copy_direct(source, runs, n, buf);
    return copy_cached(source, runs, n, skipped, buf);
}

static int compare_runs(const void *a, const void *b)
{
    const struct run *x = a;
    const struct run *y = b;

    if (x->chunk != y->chunk)
        return x->chunk < y->chunk ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

/* Chunk by chunk, so that each has to be there only once. */
static enum gqa_status flush(const struct gqa_h5_chunked *source,
                             struct runs *runs, unsigned char *buf)
{
    enum gqa_status st = GQA_OK;
    size_t n;

    if (!runs->sorted)
        qsort(runs->items, runs->n, sizeof *runs->items, compare_runs);
    for (size_t i = 0; i < runs->n && st == GQA_OK; i += n) {
        n = 1;
        while (i + n < runs->n &&
               runs->items[i + n].chunk == runs->items[i].chunk)
            n++;
        st = copy_runs(source, &runs->items[i], n, buf);
    }
    runs->n = 0;
    runs->sorted = true;
    return st;
}

static enum gqa_status add_run(const struct gqa_h5_chunked *source,
                               struct runs *runs, const struct run *run,
                               unsigned char *buf)
{
    struct run *last = runs->n > 0 ? &runs->items[runs->n - 1] : NULL;
    enum gqa_status st;

    if (last && last->chunk == run->chunk &&
        last->from + last->length == run->from &&
        last->to + last->length == run->to &&
        last->at + last->length == run->at) {
        last->length += run->length;
        return GQA_OK;
    }
    if (runs->n == MAX_RUNS) {
        if ((st = flush(source, runs, buf)) != GQA_OK)
            return st;
    } else if (runs->n == runs->room) {
        const size_t room = 2 * runs->room + 64;
        struct run *larger = realloc(runs->items, room * sizeof *larger);

        if (!larger)
            return gqa_fail_nomem();
        runs->items = larger;
        runs->room = room;
    }
    if (runs->n > 0 && runs->items[runs->n - 1].chunk > run->chunk)
        runs->sorted = false;
    runs->items[runs->n++] = *run;
    return GQA_OK;
}

/* The longest run that begins at byte `at` of the tensor. */
static struct run find_run(const struct gqa_h5_dataset *d, uint64_t at)
{
    const unsigned last = d->rank - 1, size = element_bytes(d);
    const uint64_t row = d->shape[last] * size;
    const uint64_t width = d->chunk[last] * size;
    const uint64_t in_row = at % row;
    uint64_t rows = at / row; /* whole rows before it */
    uint64_t in_chunk = in_row % width;
    uint64_t chunk = in_row / width;
    uint64_t chunk_stride = width; /* bytes, in the chunk */
    uint64_t grid_stride = d->grid[last];

    for (unsigned i = last; i-- > 0;) {
        const uint64_t coordinate = rows % d->shape[i];

        rows /= d->shape[i];
        in_chunk += coordinate % d->chunk[i] * chunk_stride;
        chunk_stride *= d->chunk[i];
        chunk += coordinate / d->chunk[i] * grid_stride;
        grid_stride *= d->grid[i];
    }
    return (struct run){
        .chunk = chunk,
        .from = in_chunk,
        .at = at,
        .length = (size_t)(row - in_row < width - in_row % width
                               ? row - in_row
                               : width - in_row % width),
    };
}

static enum gqa_status read_piece(const struct gqa_h5_chunked *source,
                                  struct runs *runs, uint64_t at, size_t n,
                                  size_t to, unsigned char *buf)
{
    enum gqa_status st = GQA_OK;

    while (n > 0 && st == GQA_OK) {
        struct run run = find_run(source->dataset, at);

        run.to = to;
        if (run.length > n)
            run.length = n;
        st = add_run(source, runs, &run, buf);
        at += run.length;
        to += run.length;
        n -= run.length;
    }
    return st;
}

enum gqa_status gqa_h5_chunked_read(const struct gqa_h5_chunked *source,
                                    const struct gqa_span *span,
                                    unsigned char *buf)
{
    struct runs runs = {.sorted = true};
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0; i < span->count && st == GQA_OK; i++)
        st = read_piece(source, &runs, span->offset + i * span->stride,
                        (size_t)span->piece, (size_t)(i * span->piece), buf);
    if (st == GQA_OK)
        st = flush(source, &runs, buf);
    free(runs.items);
    return st;
}
