#include "align/records.h"

#include <assert.h>
#include <stdlib.h>

/* Of the device's memory, the share that stays free for what runs there. */
enum { SHARE_LEFT = 8 };

struct batch {
    void *rows; /* on the device, or else on the host */
    uint64_t n_bytes, room;
    bool on_host;
};

struct gqa_records {
    const struct gqa_backend *backend;
    struct gqa_device *device;
    struct batch *batches;
    size_t n, n_made; /* that have rows, and that have memory */
    /* On the device: of a batch that the host keeps. */
    void *visitor;
    uint64_t visitor_room;
};

enum gqa_status gqa_records_create(struct gqa_records **out,
                                   const struct gqa_backend *backend,
                                   struct gqa_device *device)
{
    struct gqa_records *r = calloc(1, sizeof *r);

    if (!r)
        return gqa_fail_nomem();
    r->backend = backend;
    r->device = device;
    *out = r;
    return GQA_OK;
}

static void free_rows(const struct gqa_records *r, struct batch *b)
{
    if (b->on_host)
        free(b->rows);
    else
        r->backend->free(r->device, b->rows);
    *b = (struct batch){0};
}

void gqa_records_free(struct gqa_records *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_made; i++)
        free_rows(r, &r->batches[i]);
    free(r->batches);
    r->backend->free(r->device, r->visitor);
    free(r);
}

void gqa_records_clear(struct gqa_records *r)
{
    r->n = 0;
}

static enum gqa_status has_room(bool *out, const struct gqa_records *r,
                                uint64_t n_bytes)
{
    struct gqa_device_info info;
    enum gqa_status st;

    *out = r->backend->in_place;
    if (*out)
        return GQA_OK;
    if ((st = r->backend->describe(r->device, &info)) != GQA_OK)
        return st;
    *out = info.free_bytes > n_bytes &&
           info.free_bytes - n_bytes >= info.total_bytes / SHARE_LEFT;
    return GQA_OK;
}

/* The next batch, with room for n_bytes. */
static enum gqa_status next_batch(struct batch **out, struct gqa_records *r,
                                  uint64_t n_bytes)
{
    struct batch *b;
    bool room;
    enum gqa_status st;

    if (r->n == r->n_made) {
        struct batch *grown =
            reallocarray(r->batches, r->n_made + 1, sizeof *grown);

        if (!grown)
            return gqa_fail_nomem();
        r->batches = grown;
        r->batches[r->n_made++] = (struct batch){0};
    }
    b = &r->batches[r->n];
    if (b->room < n_bytes) {
        free_rows(r, b);
        if ((st = has_room(&room, r, n_bytes)) != GQA_OK)
            return st;
        b->on_host = !room;
        if (room)
            st = r->backend->alloc(r->device, &b->rows, n_bytes);
        else if (!(b->rows = malloc(n_bytes)))
            st = gqa_fail_nomem();
        if (st != GQA_OK)
            return st;
        b->room = n_bytes;
    }
    b->n_bytes = n_bytes;
    *out = b;
    return GQA_OK;
}

enum gqa_status gqa_records_add(struct gqa_records *r,
                                const struct gqa_tapped *t)
{
    const uint64_t n_bytes =
        t->n_rows * t->width * (gqa_dtype_bits(t->real) / 8);
    struct batch *b = NULL;
    enum gqa_status st = next_batch(&b, r, n_bytes);

    if (st != GQA_OK)
        return st;
    st = b->on_host ? t->backend->download(t->device, b->rows, t->x, n_bytes)
                    : t->backend->copy(t->device, b->rows, t->x, n_bytes);
    if (st == GQA_OK)
        r->n++;
    return st;
}

enum gqa_status gqa_records_batch(const void **out, struct gqa_records *r,
                                  size_t batch)
{
    const struct batch *b = &r->batches[batch];
    enum gqa_status st = GQA_OK;

    assert(batch < r->n);
    *out = b->rows;
    if (!b->on_host)
        return GQA_OK;
    if (r->visitor_room < b->n_bytes) {
        r->backend->free(r->device, r->visitor);
        r->visitor = NULL;
        r->visitor_room = 0;
        st = r->backend->alloc(r->device, &r->visitor, b->n_bytes);
        if (st == GQA_OK)
            r->visitor_room = b->n_bytes;
    }
    *out = r->visitor;
    return st == GQA_OK
               ? r->backend->upload(r->device, r->visitor, b->rows, b->n_bytes)
               : st;
}
