#include "uptrain/batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"

uint64_t gqa_sequence_counted(const struct gqa_sequence *s)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < s->n_decoder; i++)
        n += s->next[i] != GQA_NOT_COUNTED;
    return n;
}

uint64_t gqa_sequence_followed(const struct gqa_sequence *s)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < s->n_decoder; i++)
        n += s->next[i] >= 0;
    return n;
}

enum gqa_status gqa_train_batch_create(struct gqa_train_batch *out,
                                       uint64_t room, uint64_t length)
{
    uint64_t rows;

    *out = (struct gqa_train_batch){.room = room, .length = length};
    if (!gqa_mul_u64(room, length, &rows) || rows > SIZE_MAX / sizeof(double))
        return gqa_fail_nomem();
    out->encoder = calloc(rows, sizeof *out->encoder);
    out->decoder = calloc(rows, sizeof *out->decoder);
    out->n_encoder = calloc(room, sizeof *out->n_encoder);
    out->n_decoder = calloc(room, sizeof *out->n_decoder);
    out->labels = calloc(rows, sizeof *out->labels);
    out->weights = calloc(rows, sizeof *out->weights);
    return out->encoder && out->decoder && out->n_encoder && out->n_decoder &&
                   out->labels && out->weights
               ? GQA_OK
               : gqa_fail_nomem();
}

void gqa_train_batch_clear(struct gqa_train_batch *batch)
{
    free(batch->encoder);
    free(batch->decoder);
    free(batch->n_encoder);
    free(batch->n_decoder);
    free(batch->labels);
    free(batch->weights);
    *batch = (struct gqa_train_batch){.room = 0};
}

static void fill_row(struct gqa_train_batch *b, uint64_t row,
                     const struct gqa_sequence *s, double weight)
{
    const uint64_t length = b->tape.length;

    for (uint64_t i = 0; i < length; i++) {
        const bool is_there = i < s->n_decoder;
        const bool counts = is_there && s->next[i] != GQA_NOT_COUNTED;

        b->decoder[row * length + i] = is_there ? s->decoder[i] : 0;
        b->labels[row * length + i] = counts ? s->next[i] : GQA_NO_TOKEN;
        b->weights[row * length + i] = counts ? weight : 0;
    }
}

void gqa_train_batch_fill(struct gqa_train_batch *b,
                          const struct gqa_sequence *const *sequences,
                          uint64_t n, int32_t start_token, double weight)
{
    uint64_t length = 1, encoder_length = 0;

    for (uint64_t s = 0; s < n; s++) {
        b->n_decoder[s] = sequences[s]->n_decoder;
        b->n_encoder[s] = sequences[s]->n_encoder;
        length = gqa_max_u64(length, sequences[s]->n_decoder);
        encoder_length = gqa_max_u64(encoder_length, sequences[s]->n_encoder);
    }
    b->tape = (struct gqa_tape_batch){
        .n_sequences = n,
        .decoder = b->decoder,
        .length = length,
        .n_decoder = b->n_decoder,
        .encoder = encoder_length > 0 ? b->encoder : NULL,
        .encoder_length = encoder_length,
        .n_encoder = encoder_length > 0 ? b->n_encoder : NULL};
    for (uint64_t s = 0; s < n; s++) {
        fill_row(b, s, sequences[s], weight);
        if (sequences[s]->starts)
            b->decoder[s * length] = start_token;
        for (uint64_t i = 0; i < encoder_length; i++)
            b->encoder[s * encoder_length + i] =
                i < sequences[s]->n_encoder ? sequences[s]->encoder[i] : 0;
    }
}
