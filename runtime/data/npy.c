/*
 * The .npy format: "\x93NUMPY", major and minor version, the header's
 * length (2 bytes, from version 2 on 4), the header, the data. The header
 * is a Python dict of three keys as NumPy writes it:
 *
 *   {'descr': '<i8', 'fortran_order': False, 'shape': (4, 512), }
 */
#include "runtime/data/npy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"

static const char magic[6] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y'};

enum { MAX_HEADER = 65536 };

enum gqa_status gqa_load_integers(int64_t **out, const void *src, uint64_t n,
                                  unsigned width, bool is_signed)
{
    const unsigned char *at = src;
    uint64_t n_bytes;
    int64_t *values;

    assert(width > 0);
    if (!gqa_mul_u64(n ? n : 1, sizeof *values, &n_bytes) || n_bytes > SIZE_MAX)
        return gqa_fail_nomem();
    if (!(values = malloc(n_bytes)))
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < n; i++, at += width) {
        uint64_t bits = 0;

        for (unsigned b = 0; b < width; b++)
            bits |= (uint64_t)at[b] << 8 * b;
        if (is_signed && width < 8 && bits >> (8 * width - 1))
            bits |= ~UINT64_C(0) << 8 * width;
        if (!is_signed && bits > INT64_MAX) {
            free(values);
            return gqa_fail(GQA_ERR_FORMAT, "%llu is no token",
                            (unsigned long long)bits);
        }
        memcpy(&values[i], &bits, sizeof bits);
    }
    *out = values;
    return GQA_OK;
}

struct header {
    bool has_descr, has_order, has_shape;
    bool is_signed, fortran;
    unsigned width;
    unsigned rank;
    uint64_t shape[2];
};

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n'))
        c->at++;
}

/* Step over this text, blanks before it. */
static bool take(struct cursor *c, const char *text)
{
    const size_t n = strlen(text);

    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* A string in single quotes, without escapes. */
static bool take_string(struct cursor *c, char *out, size_t size)
{
    size_t n = 0;

    if (!take(c, "'"))
        return false;
    for (; c->at < c->end && *c->at != '\''; c->at++) {
        if (n + 1 >= size || *c->at == '\\')
            return false;
        out[n++] = *c->at;
    }
    out[n] = '\0';
    return take(c, "'");
}

static bool take_number(struct cursor *c, uint64_t *out)
{
    uint64_t value = 0;
    const char *start;

    skip_blanks(c);
    start = c->at;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (!gqa_mul_u64(value, 10, &value) ||
            !gqa_add_u64(value, (uint64_t)(*c->at - '0'), &value))
            return false;
    *out = value;
    return c->at > start;
}

static enum gqa_status bad_header(void)
{
    return gqa_fail(GQA_ERR_FORMAT, "the .npy header is not one of NumPy's");
}

static enum gqa_status parse_descr(struct header *h, struct cursor *c)
{
    char descr[16] = "";

    if (h->has_descr || !take_string(c, descr, sizeof descr))
        return bad_header();
    h->has_descr = true;
    if (strlen(descr) == 3 && (descr[1] == 'i' || descr[1] == 'u') &&
        strchr("1248", descr[2]) &&
        (descr[0] == '<' || (descr[0] == '|' && descr[2] == '1'))) {
        h->width = (unsigned)(descr[2] - '0');
        h->is_signed = descr[1] == 'i';
        return GQA_OK;
    }
    gqa_make_printable(descr);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "type '%s' is not a little-endian integer: save "
                    "tokens.astype('<i4')",
                    descr);
}

static enum gqa_status parse_shape(struct header *h, struct cursor *c)
{
    if (h->has_shape || !take(c, "("))
        return bad_header();
    h->has_shape = true;
    while (!take(c, ")")) {
        if (h->rank == 2)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "tokens have one or two dimensions, not more");
        if (!take_number(c, &h->shape[h->rank]))
            return bad_header();
        h->rank++;
        if (!take(c, ",")) {
            if (!take(c, ")"))
                return bad_header();
            break;
        }
    }
    if (h->rank == 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a single number, not sequences of tokens");
    return GQA_OK;
}

static enum gqa_status parse_header(struct header *h, struct cursor c)
{
    enum gqa_status st = GQA_OK;
    char key[16];

    if (!take(&c, "{"))
        return bad_header();
    while (st == GQA_OK && !take(&c, "}")) {
        if (!take_string(&c, key, sizeof key) || !take(&c, ":"))
            return bad_header();
        if (strcmp(key, "descr") == 0) {
            st = parse_descr(h, &c);
        } else if (strcmp(key, "shape") == 0) {
            st = parse_shape(h, &c);
        } else if (strcmp(key, "fortran_order") == 0 && !h->has_order) {
            h->has_order = true;
            h->fortran = take(&c, "True");
            if (!h->fortran && !take(&c, "False"))
                return bad_header();
        } else {
            return bad_header();
        }
        if (st == GQA_OK && !take(&c, ",")) {
            if (!take(&c, "}"))
                return bad_header();
            break;
        }
    }
    if (st != GQA_OK)
        return st;
    skip_blanks(&c);
    if (c.at != c.end || !h->has_descr || !h->has_order || !h->has_shape)
        return bad_header();
    if (h->fortran && h->rank == 2)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "the array is in Fortran order: save "
                        "numpy.ascontiguousarray(tokens)");
    return GQA_OK;
}

enum gqa_status gqa_npy_parse(struct gqa_int_matrix *out, const void *bytes,
                              size_t n_bytes)
{
    const unsigned char *b = bytes;
    struct header h = {0};
    uint64_t rows, cols, n, data_bytes;
    size_t prefix = 10, header_bytes;
    enum gqa_status st;

    if (n_bytes < prefix || memcmp(b, magic, sizeof magic) != 0)
        return gqa_fail(GQA_ERR_FORMAT, "not a .npy file");
    if (b[6] < 1 || b[6] > 3)
        return gqa_fail(GQA_ERR_UNSUPPORTED, ".npy of version %u", b[6]);
    header_bytes = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1) {
        prefix = 12;
        if (n_bytes < prefix)
            return gqa_fail(GQA_ERR_FORMAT, "the .npy header is cut off");
        header_bytes |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    }
    if (header_bytes > n_bytes - prefix || header_bytes > MAX_HEADER)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the .npy header of %zu bytes is cut off or too long",
                        header_bytes);
    st = parse_header(&h,
                      (struct cursor){(const char *)b + prefix,
                                      (const char *)b + prefix + header_bytes});
    if (st != GQA_OK)
        return st;
    rows = h.rank == 2 ? h.shape[0] : 1;
    cols = h.shape[h.rank - 1];
    if (!gqa_mul_u64(rows, cols, &n) || !gqa_mul_u64(n, h.width, &data_bytes) ||
        data_bytes != n_bytes - prefix - header_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%llu x %llu integers of %u bytes do not fill the %zu "
                        "bytes behind the .npy header",
                        (unsigned long long)rows, (unsigned long long)cols,
                        h.width, n_bytes - prefix - header_bytes);
    st = gqa_load_integers(&out->values, b + prefix + header_bytes, n, h.width,
                           h.is_signed);
    out->rows = rows;
    out->cols = cols;
    return st;
}
