#include "formats/hdf5/origin.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"

enum { WINDOW = 64 << 10, BEFORE = 4 << 10, NEAR = 16 << 10 };

void gqa_h5_origin_note(struct gqa_h5_origin *origin, uint64_t address,
                        uint64_t n)
{
    const uint64_t end = address + n;
    struct gqa_h5_range *last =
        origin->n > 0 ? &origin->ranges[origin->n - 1] : NULL;

    if (n == 0 || end < address)
        return;
    /* Mostly what is read next lies beside what was read before. */
    if (last && address <= last->end && end >= last->start) {
        if (address < last->start)
            last->start = address;
        if (end > last->end)
            last->end = end;
        return;
    }
    if (origin->n == origin->room) {
        const size_t room = 2 * origin->room + 64;
        struct gqa_h5_range *larger =
            realloc(origin->ranges, room * sizeof *larger);

        if (!larger)
            return;
        origin->ranges = larger;
        origin->room = room;
    }
    assert(origin->ranges);
    origin->ranges[origin->n++] = (struct gqa_h5_range){address, end};
}

/* What was read once may be unreadable now: that is not "no". */
static bool read_again(struct gqa_h5_origin *origin, void *out, size_t n,
                       uint64_t address)
{
    errno = 0;
    if (gqa_file_read(origin->fd, out, n, address) == GQA_OK)
        return true;
    origin->is_unread = true;
    origin->error = errno;
    return false;
}

/* Whether the file has these n bytes at the address. */
static bool holds(struct gqa_h5_origin *origin, uint64_t address,
                  const unsigned char *bytes, size_t n)
{
    unsigned char block[4096];

    while (n > 0) {
        const size_t part = n < sizeof block ? n : sizeof block;

        if (!read_again(origin, block, part, address) ||
            memcmp(block, bytes, part) != 0)
            return false;
        address += part;
        bytes += part;
        n -= part;
    }
    return true;
}

/* The first place in the range. */
static bool find_in(struct gqa_h5_origin *origin, struct gqa_h5_range range,
                    const unsigned char *bytes, size_t n, uint64_t *address)
{
    static unsigned char window[WINDOW];
    const size_t head = n < WINDOW / 2 ? n : WINDOW / 2;

    while (range.end - range.start >= n) {
        const uint64_t left = range.end - range.start;
        const size_t part = left < WINDOW ? (size_t)left : WINDOW;
        const unsigned char *at = window, *hit;

        if (!read_again(origin, window, part, range.start))
            return false;
        while ((hit = memmem(at, part - (size_t)(at - window), bytes, head))) {
            const uint64_t place = range.start + (uint64_t)(hit - window);

            if (range.end - place < n)
                return false;
            if (holds(origin, place + head, bytes + head, n - head)) {
                *address = place;
                return true;
            }
            at = hit + 1;
        }
        if (part == left)
            return false;
        range.start += part - head + 1;
    }
    return false;
}

static bool try_range(struct gqa_h5_origin *origin, size_t i,
                      struct gqa_h5_range part, const void *bytes, size_t n)
{
    if (!find_in(origin, part, bytes, n, &origin->near))
        return false;
    origin->last = i;
    return true;
}

static bool try_near(struct gqa_h5_origin *origin, const void *bytes, size_t n)
{
    struct gqa_h5_range whole, near;

    if (origin->last >= origin->n)
        return false;
    whole = near = origin->ranges[origin->last];
    if (origin->near > near.start + BEFORE)
        near.start = origin->near - BEFORE;
    if (near.end - near.start > NEAR)
        near.end = near.start + NEAR;
    return try_range(origin, origin->last, near, bytes, n) ||
           try_range(origin, origin->last, whole, bytes, n);
}

static bool try_all(struct gqa_h5_origin *origin, const void *bytes, size_t n)
{
    for (size_t i = origin->n; i-- > 0;)
        if (try_range(origin, i, origin->ranges[i], bytes, n))
            return true;
    return false;
}

static int compare_starts(const void *a, const void *b)
{
    const struct gqa_h5_range *x = a;
    const struct gqa_h5_range *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* What was read piece by piece, with other reads between, becomes one. */
static void join_ranges(struct gqa_h5_origin *origin)
{
    size_t n = 0;

    if (origin->n == 0)
        return;
    qsort(origin->ranges, origin->n, sizeof *origin->ranges, compare_starts);
    for (size_t i = 1; i < origin->n; i++) {
        struct gqa_h5_range *to = &origin->ranges[n];
        const struct gqa_h5_range next = origin->ranges[i];

        if (next.start > to->end)
            origin->ranges[++n] = next;
        else if (next.end > to->end)
            to->end = next.end;
    }
    origin->n = n + 1;
    origin->last = origin->n;
}

bool gqa_h5_origin_find(struct gqa_h5_origin *origin, const void *bytes,
                        size_t n, uint64_t *address)
{
    if (n > 0 && !try_near(origin, bytes, n) && !try_all(origin, bytes, n)) {
        join_ranges(origin);
        if (!try_all(origin, bytes, n))
            return false;
    }
    *address = origin->near;
    return true;
}
