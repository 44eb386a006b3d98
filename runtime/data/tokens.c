#include "runtime/data/tokens.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/ull.h"

void gqa_tokens_clear(struct gqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        free(tokens->sequences[i].encoder);
        free(tokens->sequences[i].decoder);
        free(tokens->sequences[i].next);
    }
    free(tokens->sequences);
    *tokens = (struct gqa_tokens){NULL, 0};
}

uint64_t gqa_tokens_n_positions(const struct gqa_tokens *tokens)
{
    uint64_t n = 0;

    for (size_t i = 0; i < tokens->n; i++)
        n += tokens->sequences[i].n_decoder;
    return n;
}

bool gqa_tokens_any_counted(const struct gqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        /* All of what is yet to be drawn is. */
        if (s->n_decoder == 0)
            return true;
        for (uint64_t t = 0; t < s->n_decoder; t++)
            if (s->next[t] != GQA_NOT_COUNTED)
                return true;
    }
    return false;
}

bool gqa_tokens_any_to_draw(const struct gqa_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++)
        if (tokens->sequences[i].n_decoder == 0)
            return true;
    return false;
}

void gqa_tokens_cut(struct gqa_tokens *tokens, uint64_t length)
{
    for (size_t i = 0; i < tokens->n; i++) {
        struct gqa_sequence *s = &tokens->sequences[i];
        int32_t last;

        s->n_encoder = gqa_min_u64(s->n_encoder, length);
        if (s->n_decoder <= length)
            continue;
        last = s->next[s->n_decoder - 1];
        s->n_decoder = length;
        /* As if the file ended there. */
        if (!s->encoder)
            s->next[length - 1] = last;
        while (s->encoder && s->n_decoder > 1 &&
               s->next[s->n_decoder - 1] == GQA_NOT_COUNTED)
            s->n_decoder--;
    }
}

enum gqa_status gqa_tokens_check_lengths(const struct gqa_tokens *tokens,
                                         uint64_t max, const char *path)
{
    for (size_t i = 0; i < tokens->n && max > 0; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];
        const uint64_t n = gqa_max_u64(s->n_encoder, s->n_decoder);

        if (n > max)
            return gqa_fail(GQA_ERR_USAGE,
                            "%s: sequence %zu has %llu tokens, and the model "
                            "has positions for %llu: --length=%llu takes the "
                            "first of them",
                            path, i, ULL(n), ULL(max), ULL(max));
    }
    return GQA_OK;
}

static enum gqa_status check_ids(const char *what, const int64_t *ids,
                                 uint64_t n,
                                 const struct gqa_token_rules *rules,
                                 bool may_ignore)
{
    for (uint64_t i = 0; i < n; i++) {
        if (may_ignore && ids[i] == GQA_LABEL_IGNORED)
            continue;
        if (ids[i] < 0 || (uint64_t)ids[i] >= rules->vocab_size)
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s, position %llu: token %lld is not in the "
                            "vocabulary of %llu",
                            what, (unsigned long long)i, (long long)ids[i],
                            (unsigned long long)rules->vocab_size);
    }
    return GQA_OK;
}

/* [n] int32, and room for at least one. */
static int32_t *ids_alloc(uint64_t n)
{
    uint64_t n_bytes;

    if (!gqa_mul_u64(n ? n : 1, sizeof(int32_t), &n_bytes) ||
        n_bytes > SIZE_MAX)
        return NULL;
    return malloc(n_bytes);
}

static enum gqa_status fill_labels(struct gqa_sequence *s,
                                   const struct gqa_token_rules *rules,
                                   const int64_t *labels, uint64_t n)
{
    const int32_t pad = rules->pad_token == GQA_NO_TOKEN ? 0 : rules->pad_token;

    while (n > 0 && labels[n - 1] == GQA_LABEL_IGNORED)
        n--;
    if (n == 0)
        return gqa_fail(GQA_ERR_FORMAT, "labels: all are -100");
    s->decoder = ids_alloc(n);
    s->next = ids_alloc(n);
    if (!s->decoder || !s->next)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++) {
        const bool counted = labels[i] != GQA_LABEL_IGNORED;

        s->next[i] = counted ? (int32_t)labels[i] : GQA_NOT_COUNTED;
        if (i + 1 < n)
            s->decoder[i + 1] = counted ? (int32_t)labels[i] : pad;
    }
    s->decoder[0] = rules->start_token;
    s->starts = true;
    s->n_decoder = n;
    return GQA_OK;
}

/* labels: [n], of a decoder-only model, or NULL. */
static enum gqa_status fill_ids(struct gqa_sequence *s,
                                const struct gqa_token_rules *rules,
                                const int64_t *ids, const int64_t *labels,
                                uint64_t n)
{
    int32_t *copy = ids_alloc(n);

    if (!copy)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++)
        copy[i] = (int32_t)ids[i];
    if (rules->is_encoder_decoder) {
        s->encoder = copy;
        s->n_encoder = n;
        return GQA_OK;
    }
    s->decoder = copy;
    s->n_decoder = n;
    if (!(s->next = ids_alloc(n)))
        return gqa_fail_nomem();
    for (uint64_t i = 0; i + 1 < n; i++)
        s->next[i] = !labels ? copy[i + 1]
                     : labels[i + 1] == GQA_LABEL_IGNORED
                         ? GQA_NOT_COUNTED
                         : (int32_t)labels[i + 1];
    s->next[n - 1] = labels ? GQA_NOT_COUNTED : GQA_NO_TOKEN;
    return GQA_OK;
}

enum gqa_status gqa_tokens_add(struct gqa_tokens *tokens,
                               const struct gqa_token_rules *rules,
                               const int64_t *ids, uint64_t n_ids,
                               const int64_t *labels, uint64_t n_labels)
{
    struct gqa_sequence *grown;
    struct gqa_sequence *s;
    enum gqa_status st;

    if (n_ids == 0)
        return gqa_fail(GQA_ERR_FORMAT, "input_ids: the sequence is empty");
    st = check_ids("input_ids", ids, n_ids, rules, false);
    if (st == GQA_OK && labels)
        st = check_ids("labels", labels, n_labels, rules, true);
    if (st == GQA_OK && labels && !rules->is_encoder_decoder &&
        n_labels != n_ids)
        st = gqa_fail(GQA_ERR_FORMAT,
                      "%llu labels for %llu input_ids: a model without an "
                      "encoder has one for each",
                      (unsigned long long)n_labels, (unsigned long long)n_ids);
    if (st != GQA_OK)
        return st;
    if (tokens->n >= SIZE_MAX / sizeof *grown - 1)
        return gqa_fail_nomem();
    grown = realloc(tokens->sequences, (tokens->n + 1) * sizeof *grown);
    if (!grown)
        return gqa_fail_nomem();
    tokens->sequences = grown;
    /* Counted at once, so that a failure leaves nothing unowned. */
    s = &grown[tokens->n++];
    *s = (struct gqa_sequence){0};
    st = fill_ids(s, rules, ids, labels, n_ids);
    if (st == GQA_OK && labels && rules->is_encoder_decoder)
        st = fill_labels(s, rules, labels, n_labels);
    return st;
}
