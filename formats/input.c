#include "formats/input.h"

#include <string.h>

#include "common/bounds.h"
#include "common/file.h"

void gqa_input_begin(struct gqa_input *in, const char *what, int fd,
                     uint64_t start, uint64_t end)
{
    in->what = what;
    in->fd = fd;
    in->start = in->next = start;
    in->end = end;
    in->n = in->used = 0;
}

uint64_t gqa_input_at(const struct gqa_input *in)
{
    return in->next - (in->n - in->used) - in->start;
}

uint64_t gqa_input_left(const struct gqa_input *in)
{
    return in->end - in->next + (in->n - in->used);
}

static enum gqa_status fill(struct gqa_input *in)
{
    enum gqa_status st;

    in->used = 0;
    in->n = (size_t)gqa_min_u64(in->end - in->next, sizeof in->buffer);
    if (in->n == 0)
        return gqa_fail(GQA_ERR_FORMAT, "%s ends early", in->what);
    st = gqa_file_read(in->fd, in->buffer, in->n, in->next);
    if (st == GQA_OK)
        in->next += in->n;
    else
        in->n = 0;
    return st;
}

enum gqa_status gqa_input_take(struct gqa_input *in, void *out, size_t n)
{
    while (n > 0) {
        size_t part;

        if (in->used == in->n) {
            const enum gqa_status st = fill(in);

            if (st != GQA_OK)
                return st;
        }
        part = gqa_min_size(n, in->n - in->used);
        memcpy(out, in->buffer + in->used, part);
        in->used += part;
        out = (char *)out + part;
        n -= part;
    }
    return GQA_OK;
}

enum gqa_status gqa_input_skip(struct gqa_input *in, uint64_t n)
{
    const uint64_t here = gqa_min_u64(n, in->n - in->used);

    if (n > gqa_input_left(in))
        return gqa_fail(GQA_ERR_FORMAT, "%s ends early", in->what);
    in->used += (size_t)here;
    in->next += n - here;
    return GQA_OK;
}

enum gqa_status gqa_input_number(struct gqa_input *in, uint64_t *out, size_t n)
{
    unsigned char bytes[8];
    const enum gqa_status st = gqa_input_take(in, bytes, n);

    *out = 0;
    for (size_t i = n; st == GQA_OK && i-- > 0;)
        *out = *out << 8 | bytes[i];
    return st;
}
