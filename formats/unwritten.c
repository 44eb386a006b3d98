#include "formats/unwritten.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"

size_t gqa_unwritten_count(const struct gqa_checkpoint *checkpoint,
                           size_t *first)
{
    size_t n = 0;

    for (size_t i = 0; i < gqa_checkpoint_n_tensors(checkpoint); i++)
        if (gqa_checkpoint_tensor(checkpoint, i)->n_unwritten > 0 && n++ == 0)
            *first = i;
    return n;
}

const char *gqa_unwritten_describe(char *text, const struct gqa_tensor *tensor)
{
    if (tensor->n_unwritten == tensor->n_parts)
        snprintf(text, GQA_UNWRITTEN_MAX, "was never written");
    else
        snprintf(text, GQA_UNWRITTEN_MAX,
                 "lacks %" PRIu64 " of its %" PRIu64 " chunks",
                 tensor->n_unwritten, tensor->n_parts);
    return text;
}

size_t gqa_unwritten_warn(const struct gqa_checkpoint *checkpoint)
{
    enum { MAX_NAMED = 5 };
    char text[GQA_UNWRITTEN_MAX];
    size_t n = 0;

    for (size_t i = 0; i < gqa_checkpoint_n_tensors(checkpoint); i++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(checkpoint, i);

        if (t->n_unwritten > 0 && n++ < MAX_NAMED)
            gqa_warn("%s: '%s' %s: it reads as the file's fill value, or zeros",
                     gqa_checkpoint_path(checkpoint), t->name,
                     gqa_unwritten_describe(text, t));
    }
    if (n > MAX_NAMED)
        gqa_warn("%s: %zu more tensors were not written, or not wholly",
                 gqa_checkpoint_path(checkpoint), n - MAX_NAMED);
    return n;
}
