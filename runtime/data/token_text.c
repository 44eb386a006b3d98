#include "runtime/data/token_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"

enum {
    N_BYTES = 256,
    BYTE_TOKENS = N_BYTES + 3, /* padding, end, unknown, bytes */
    MAX_BYTE_VOCABULARY = 384, /* ByT5's, with 125 sentinels */
    GAP_EVERY = 128,
    GAP_BYTES = 19,
    MAX_GAPS = 4,
};

static enum gqa_status byte_offset(int64_t *offset,
                                   const struct gqa_token_rules *rules)
{
    const uint64_t v = rules->vocab_size;

    if (v == N_BYTES)
        *offset = 0;
    else if (v >= BYTE_TOKENS && v <= MAX_BYTE_VOCABULARY)
        *offset = 3;
    else
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "text is for byte-level models, and a vocabulary of "
                        "%llu is none: make tokens with the model's tokenizer",
                        (unsigned long long)v);
    return GQA_OK;
}

static enum gqa_status add_plain(struct gqa_tokens *tokens,
                                 const struct gqa_token_rules *rules,
                                 const unsigned char *text, uint64_t n,
                                 int64_t offset, int64_t *ids)
{
    uint64_t n_ids = 0;
    enum gqa_status st;

    ids[n_ids++] = rules->start_token;
    for (uint64_t i = 0; i < n; i++)
        ids[n_ids++] = text[i] + offset;
    st = gqa_tokens_add(tokens, rules, ids, n_ids, NULL, 0);
    if (st == GQA_OK)
        tokens->sequences[tokens->n - 1].starts = true;
    return st;
}

/* ids and labels: room for n + 1 and n + MAX_GAPS + 1. */
static enum gqa_status add_gaps(struct gqa_tokens *tokens,
                                const struct gqa_token_rules *rules,
                                const unsigned char *text, uint64_t n,
                                int64_t offset, int64_t *ids, int64_t *labels)
{
    uint64_t n_gaps = n / GAP_EVERY;
    uint64_t gap = GAP_BYTES;
    uint64_t n_ids = 0, n_labels = 0, at = 0;

    n_gaps = n_gaps < 1 ? 1 : n_gaps > MAX_GAPS ? MAX_GAPS : n_gaps;
    if (gap > n / n_gaps / 2)
        gap = n / n_gaps / 2;
    for (uint64_t g = 0; g < n_gaps; g++) {
        const uint64_t stop = n * (2 * g + 1) / (2 * n_gaps) - gap / 2;
        const int64_t sentinel = (int64_t)(rules->vocab_size - 1 - g);

        for (; at < stop; at++)
            ids[n_ids++] = text[at] + offset;
        ids[n_ids++] = labels[n_labels++] = sentinel;
        for (; at < stop + gap; at++)
            labels[n_labels++] = text[at] + offset;
    }
    for (; at < n; at++)
        ids[n_ids++] = text[at] + offset;
    if (rules->end_token != GQA_NO_TOKEN)
        ids[n_ids++] = labels[n_labels++] = rules->end_token;
    return gqa_tokens_add(tokens, rules, ids, n_ids, labels, n_labels);
}

/* pieces of n_text bytes each, evenly over the file. */
static enum gqa_status cut(struct gqa_tokens *tokens, int fd, uint64_t size,
                           const struct gqa_token_rules *rules, uint64_t n_text,
                           uint64_t n_pieces, int64_t offset)
{
    unsigned char *text = malloc(n_text);
    int64_t *ids = calloc(n_text + MAX_GAPS + 1, sizeof *ids);
    int64_t *labels = calloc(n_text + MAX_GAPS + 1, sizeof *labels);
    enum gqa_status st = text && ids && labels ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < n_pieces && st == GQA_OK; i++) {
        const uint64_t all = size / n_text;
        /* all / n_pieces * i + ..., without overflow */
        const uint64_t piece =
            all / n_pieces * i + all % n_pieces * i / n_pieces;

        st = gqa_file_read(fd, text, n_text, piece * n_text);
        if (st != GQA_OK)
            break;
        st = rules->is_encoder_decoder
                 ? add_gaps(tokens, rules, text, n_text, offset, ids, labels)
                 : add_plain(tokens, rules, text, n_text, offset, ids);
    }
    free(text);
    free(ids);
    free(labels);
    return st;
}

enum gqa_status gqa_tokens_from_text(struct gqa_tokens *tokens,
                                     const char *path,
                                     const struct gqa_token_rules *rules,
                                     uint64_t length, uint64_t max_sequences)
{
    uint64_t size, n_text, n_pieces;
    enum gqa_status st;
    int64_t offset = 0;
    int fd;

    if (length < 2)
        return gqa_fail(GQA_ERR_USAGE,
                        "text is cut into pieces of 2 tokens at least");
    if ((st = byte_offset(&offset, rules)) != GQA_OK)
        return st;
    if ((st = gqa_file_open(&fd, &size, path)) != GQA_OK)
        return st;
    /* A short file is one short piece. */
    n_text = rules->is_encoder_decoder ? length : length - 1;
    n_text = n_text < size ? n_text : size;
    if (n_text < 2) {
        st = gqa_fail(GQA_ERR_FORMAT, "%llu bytes are too little text",
                      (unsigned long long)size);
    } else {
        n_pieces = size / n_text;
        if (max_sequences > 0 && max_sequences < n_pieces)
            n_pieces = max_sequences;
        st = cut(tokens, fd, size, rules, n_text, n_pieces, offset);
    }
    close(fd);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", path);
}
