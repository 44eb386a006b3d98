#include "runtime/summaries.h"

#include "common/bounds.h"

void gqa_summaries_count(uint64_t *counts, const struct gqa_batch *batch,
                         uint64_t size)
{
    for (uint64_t s = 0; s < batch->n_sequences; s++)
        counts[s] = batch->n_tokens[s] / size;
}

struct gqa_batch gqa_summaries_batch(const struct gqa_batch *tokens,
                                     const uint64_t *counts, uint64_t most)
{
    /* Which tokens they are is not looked at. */
    return (struct gqa_batch){tokens->n_sequences, most, tokens->tokens, counts,
                              tokens->starts};
}

uint64_t gqa_summaries_reach(const struct gqa_summaries *summaries,
                             uint64_t n_tokens)
{
    return gqa_max_u64(n_tokens / summaries->size, 1);
}

struct gqa_attention_op gqa_summaries_op(const struct gqa_attention_op *tokens,
                                         const struct gqa_summaries *summaries,
                                         const uint64_t *counts, uint64_t most)
{
    struct gqa_attention_op op = *tokens;

    op.capacity = most;
    op.key_counts = counts;
    op.per_key = summaries->size;
    return op;
}
