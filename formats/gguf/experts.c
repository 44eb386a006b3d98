#include "formats/gguf/experts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/pattern.h"

static const char mark[] = "_exps.weight";

/* Of a tensor that is of all experts, the length of what precedes the mark;
 * else 0. */
static size_t stem_of(const struct gqa_gguf_tensor *t)
{
    const size_t length = strlen(t->name), end = sizeof mark - 1;

    return t->rank == 3 && length > end && strncmp(t->name, "blk.", 4) == 0 &&
                   strcmp(t->name + length - end, mark) == 0
               ? length - end
               : 0;
}

static enum gqa_status add_experts(struct gqa_gguf_tensor *out, size_t *n,
                                   const struct gqa_gguf_tensor *all)
{
    const uint64_t n_experts = all->shape[0];

    for (uint64_t i = 0; i < n_experts; i++) {
        struct gqa_gguf_tensor *one = &out[*n];

        *one = *all;
        one->rank = 2;
        memmove(one->shape, all->shape + 1, 2 * sizeof *one->shape);
        one->n_elements = all->n_elements / n_experts;
        one->n_bytes = all->n_bytes / n_experts;
        one->offset = all->offset + i * one->n_bytes;
        if (asprintf(&one->name, "%.*s.%u.weight", (int)stem_of(all), all->name,
                     (unsigned)i) < 0) {
            one->name = NULL;
            return gqa_fail_nomem();
        }
        ++*n;
    }
    return GQA_OK;
}

static enum gqa_status split_into(struct gqa_gguf_header *made,
                                  const struct gqa_gguf_header *from)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < from->n && st == GQA_OK; i++) {
        const struct gqa_gguf_tensor *t = &from->tensors[i];

        if (stem_of(t) > 0) {
            st = add_experts(made->tensors, &made->n, t);
            continue;
        }
        made->tensors[made->n] = *t;
        made->tensors[made->n].name = strdup(t->name);
        st = made->tensors[made->n].name ? GQA_OK : gqa_fail_nomem();
        made->n += st == GQA_OK;
    }
    return st;
}

enum gqa_status gqa_gguf_experts_split(struct gqa_gguf_header *header)
{
    struct gqa_gguf_header made = {0};
    uint64_t n = 0;
    bool are_together = false;
    enum gqa_status st;

    for (size_t i = 0; i < header->n; i++) {
        const bool is_of_all = stem_of(&header->tensors[i]) > 0;
        const uint64_t count = is_of_all ? header->tensors[i].shape[0] : 1;

        are_together |= is_of_all;
        if (count > GQA_GGUF_MAX_TENSORS - n)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "tensor %s has more experts than are read: at most "
                            "%d tensors are",
                            header->tensors[i].name, GQA_GGUF_MAX_TENSORS);
        n += count;
    }
    if (!are_together)
        return GQA_OK;
    made.tensors = calloc((size_t)n + 1, sizeof *made.tensors);
    st = made.tensors ? split_into(&made, header) : gqa_fail_nomem();
    if (st == GQA_OK) {
        made.keys = json_incref(header->keys);
        made.pairs = header->pairs;
        made.n_pairs = header->n_pairs;
        header->pairs = NULL;
        header->n_pairs = 0;
        gqa_gguf_header_clear(header);
        *header = made;
    } else {
        gqa_gguf_header_clear(&made);
    }
    return st;
}

enum gqa_status gqa_gguf_experts_name(char **all, uint64_t *number,
                                      const char *one)
{
    static const char *const names[] = {"ffn_gate", "ffn_down", "ffn_up"};

    *all = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct gqa_gguf_numbers found;
        char pattern[64];

        snprintf(pattern, sizeof pattern, "blk.%%.%s.%%.weight", names[i]);
        if (!gqa_gguf_fits(one, pattern, &found))
            continue;
        *number = strtoul(found.digits[1], NULL, 10);
        if (asprintf(all, "blk.%.*s.%s%s", (int)found.lengths[0],
                     found.digits[0], names[i], mark) < 0) {
            *all = NULL;
            return gqa_fail_nomem();
        }
        return GQA_OK;
    }
    return GQA_OK;
}
