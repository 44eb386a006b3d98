/* A SentencePiece model: what `tokenizer.model` holds. */
#ifndef GQA_FORMATS_GGUF_PIECES_H
#define GQA_FORMATS_GGUF_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* SentencePiece's numbers, which are those of GGUF, too. */
enum gqa_piece_type {
    GQA_PIECE_NORMAL = 1,
    GQA_PIECE_UNKNOWN,
    GQA_PIECE_CONTROL,
    GQA_PIECE_USER_DEFINED,
    GQA_PIECE_UNUSED,
    GQA_PIECE_BYTE,
};

struct gqa_piece {
    const char *text; /* [n], lent by the model's bytes; any bytes */
    size_t n;
    float score;
    unsigned type; /* a gqa_piece_type */
};

struct gqa_pieces {
    struct gqa_piece *items; /* [n], by token; owned */
    size_t n;
    bool is_bpe;       /* merged by score, not the likeliest of all ways */
    bool space_before; /* a text begins with one */
    uint64_t unknown;  /* the token for what has no piece */
};

/*
 * Read a model of n bytes, which are lent for as long as the pieces are used.
 *
 * out    zero; gqa_pieces_clear() ends it, also after an error.
 * Errors GQA_ERR_FORMAT: no such model, or cut off; GQA_ERR_UNSUPPORTED: a type
 *        of pieces that is not known; GQA_ERR_NOMEM. Messages do not name the
 *        file.
 */
GQA_MUST_USE
enum gqa_status gqa_pieces_parse(struct gqa_pieces *out,
                                 const unsigned char *bytes, size_t n);
void gqa_pieces_clear(struct gqa_pieces *pieces);

#endif
