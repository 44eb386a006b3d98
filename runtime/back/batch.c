/* Tokens of a batch on their way to a tape. */
#include "common/ull.h"
#include "runtime/back/state.h"

enum gqa_status gqa_tape_set_batch(const struct gqa_tape *t,
                                   const struct gqa_tape_stack *s)
{
    return t->runtime->backend->set_batch(t->runtime->device, &s->batch);
}

/* Tokens of one side, checked; those that are none become one that is. */
static enum gqa_status take_tokens(struct gqa_tape *t, struct gqa_tape_stack *s,
                                   uint64_t n_sequences, uint64_t length,
                                   const int32_t *tokens,
                                   const uint64_t *n_tokens)
{
    const struct gqa_network *n = t->runtime->network;
    const uint64_t most =
        s->network->n_positions ? s->network->n_positions : UINT64_MAX;

    for (uint64_t i = 0; i < n_sequences; i++) {
        if (n_tokens[i] == 0 || n_tokens[i] > length)
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu: %llu tokens are not 1 to %llu",
                            ULL(i), ULL(n_tokens[i]), ULL(length));
        if (n_tokens[i] > most)
            return gqa_fail(GQA_ERR_USAGE,
                            "sequence %llu has %llu tokens, but the model has "
                            "positions for %llu",
                            ULL(i), ULL(n_tokens[i]), ULL(most));
        s->n_tokens[i] = n_tokens[i];
        for (uint64_t j = 0; j < length; j++) {
            const int32_t token = j < n_tokens[i] ? tokens[i * length + j] : 0;

            if (token < 0 || (uint64_t)token >= n->table_size)
                return gqa_fail(GQA_ERR_USAGE,
                                "token %d (number %llu of sequence %llu) is "
                                "not in the vocabulary of %llu",
                                token, ULL(j), ULL(i), ULL(n->table_size));
            s->tokens[i * length + j] = token;
        }
    }
    s->n_rows = n_sequences * length;
    s->batch = (struct gqa_batch){n_sequences, length, s->tokens, s->n_tokens,
                                  s->starts};
    return GQA_OK;
}

enum gqa_status gqa_tape_take_batch(struct gqa_tape *t,
                                    const struct gqa_tape_batch *b)
{
    const bool encodes = t->n_stacks > 1;
    enum gqa_status st = GQA_OK;

    t->sizes = (struct gqa_tape_sizes){b->n_sequences, b->length,
                                       encodes ? b->encoder_length : 0};
    if (b->n_sequences == 0 || b->n_sequences > t->room.n_sequences ||
        b->length == 0 || b->length > t->room.length ||
        (encodes && (b->encoder_length == 0 ||
                     b->encoder_length > t->room.encoder_length)))
        return gqa_fail(GQA_ERR_USAGE,
                        "the tape has no room for %llu sequences of %llu and "
                        "%llu tokens",
                        ULL(b->n_sequences), ULL(b->encoder_length),
                        ULL(b->length));
    if (encodes)
        st = take_tokens(t, &t->stacks[0], b->n_sequences, b->encoder_length,
                         b->encoder, b->n_encoder);
    return st == GQA_OK
               ? take_tokens(t, &t->stacks[t->n_stacks - 1], b->n_sequences,
                             b->length, b->decoder, b->n_decoder)
               : st;
}
