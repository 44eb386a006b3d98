/* Steps of a session: tokens in, and what was asked for out. */
#include "common/bounds.h"
#include "common/ull.h"
#include "runtime/state.h"

enum gqa_status gqa_session_check_tokens(const struct gqa_session *s,
                                         const int32_t *tokens, uint64_t n_new,
                                         const uint64_t *n_tokens)
{
    const uint64_t vocab = s->runtime->network->table_size;

    for (uint64_t i = 0; i < s->n_sequences; i++) {
        if (n_tokens[i] > n_new)
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu: %llu of %llu tokens are real",
                            ULL(s->numbers[i]), ULL(n_tokens[i]), ULL(n_new));
        for (uint64_t j = 0; j < n_tokens[i]; j++) {
            const int32_t t = tokens[i * n_new + j];

            if (t < 0 || (uint64_t)t >= vocab)
                return gqa_fail(GQA_ERR_USAGE,
                                "token %d (number %llu of sequence %llu) is "
                                "not in the vocabulary of %llu",
                                t, ULL(j), ULL(s->numbers[i]), ULL(vocab));
        }
    }
    return GQA_OK;
}

/* Tokens that are none are set to one that is in the table. */
void gqa_pass_fill(struct gqa_pass *pass, const int32_t *tokens, uint64_t n_new,
                   const uint64_t *n_tokens, uint64_t first, uint64_t n)
{
    struct gqa_session *s = pass->session;

    for (uint64_t i = 0; i < s->n_sequences; i++) {
        const uint64_t left = n_tokens[i] > first ? n_tokens[i] - first : 0;

        s->n_tokens[i] = left < n ? left : n;
        s->ends[i] = left > 0 && left <= n;
        for (uint64_t j = 0; j < n; j++)
            s->tokens[i * n + j] =
                j < s->n_tokens[i] ? tokens[i * n_new + first + j] : 0;
    }
    pass->batch = (struct gqa_batch){.n_sequences = s->n_sequences,
                                     .n_new = n,
                                     .tokens = s->tokens,
                                     .n_tokens = s->n_tokens,
                                     .starts = s->starts};
    pass->n_rows = s->n_sequences * n;
}

static enum gqa_status check_positions(const struct gqa_session *s,
                                       const struct gqa_network_stack *stack,
                                       uint64_t sequence, uint64_t n_tokens)
{
    const uint64_t most = stack->n_positions;

    if (most == 0 || n_tokens <= most)
        return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE,
                    "sequence %llu has %llu tokens, but the model has "
                    "positions for %llu",
                    ULL(s->numbers[sequence]), ULL(n_tokens), ULL(most));
}

enum gqa_status gqa_session_encode(struct gqa_session *s, const int32_t *tokens,
                                   uint64_t n_new, const uint64_t *n_tokens,
                                   const struct gqa_step_output *output)
{
    const struct gqa_network *n = s->runtime->network;
    struct gqa_pass pass = {
        .session = s, .stack = &n->stacks[0], .output = output};
    enum gqa_status st;

    if (n->n_stacks < 2)
        return gqa_fail(GQA_ERR_USAGE, "the model has no encoder");
    if (n_new == 0 || n_new > s->encoder_capacity)
        return gqa_fail(GQA_ERR_USAGE, "%llu tokens of input are not 1 to %llu",
                        ULL(n_new), ULL(s->encoder_capacity));
    if ((st = gqa_session_check_tokens(s, tokens, n_new, n_tokens)) != GQA_OK)
        return st;
    for (uint64_t i = 0; i < s->n_sequences; i++) {
        if (n_tokens[i] == 0)
            return gqa_fail(GQA_ERR_USAGE, "sequence %llu has no input",
                            ULL(s->numbers[i]));
        if ((st = check_positions(s, pass.stack, i, n_tokens[i])) != GQA_OK)
            return st;
        s->starts[i] = 0;
    }
    /* Until all of it has run there is no input. */
    gqa_session_reset(s);
    gqa_pass_fill(&pass, tokens, n_new, n_tokens, 0, n_new);
    if ((st = gqa_forward(&pass)) != GQA_OK ||
        (st = gqa_forward_cross(&pass)) != GQA_OK)
        return st;
    for (uint64_t i = 0; i < s->n_sequences; i++)
        s->inputs[i] = n_tokens[i];
    return GQA_OK;
}

enum gqa_status gqa_session_check_room(const struct gqa_session *s,
                                       const uint64_t *n_tokens)
{
    const struct gqa_network *n = s->runtime->network;
    enum gqa_status st;

    for (uint64_t i = 0; i < s->n_sequences; i++) {
        if (n->n_stacks > 1 && s->inputs[i] == 0)
            return gqa_fail(GQA_ERR_USAGE,
                            "the decoder has no input yet: encode first");
        if (s->seen[i] > 0 && n_tokens[i] > 0 && gqa_network_is_encoder(n))
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu has been run: an encoder takes all "
                            "of one at once",
                            ULL(s->numbers[i]));
        if (n_tokens[i] > s->capacity - s->seen[i])
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu: %llu tokens behind %llu are more "
                            "than the session's %llu",
                            ULL(s->numbers[i]), ULL(n_tokens[i]),
                            ULL(s->seen[i]), ULL(s->capacity));
        st = check_positions(s, &n->stacks[n->n_stacks - 1], i,
                             s->seen[i] + n_tokens[i]);
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

enum gqa_status gqa_session_decode(struct gqa_session *s, const int32_t *tokens,
                                   uint64_t n_new, const uint64_t *n_tokens,
                                   const struct gqa_step_output *output)
{
    const struct gqa_network *n = s->runtime->network;
    struct gqa_pass pass = {
        .session = s, .stack = &n->stacks[n->n_stacks - 1], .output = output};
    uint64_t longest = 0;
    enum gqa_status st;

    if ((st = gqa_session_check_tokens(s, tokens, n_new, n_tokens)) != GQA_OK ||
        (st = gqa_session_check_room(s, n_tokens)) != GQA_OK)
        return st;
    for (uint64_t i = 0; i < s->n_sequences; i++)
        longest = gqa_max_u64(longest, n_tokens[i]);
    for (uint64_t first = 0; first < longest; first += s->chunk) {
        const uint64_t left = longest - first;

        for (uint64_t i = 0; i < s->n_sequences; i++)
            s->starts[i] = s->seen[i];
        gqa_pass_fill(&pass, tokens, n_new, n_tokens, first,
                      left < s->chunk ? left : s->chunk);
        if ((st = gqa_forward(&pass)) != GQA_OK ||
            (st = gqa_emit_logits(&pass)) != GQA_OK)
            return st;
        for (uint64_t i = 0; i < s->n_sequences; i++)
            s->seen[i] += s->n_tokens[i];
    }
    return GQA_OK;
}
