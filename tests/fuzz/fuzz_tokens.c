/*
 * A file of tokens, or of text: any bytes, for models of both kinds. What is
 * accepted lies in the vocabulary.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"
#include "runtime/data/token_file.h"
#include "runtime/data/token_text.h"

enum { VOCABULARY = 384, LENGTH = 8, MAX_SEQUENCES = 16 };

static void check_ids(const int32_t *ids, uint64_t n, int32_t least)
{
    for (uint64_t i = 0; i < n; i++)
        if (ids[i] < least || ids[i] >= VOCABULARY)
            abort();
}

static void check(struct gqa_tokens *tokens)
{
    gqa_tokens_cut(tokens, LENGTH);
    for (size_t i = 0; i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];

        check_ids(s->encoder, s->n_encoder, 0);
        check_ids(s->decoder, s->n_decoder, 0);
        check_ids(s->next, s->n_decoder, GQA_NOT_COUNTED);
    }
    if (gqa_tokens_n_positions(tokens) > tokens->n * LENGTH)
        abort();
    gqa_tokens_clear(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = fuzz_file(data, size);
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int i = 0; i < 2; i++) {
        const struct gqa_token_rules rules = {.vocab_size = VOCABULARY,
                                              .start_token = 0,
                                              .end_token = 1,
                                              .pad_token = 0,
                                              .is_encoder_decoder = i == 1};
        struct gqa_tokens tokens = {0};

        if (gqa_tokens_read(&tokens, path, &rules, MAX_SEQUENCES) == GQA_OK)
            check(&tokens);
        else
            gqa_tokens_clear(&tokens);
        tokens = (struct gqa_tokens){0};
        if (gqa_tokens_from_text(&tokens, path, &rules, LENGTH,
                                 MAX_SEQUENCES) == GQA_OK)
            check(&tokens);
        else
            gqa_tokens_clear(&tokens);
    }
    close(fd);
    return 0;
}
