#include "formats/zip/unpack.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/bounds.h"
#include "common/file.h"
#include "common/interrupt.h"

enum { PIECE = 256 << 10 };

struct unpacking {
    const struct gqa_zip_member *m;
    const struct gqa_zip_sink *sink;
    int fd;
    uint64_t read, written;
    unsigned long crc;
    unsigned char *in, *out; /* [PIECE] */
};

static enum gqa_status put(struct unpacking *u, const void *bytes, size_t n)
{
    if (n > u->m->n_unpacked - u->written)
        return gqa_fail(GQA_ERR_FORMAT,
                        "it holds more than the %" PRIu64 " bytes that it says",
                        u->m->n_unpacked);
    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    u->written += n;
    u->crc = crc32(u->crc, bytes, (unsigned)n);
    return u->sink->put(u->sink->ctx, bytes, n);
}

/* The next bytes of the file into u->in; *n is 0 at the member's end. */
static enum gqa_status take(struct unpacking *u, size_t *n)
{
    enum gqa_status st;

    *n = (size_t)gqa_min_u64(u->m->n_bytes - u->read, PIECE);
    st = gqa_file_read(u->fd, u->in, *n, u->m->offset + u->read);
    u->read += *n;
    return st;
}

static enum gqa_status copy(struct unpacking *u)
{
    enum gqa_status st;
    size_t n;

    do {
        st = take(u, &n);
        if (st == GQA_OK && n > 0)
            st = put(u, u->in, n);
    } while (st == GQA_OK && n > 0);
    return st;
}

static enum gqa_status inflate_all(struct unpacking *u, z_stream *z)
{
    enum gqa_status st = GQA_OK;
    int status = Z_OK;

    while (status != Z_STREAM_END && st == GQA_OK) {
        size_t n = 0;

        if (z->avail_in == 0) {
            if ((st = take(u, &n)) != GQA_OK)
                return st;
            z->next_in = u->in;
            z->avail_in = (unsigned)n;
        }
        z->next_out = u->out;
        z->avail_out = PIECE;
        status = inflate(z, Z_NO_FLUSH);
        if (status == Z_MEM_ERROR)
            return gqa_fail_nomem();
        if (status != Z_OK && status != Z_STREAM_END)
            return gqa_fail(GQA_ERR_FORMAT, "its compressed bytes are damaged");
        st = put(u, u->out, PIECE - z->avail_out);
    }
    if (st == GQA_OK && (z->avail_in > 0 || u->read < u->m->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "bytes behind its compressed ones");
    return st;
}

static enum gqa_status unpack_deflated(struct unpacking *u)
{
    z_stream z = {0};
    enum gqa_status st;

    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return gqa_fail_nomem();
    st = inflate_all(u, &z);
    inflateEnd(&z);
    return st;
}

static enum gqa_status check_whole(const struct unpacking *u)
{
    if (u->written != u->m->n_unpacked)
        return gqa_fail(GQA_ERR_FORMAT,
                        "it holds %" PRIu64 " bytes, not the %" PRIu64
                        " that it says",
                        u->written, u->m->n_unpacked);
    if (u->crc != u->m->crc)
        return gqa_fail(GQA_ERR_FORMAT,
                        "its content does not fit its checksum");
    return GQA_OK;
}

enum gqa_status gqa_zip_unpack(const struct gqa_zip_member *member, int fd,
                               const struct gqa_zip_sink *sink)
{
    struct unpacking u = {.m = member, .sink = sink, .fd = fd};
    enum gqa_status st = GQA_OK;

    u.in = malloc(PIECE);
    u.out = malloc(PIECE);
    if (!u.in || !u.out)
        st = gqa_fail_nomem();
    else
        st = member->is_deflated ? unpack_deflated(&u) : copy(&u);
    if (st == GQA_OK)
        st = check_whole(&u);
    free(u.in);
    free(u.out);
    return st == GQA_OK ? GQA_OK : gqa_fail_prefix(st, "%s", member->name);
}

static enum gqa_status put_text(void *ctx, const void *bytes, size_t n)
{
    char **at = ctx;

    memcpy(*at, bytes, n);
    *at += n;
    return GQA_OK;
}

enum gqa_status gqa_zip_load(char **out, const struct gqa_zip_member *member,
                             int fd, size_t max_bytes)
{
    enum gqa_status st;
    char *text, *at;

    if (member->n_unpacked > max_bytes)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s has %" PRIu64 " bytes; at most %zu are read",
                        member->name, member->n_unpacked, max_bytes);
    text = at = malloc((size_t)member->n_unpacked + 1);
    if (!text)
        return gqa_fail_nomem();
    st = gqa_zip_unpack(member, fd,
                        &(const struct gqa_zip_sink){put_text, (void *)&at});
    if (st != GQA_OK) {
        free(text);
        return st;
    }
    *at = '\0';
    *out = text;
    return GQA_OK;
}
