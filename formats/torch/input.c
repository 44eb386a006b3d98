#include "formats/torch/input.h"

#include <string.h>

#include "common/bounds.h"
#include "common/file.h"

void gqa_pickle_input_begin(struct gqa_pickle_input *in, int fd, uint64_t start,
                            uint64_t end)
{
    in->fd = fd;
    in->start = in->next = start;
    in->end = end;
    in->n = in->used = 0;
}

uint64_t gqa_pickle_input_at(const struct gqa_pickle_input *in)
{
    return in->next - (in->n - in->used) - in->start;
}

uint64_t gqa_pickle_input_left(const struct gqa_pickle_input *in)
{
    return in->end - in->next + (in->n - in->used);
}

static enum gqa_status fill(struct gqa_pickle_input *in)
{
    enum gqa_status st;

    in->used = 0;
    in->n = (size_t)gqa_min_u64(in->end - in->next, sizeof in->buffer);
    if (in->n == 0)
        return gqa_fail(GQA_ERR_FORMAT, "the pickle ends early");
    st = gqa_file_read(in->fd, in->buffer, in->n, in->next);
    if (st == GQA_OK)
        in->next += in->n;
    else
        in->n = 0;
    return st;
}

enum gqa_status gqa_pickle_input_take(struct gqa_pickle_input *in, void *out,
                                      size_t n)
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
