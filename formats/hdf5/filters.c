#include "formats/hdf5/filters.h"

#include <assert.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Element by element: what compilers make instructions for many of. */
#define SWAP_EACH(type, swap)                                      \
    for (size_t i = 0; i + sizeof(type) <= n; i += sizeof(type)) { \
        type v;                                                    \
                                                                   \
        memcpy(&v, at + i, sizeof v);                              \
        v = swap(v);                                               \
        memcpy(at + i, &v, sizeof v);                              \
    }

void gqa_h5_swap(void *data, size_t n, unsigned element_bytes)
{
    unsigned char *at = data;

    switch (element_bytes) {
    case 2:
        SWAP_EACH(uint16_t, __builtin_bswap16)
        break;
    case 4:
        SWAP_EACH(uint32_t, __builtin_bswap32)
        break;
    case 8:
        SWAP_EACH(uint64_t, __builtin_bswap64)
        break;
    default:
        assert(element_bytes == 1);
    }
}

size_t gqa_h5_decode_room(const struct gqa_h5_dataset *dataset)
{
    /* What compressors add to bytes that do not shrink, and checksums. */
    return (size_t)dataset->chunk_bytes + (size_t)dataset->chunk_bytes / 16 +
           4096;
}

/*
 * Bytes lie sorted by their place in the element; put each element together
 * again. A remainder smaller than an element is at the end as it was.
 */
static void unshuffle(unsigned char *to, const unsigned char *from, size_t n,
                      size_t element)
{
    const size_t count = n / element;

    if (element == 2) {
        for (size_t i = 0; i < count; i++) {
            to[2 * i] = from[i];
            to[2 * i + 1] = from[count + i];
        }
    } else if (element == 4) {
        for (size_t i = 0; i < count; i++) {
            to[4 * i] = from[i];
            to[4 * i + 1] = from[count + i];
            to[4 * i + 2] = from[2 * count + i];
            to[4 * i + 3] = from[3 * count + i];
        }
    } else {
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < element; k++)
                to[i * element + k] = from[k * count + i];
    }
    memcpy(to + count * element, from + count * element, n - count * element);
}

/* Over 16-bit big-endian words, an odd last byte being a high one. */
static uint32_t fletcher32(const unsigned char *data, size_t n)
{
    enum { WORDS_WITHOUT_CARRY = 360 };
    uint32_t low = 0, high = 0;
    size_t i = 0;

    while (i < n) {
        for (unsigned k = 0; k < WORDS_WITHOUT_CARRY && i < n; k++, i += 2) {
            const unsigned next = i + 1 < n ? data[i + 1] : 0;

            low += (uint32_t)data[i] << 8 | next;
            high += low;
        }
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    low = (low & 0xffff) + (low >> 16);
    high = (high & 0xffff) + (high >> 16);
    return high << 16 | low;
}

/* n: with the checksum; receives the length without. */
static enum gqa_status check_fletcher32(const unsigned char *data, size_t *n)
{
    uint32_t sum, stored, swapped;

    if (*n < sizeof sum)
        return gqa_fail(GQA_ERR_FORMAT, "no room for its checksum");
    *n -= sizeof sum;
    memcpy(&stored, data + *n, sizeof stored);
    sum = fletcher32(data, *n);
    /* HDF5 before 1.6.3 swapped the bytes of each half. */
    swapped = (sum & 0x00ff00ff) << 8 | (sum >> 8 & 0x00ff00ff);
    if (stored != sum && stored != swapped)
        return gqa_fail(GQA_ERR_FORMAT,
                        "its checksum (Fletcher-32) does not match");
    return GQA_OK;
}

static enum gqa_status inflate_chunk(unsigned char *to, size_t room,
                                     const unsigned char *from, size_t *n)
{
    uLongf got = room;
    const int rc = uncompress(to, &got, from, *n);

    if (rc == Z_MEM_ERROR)
        return gqa_fail_nomem();
    if (rc != Z_OK)
        return gqa_fail(GQA_ERR_FORMAT,
                        "its deflate stream is damaged or too long (zlib: %s)",
                        zError(rc));
    *n = got;
    return GQA_OK;
}

static enum gqa_status unzstd_chunk(unsigned char *to, size_t room,
                                    const unsigned char *from, size_t *n)
{
    const size_t got = ZSTD_decompress(to, room, from, *n);

    if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return gqa_fail_nomem();
    if (ZSTD_isError(got))
        return gqa_fail(GQA_ERR_FORMAT, "its zstd frame: %s",
                        ZSTD_getErrorName(got));
    *n = got;
    return GQA_OK;
}

enum gqa_status gqa_h5_decode(const struct gqa_h5_dataset *dataset,
                              uint32_t skipped, unsigned char *in, size_t n,
                              unsigned char *other, unsigned char **content)
{
    const size_t room = gqa_h5_decode_room(dataset);

    for (unsigned i = dataset->n_filters; i-- > 0;) {
        const struct gqa_h5_filter *filter = &dataset->filters[i];
        enum gqa_status st = GQA_OK;
        unsigned char *swap;

        if (skipped >> i & 1)
            continue;
        switch (filter->id) {
        case GQA_H5_FLETCHER32:
            if ((st = check_fletcher32(in, &n)) != GQA_OK)
                return st;
            continue; /* still in the same buffer */
        case GQA_H5_SHUFFLE:
            unshuffle(other, in, n, filter->element);
            break;
        case GQA_H5_DEFLATE:
            st = inflate_chunk(other, room, in, &n);
            break;
        case GQA_H5_ZSTD:
            st = unzstd_chunk(other, room, in, &n);
            break;
        }
        if (st != GQA_OK)
            return st;
        swap = in;
        in = other;
        other = swap;
    }
    if (n != dataset->chunk_bytes)
        return gqa_fail(GQA_ERR_FORMAT, "it holds %zu bytes instead of %llu", n,
                        (unsigned long long)dataset->chunk_bytes);
    *content = in;
    return GQA_OK;
}
