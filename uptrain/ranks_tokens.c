#include "uptrain/ranks_tokens.h"

#include <stdlib.h>
#include <string.h>

/* Of a sequence, as it is sent. */
struct sizes {
    uint64_t n_encoder, n_decoder, starts;
};

static size_t numbers_of(const struct sizes *s)
{
    return (size_t)(s->n_encoder + 2 * s->n_decoder);
}

/* --- From them to one piece, and back ------------------------------------- */

static int32_t *put(int32_t *at, const int32_t *from, uint64_t n)
{
    if (n > 0)
        memcpy(at, from, (size_t)n * sizeof *at);
    return at + n;
}

static void pack(int32_t *at, const struct gqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        at = put(at, s->encoder, s->n_encoder);
        at = put(at, s->decoder, s->n_decoder);
        at = put(at, s->next, s->n_decoder);
    }
}

/* NULL: of none, or memory is short. */
static int32_t *take(const int32_t **at, uint64_t n)
{
    int32_t *out = n > 0 ? malloc((size_t)n * sizeof *out) : NULL;

    if (out)
        memcpy(out, *at, (size_t)n * sizeof *out);
    *at += n;
    return out;
}

static enum gqa_status unpack(struct gqa_tokens *tokens,
                              const struct sizes *sizes, const int32_t *at)
{
    for (size_t i = 0; i < tokens->n; i++) {
        struct gqa_sequence *s = &tokens->sequences[i];

        *s = (struct gqa_sequence){.n_encoder = sizes[i].n_encoder,
                                   .n_decoder = sizes[i].n_decoder,
                                   .starts = sizes[i].starts != 0};
        s->encoder = take(&at, s->n_encoder);
        s->decoder = take(&at, s->n_decoder);
        s->next = take(&at, s->n_decoder);
        if ((s->n_encoder > 0 && !s->encoder) ||
            (s->n_decoder > 0 && (!s->decoder || !s->next)))
            return gqa_fail_nomem();
    }
    return GQA_OK;
}

/* --- Telling -------------------------------------------------------------- */

static struct sizes *list_sizes(const struct gqa_tokens *tokens, uint64_t n)
{
    struct sizes *sizes = calloc((size_t)n + 1, sizeof *sizes);

    for (size_t i = 0; sizes && i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        sizes[i] = (struct sizes){s->n_encoder, s->n_decoder, s->starts};
    }
    return sizes;
}

/* sizes: [n], told already. */
static enum gqa_status tell_numbers(struct gqa_ranks *ranks, unsigned from,
                                    struct gqa_tokens *tokens,
                                    const struct sizes *sizes, size_t n)
{
    const bool is_mine = gqa_ranks_rank(ranks) == from;
    size_t n_numbers = 0;
    int32_t *numbers;
    enum gqa_status st;

    for (size_t i = 0; i < n; i++)
        n_numbers += numbers_of(&sizes[i]);
    if (!(numbers = calloc(n_numbers + 1, sizeof *numbers)))
        return gqa_fail_nomem();
    if (is_mine)
        pack(numbers, tokens);
    st = gqa_ranks_tell(ranks, from, numbers, n_numbers * sizeof *numbers);
    if (st == GQA_OK && !is_mine) {
        tokens->sequences = calloc(n + 1, sizeof *tokens->sequences);
        tokens->n = tokens->sequences ? n : 0;
        st = tokens->sequences ? unpack(tokens, sizes, numbers)
                               : gqa_fail_nomem();
    }
    free(numbers);
    return st;
}

enum gqa_status gqa_ranks_tell_tokens(struct gqa_ranks *ranks, unsigned from,
                                      struct gqa_tokens *tokens)
{
    uint64_t n = tokens->n;
    struct sizes *sizes;
    enum gqa_status st;

    if (!ranks)
        return GQA_OK;
    if ((st = gqa_ranks_tell(ranks, from, &n, sizeof n)) != GQA_OK)
        return st;
    if (!(sizes = list_sizes(tokens, n)))
        return gqa_fail_nomem();
    st = gqa_ranks_tell(ranks, from, sizes, (size_t)n * sizeof *sizes);
    if (st == GQA_OK)
        st = tell_numbers(ranks, from, tokens, sizes, (size_t)n);
    free(sizes);
    return st;
}
