#include "formats/gguf/pieces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A message of protocol buffers: fields one after another, each with its
 * number and how its value lies. */
struct message {
    const unsigned char *at, *end;
};

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t value;       /* of a number, its bits */
    struct message bytes; /* of a text, or a message within */
};

static enum gqa_status cut_off(void)
{
    return gqa_fail(GQA_ERR_FORMAT, "no SentencePiece model, or one that is "
                                    "cut off");
}

static enum gqa_status take_varint(struct message *m, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        const unsigned char byte = *m->at++;

        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return GQA_OK;
    }
    return cut_off();
}

static enum gqa_status take_fixed(struct message *m, uint64_t *out, size_t n)
{
    if ((size_t)(m->end - m->at) < n)
        return cut_off();
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out |= (uint64_t)m->at[i] << (8 * i);
    m->at += n;
    return GQA_OK;
}

static enum gqa_status take_bytes(struct message *m, struct message *out)
{
    uint64_t n;
    const enum gqa_status st = take_varint(m, &n);

    if (st != GQA_OK)
        return st;
    if (n > (uint64_t)(m->end - m->at))
        return cut_off();
    *out = (struct message){m->at, m->at + n};
    m->at += n;
    return GQA_OK;
}

static enum gqa_status take_field(struct message *m, struct field *out)
{
    uint64_t tag;
    const enum gqa_status st = take_varint(m, &tag);

    if (st != GQA_OK)
        return st;
    *out = (struct field){.number = tag >> 3, .wire = (enum wire)(tag & 7)};
    switch (out->wire) {
    case WIRE_VARINT:
        return take_varint(m, &out->value);
    case WIRE_64:
        return take_fixed(m, &out->value, 8);
    case WIRE_BYTES:
        return take_bytes(m, &out->bytes);
    case WIRE_32:
        return take_fixed(m, &out->value, 4);
    default:
        return cut_off();
    }
}

/* --- What a model says ---------------------------------------------------- */

static enum gqa_status take_piece(struct gqa_piece *out, struct message m)
{
    enum { TEXT = 1, SCORE = 2, TYPE = 3 };
    struct field f;
    enum gqa_status st = GQA_OK;

    *out = (struct gqa_piece){.text = "", .type = GQA_PIECE_NORMAL};
    while (m.at < m.end && st == GQA_OK) {
        if ((st = take_field(&m, &f)) != GQA_OK)
            break;
        if (f.number == TEXT && f.wire == WIRE_BYTES) {
            out->text = (const char *)f.bytes.at;
            out->n = (size_t)(f.bytes.end - f.bytes.at);
        } else if (f.number == SCORE && f.wire == WIRE_32) {
            const uint32_t bits = (uint32_t)f.value;

            memcpy(&out->score, &bits, sizeof out->score);
        } else if (f.number == TYPE && f.wire == WIRE_VARINT) {
            if (f.value < GQA_PIECE_NORMAL || f.value > GQA_PIECE_BYTE)
                return gqa_fail(GQA_ERR_UNSUPPORTED,
                                "a piece of type %llu, which is not known",
                                (unsigned long long)f.value);
            out->type = (unsigned)f.value;
        }
    }
    if (st == GQA_OK && !isfinite(out->score))
        return gqa_fail(GQA_ERR_FORMAT, "a piece whose score is no number");
    return st;
}

static enum gqa_status take_trainer(struct gqa_pieces *out, struct message m)
{
    enum { MODEL_TYPE = 3, UNKNOWN = 40, BPE = 2 };
    struct field f;
    enum gqa_status st = GQA_OK;

    while (m.at < m.end && st == GQA_OK) {
        if ((st = take_field(&m, &f)) != GQA_OK)
            break;
        if (f.number == MODEL_TYPE && f.wire == WIRE_VARINT)
            out->is_bpe = f.value == BPE;
        else if (f.number == UNKNOWN && f.wire == WIRE_VARINT)
            out->unknown = f.value;
    }
    return st;
}

static enum gqa_status take_normalizer(struct gqa_pieces *out, struct message m)
{
    enum { SPACE_BEFORE = 3 };
    struct field f;
    enum gqa_status st = GQA_OK;

    while (m.at < m.end && st == GQA_OK) {
        if ((st = take_field(&m, &f)) != GQA_OK)
            break;
        if (f.number == SPACE_BEFORE && f.wire == WIRE_VARINT)
            out->space_before = f.value != 0;
    }
    return st;
}

enum { PIECE = 1, TRAINER = 2, NORMALIZER = 3 };

/* Pieces are counted first; each takes two bytes or more of what is there. */
static enum gqa_status count_pieces(size_t *n, struct message m)
{
    struct field f;
    enum gqa_status st = GQA_OK;

    while (m.at < m.end && (st = take_field(&m, &f)) == GQA_OK)
        *n += f.number == PIECE && f.wire == WIRE_BYTES;
    return st;
}

enum gqa_status gqa_pieces_parse(struct gqa_pieces *out,
                                 const unsigned char *bytes, size_t n)
{
    struct message m = {bytes, bytes + n};
    size_t n_pieces = 0;
    struct field f;
    enum gqa_status st = count_pieces(&n_pieces, m);

    out->space_before = true;
    if (st != GQA_OK)
        return st;
    if (n_pieces == 0)
        return cut_off();
    out->items = calloc(n_pieces, sizeof *out->items);
    if (!out->items)
        return gqa_fail_nomem();
    while (m.at < m.end && st == GQA_OK) {
        if ((st = take_field(&m, &f)) != GQA_OK || f.wire != WIRE_BYTES)
            continue;
        if (f.number == PIECE)
            st = take_piece(&out->items[out->n++], f.bytes);
        else if (f.number == TRAINER)
            st = take_trainer(out, f.bytes);
        else if (f.number == NORMALIZER)
            st = take_normalizer(out, f.bytes);
    }
    return st;
}

void gqa_pieces_clear(struct gqa_pieces *pieces)
{
    free(pieces->items);
    *pieces = (struct gqa_pieces){0};
}
