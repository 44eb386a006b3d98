#include "runtime/data/token_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/interrupt.h"

enum {
    N_BYTES = 256,
    BYTE_TOKENS = N_BYTES + 3, /* padding, end, unknown, bytes */
    MAX_BYTE_VOCABULARY = 384, /* ByT5's, with 125 sentinels */
    GAP_EVERY = 128,
    GAP_BYTES = 19,
    MAX_GAPS = 4,
    TOGETHER = 8, /* pieces of which one is kept out */
};

/* How far gaps move in their parts from one time to the next: by the golden
 * section, so that they are spread however often that is. */
static const double golden = 0.6180339887498949;

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

/* Where gap g of a text of n is, the `round`-th time: in the middle of its part
 * the first. */
static uint64_t begin_of_gap(uint64_t n, uint64_t n_gaps, uint64_t g,
                             uint64_t gap, uint64_t round)
{
    const uint64_t from = n * g / n_gaps, to = n * (g + 1) / n_gaps;
    const double share = 0.5 + (double)round * golden;

    return round == 0 ? n * (2 * g + 1) / (2 * n_gaps) - gap / 2
                      : from + (uint64_t)((share - floor(share)) *
                                          (double)(to - from - gap));
}

/* ids and labels: room for n + 1 and n + MAX_GAPS + 1. */
static enum gqa_status add_gaps(struct gqa_tokens *tokens,
                                const struct gqa_token_rules *rules,
                                const unsigned char *text, uint64_t n,
                                int64_t offset, uint64_t round, int64_t *ids,
                                int64_t *labels)
{
    uint64_t n_gaps = n / GAP_EVERY;
    uint64_t gap = GAP_BYTES;
    uint64_t n_ids = 0, n_labels = 0, at = 0;

    n_gaps = n_gaps < 1 ? 1 : n_gaps > MAX_GAPS ? MAX_GAPS : n_gaps;
    if (gap > n / n_gaps / 2)
        gap = n / n_gaps / 2;
    for (uint64_t g = 0; g < n_gaps; g++) {
        const uint64_t stop = begin_of_gap(n, n_gaps, g, gap, round);
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

/* What is cut, and how. */
struct cutting {
    const struct gqa_token_rules *rules;
    int fd;
    uint64_t size, n_text; /* of the file, of a piece */
    int64_t offset;
    uint64_t round; /* how often the text was gone over */
};

/* pieces of n_text bytes each, evenly over the file. */
static enum gqa_status cut(struct gqa_tokens *tokens, const struct cutting *c,
                           uint64_t n_pieces)
{
    unsigned char *text = malloc(c->n_text);
    int64_t *ids = calloc(c->n_text + MAX_GAPS + 1, sizeof *ids);
    int64_t *labels = calloc(c->n_text + MAX_GAPS + 1, sizeof *labels);
    enum gqa_status st = text && ids && labels ? GQA_OK : gqa_fail_nomem();

    for (uint64_t i = 0; i < n_pieces && st == GQA_OK; i++) {
        const uint64_t all = c->size / c->n_text;
        /* all / n_pieces * i + ..., without overflow */
        const uint64_t piece =
            all / n_pieces * i + all % n_pieces * i / n_pieces;

        st = gqa_interrupt_pending()
                 ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
                 : gqa_file_read(c->fd, text, c->n_text, piece * c->n_text);
        if (st != GQA_OK)
            break;
        st = c->rules->is_encoder_decoder
                 ? add_gaps(tokens, c->rules, text, c->n_text, c->offset,
                            c->round, ids, labels)
                 : add_plain(tokens, c->rules, text, c->n_text, c->offset, ids);
    }
    free(text);
    free(ids);
    free(labels);
    return st;
}

/* As many of all pieces as are wanted, or all of them again and again. */
static enum gqa_status cut_all(struct gqa_tokens *tokens, struct cutting *c,
                               uint64_t wanted, bool again)
{
    const uint64_t all = c->size / c->n_text;
    const uint64_t each = all < TOGETHER ? all : all - all % TOGETHER;
    enum gqa_status st = GQA_OK;

    if (wanted == 0 || (wanted > all && !again))
        wanted = all;
    if (wanted <= all)
        return cut(tokens, c, wanted);
    for (; tokens->n < wanted && st == GQA_OK; c->round++) {
        const uint64_t left = wanted - tokens->n;

        st = cut(tokens, c, left < each ? left : each);
    }
    return st;
}

static enum gqa_status from_text(struct gqa_tokens *tokens, const char *path,
                                 const struct gqa_token_rules *rules,
                                 uint64_t length, uint64_t wanted, bool again)
{
    struct cutting c = {.rules = rules};
    enum gqa_status st;

    if (length < 2)
        return gqa_fail(GQA_ERR_USAGE,
                        "text is cut into pieces of 2 tokens at least");
    if ((st = byte_offset(&c.offset, rules)) != GQA_OK)
        return st;
    if ((st = gqa_file_open(&c.fd, &c.size, path)) != GQA_OK)
        return st;
    /* A short file is one short piece. */
    c.n_text = rules->is_encoder_decoder ? length : length - 1;
    c.n_text = c.n_text < c.size ? c.n_text : c.size;
    st = c.n_text < 2
             ? gqa_fail(GQA_ERR_FORMAT, "%llu bytes are too little text",
                        (unsigned long long)c.size)
             : cut_all(tokens, &c, wanted, again);
    close(c.fd);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", path);
}

enum gqa_status gqa_tokens_from_text(struct gqa_tokens *tokens,
                                     const char *path,
                                     const struct gqa_token_rules *rules,
                                     uint64_t length, uint64_t max_sequences)
{
    return from_text(tokens, path, rules, length, max_sequences, false);
}

enum gqa_status gqa_tokens_from_text_again(struct gqa_tokens *tokens,
                                           const char *path,
                                           const struct gqa_token_rules *rules,
                                           uint64_t length,
                                           uint64_t max_sequences)
{
    return from_text(tokens, path, rules, length, max_sequences,
                     rules->is_encoder_decoder);
}
