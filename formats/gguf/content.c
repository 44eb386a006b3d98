#include "formats/gguf/content.h"

#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"

enum {
    /* Rows that are put in order, or elements that change their type. */
    ROOM_BYTES = 512 << 10,
    /* Doubles on their way from a type to another. */
    SOME = 256,
};

struct room {
    unsigned char *rows, *narrow; /* ROOM_BYTES each */
};

struct gqa_gguf_content {
    const struct gqa_gguf_draft *draft;
    const struct gqa_output *output;
    struct room *rooms; /* [n_threads] */
};

/* A tensor, and the room of the thread that makes it. */
struct making {
    const struct gqa_gguf_content *content;
    const struct gqa_gguf_tensor *t;
    const struct gqa_gguf_piece *piece;
    const struct room *room;
    unsigned worker;
    uint64_t width; /* bytes of an element, as it is produced */
    /* Of what each part is produced in, as theirs */
    uint64_t n_rows, length;
};

/* Elements of one part, as they are produced. */
static enum gqa_status produce(const struct making *m, size_t part,
                               uint64_t first, uint64_t n, void *out)
{
    const struct gqa_output *o = m->content->output;

    return o->produce(o->produce_ctx, m->worker, m->piece->parts[part],
                      first * m->width, (size_t)(n * m->width), out);
}

/* --- Rows in another order ------------------------------------------------ */

/* Whole rows, from theirs `row` on, which ours follow each other, too. */
static uint64_t count_adjoining(const struct gqa_gguf_place *p, uint64_t row,
                                uint64_t n, uint64_t step)
{
    const uint64_t first = gqa_gguf_original_row(p, row);
    uint64_t k = 1;

    while (k * step < n &&
           gqa_gguf_original_row(p, row + k * step) == first + k)
        k++;
    return k;
}

/* Every `step`-th row of `n`, which lie together in ours, to where they belong
 * in out. */
static enum gqa_status spread_rows(const struct making *m, uint64_t row,
                                   uint64_t n, uint64_t step,
                                   unsigned char *out)
{
    const uint64_t row_bytes = m->length * m->width;
    const uint64_t most = gqa_max_u64(ROOM_BYTES / row_bytes, 1);
    enum gqa_status st = GQA_OK;
    uint64_t take;

    for (uint64_t i = 0; i < n && st == GQA_OK; i += take * step) {
        const uint64_t ours = gqa_gguf_original_row(&m->piece->place, row + i);
        unsigned char *to = out + i * row_bytes;

        take = gqa_min_u64(
            count_adjoining(&m->piece->place, row + i, n - i, step), most);
        if (step == 1 || take == 1) {
            st = produce(m, 0, ours * m->length, take * m->length, to);
            continue;
        }
        st = produce(m, 0, ours * m->length, take * m->length, m->room->rows);
        for (uint64_t k = 0; k < take && st == GQA_OK; k++)
            memcpy(to + k * step * row_bytes, m->room->rows + k * row_bytes,
                   (size_t)row_bytes);
    }
    return st;
}

/* In runs, or in pairs that come from two places of each head. */
static uint64_t step_of(enum gqa_gguf_order order)
{
    return order == GQA_GGUF_BY_GROUPS || order == GQA_GGUF_VALUES ||
                   order == GQA_GGUF_GROUPED_VALUES
               ? 1
               : 2;
}

static enum gqa_status order_rows(const struct making *m, uint64_t row,
                                  uint64_t n, unsigned char *out)
{
    const uint64_t step = step_of(m->piece->place.order);
    enum gqa_status st = GQA_OK;

    for (uint64_t i = 0; i < step && i < n && st == GQA_OK; i++)
        st = spread_rows(m, row + i, n - i, step,
                         out + i * m->length * m->width);
    return st;
}

/* A part of a row, or of several that are whole. */
static enum gqa_status order_elements(const struct making *m, uint64_t first,
                                      uint64_t n, unsigned char *out)
{
    const uint64_t row = first / m->length, column = first % m->length;

    return column == 0 && n % m->length == 0
               ? order_rows(m, row, n / m->length, out)
               : produce(m, 0,
                         gqa_gguf_original_row(&m->piece->place, row) *
                                 m->length +
                             column,
                         n, out);
}

/* --- Rows that are columns ------------------------------------------------ */

/* Rows [row, row + n_rows) and columns [column, column + n_columns) there. */
static enum gqa_status turn(const struct making *m, uint64_t row,
                            uint64_t n_rows, uint64_t column,
                            uint64_t n_columns, unsigned char *out)
{
    const uint64_t w = m->width;
    const uint64_t take =
        gqa_min_u64(n_columns, gqa_max_u64(ROOM_BYTES / (n_rows * w), 1));
    enum gqa_status st = GQA_OK;

    for (uint64_t c = 0; c < n_columns; c += take) {
        const uint64_t n = gqa_min_u64(take, n_columns - c);

        for (uint64_t k = 0; k < n && st == GQA_OK; k++)
            st = produce(m, 0, (column + c + k) * m->n_rows + row, n_rows,
                         m->room->rows + k * n_rows * w);
        if (st != GQA_OK)
            return st;
        for (uint64_t r = 0; r < n_rows; r++)
            for (uint64_t k = 0; k < n; k++)
                memcpy(out + (r * n_columns + c + k) * w,
                       m->room->rows + (k * n_rows + r) * w, (size_t)w);
    }
    return GQA_OK;
}

static enum gqa_status turn_elements(const struct making *m, uint64_t first,
                                     uint64_t n, unsigned char *out)
{
    const uint64_t row = first / m->length, column = first % m->length;
    const uint64_t n_rows = column == 0 ? n / m->length : 0;
    const uint64_t most = ROOM_BYTES / m->width;
    enum gqa_status st = GQA_OK;

    if (n_rows == 0)
        return turn(m, row, 1, column, n, out);
    for (uint64_t r = 0; r < n_rows && st == GQA_OK; r += most)
        st = turn(m, row + r, gqa_min_u64(most, n_rows - r), 0, m->length,
                  out + r * m->length * m->width);
    return st;
}

/* --- Elements ------------------------------------------------------------- */

/* As they are produced, one part behind the other. */
static enum gqa_status join_elements(const struct making *m, uint64_t first,
                                     uint64_t n, unsigned char *out)
{
    const uint64_t each = m->t->n_elements / m->piece->n_parts;
    enum gqa_status st = GQA_OK;
    uint64_t take;

    for (uint64_t i = 0; i < n && st == GQA_OK; i += take) {
        take = gqa_min_u64(n - i, each - (first + i) % each);
        st = produce(m, (size_t)((first + i) / each), (first + i) % each, take,
                     out + i * m->width);
    }
    return st;
}

/* A half of a matrix, or of each expert's, whose other half ours has before or
 * behind it. */
static enum gqa_status halve_elements(const struct making *m, uint64_t first,
                                      uint64_t n, unsigned char *out)
{
    const uint64_t each = m->t->shape[m->t->rank - 2] * m->length;
    const unsigned half = gqa_gguf_slice(m->piece->place.order);
    enum gqa_status st = GQA_OK;
    uint64_t take;

    for (uint64_t i = 0; i < n && st == GQA_OK; i += take) {
        const uint64_t expert = (first + i) / each;
        const uint64_t within = (first + i) % each;

        take = gqa_min_u64(n - i, each - within);
        st = produce(m, 0, (2 * expert + half) * each + within, take,
                     out + i * m->width);
    }
    return st;
}

/* The rest of a row, whole rows, a beginning: each by itself. */
static enum gqa_status arrange(const struct making *m, uint64_t first,
                               uint64_t n, unsigned char *out)
{
    const enum gqa_gguf_order order = m->piece->place.order;
    enum gqa_status st = GQA_OK;
    uint64_t take;

    if (order == GQA_GGUF_AS_IT_IS || order == GQA_GGUF_ONE_MORE ||
        order == GQA_GGUF_ROW)
        return join_elements(m, first, n, out);
    if (gqa_gguf_is_half(order))
        return halve_elements(m, first, n, out);
    for (uint64_t i = 0; i < n && st == GQA_OK; i += take) {
        const uint64_t column = (first + i) % m->length;

        take = column > 0           ? gqa_min_u64(m->length - column, n - i)
               : n - i >= m->length ? (n - i) / m->length * m->length
                                    : n - i;
        st = order == GQA_GGUF_TURNED
                 ? turn_elements(m, first + i, take, out + i * m->width)
                 : order_elements(m, first + i, take, out + i * m->width);
    }
    return st;
}

/* Exact but for one more of numbers that have many digits. */
static void widen(unsigned char *out, const unsigned char *in,
                  const struct making *m, uint64_t n)
{
    const double more = m->piece->place.order == GQA_GGUF_ONE_MORE ? 1 : 0;
    double some[SOME];

    for (uint64_t i = 0; i < n; i += SOME) {
        const size_t k = (size_t)gqa_min_u64(SOME, n - i);

        gqa_load_f64(some, in + i * m->width, m->piece->dtype, k);
        for (size_t j = 0; j < k; j++)
            some[j] += more;
        gqa_store_f64(out + i * sizeof(float), GQA_F32, some, k);
    }
}

static enum gqa_status fill(const struct making *m, uint64_t first, uint64_t n,
                            unsigned char *out)
{
    const uint64_t most = ROOM_BYTES / m->width;
    enum gqa_status st = GQA_OK;

    if (m->piece->values) {
        memcpy(out, m->piece->values + first, (size_t)n * sizeof(float));
        return GQA_OK;
    }
    if (m->piece->dtype == m->t->type->dtype &&
        m->piece->place.order != GQA_GGUF_ONE_MORE)
        return arrange(m, first, n, out);
    for (uint64_t i = 0; i < n && st == GQA_OK; i += most) {
        const uint64_t take = gqa_min_u64(most, n - i);

        st = arrange(m, first + i, take, m->room->narrow);
        if (st == GQA_OK)
            widen(out + i * sizeof(float), m->room->narrow, m, take);
    }
    return st;
}

enum gqa_status gqa_gguf_content_produce(void *ctx, unsigned worker,
                                         size_t tensor, uint64_t offset,
                                         size_t n, void *buf)
{
    const struct gqa_gguf_content *c = ctx;
    const struct gqa_gguf_tensor *t = &c->draft->header.tensors[tensor];
    const struct gqa_gguf_piece *piece = &c->draft->pieces[tensor];
    const uint64_t size = gqa_dtype_bits(t->type->dtype) / 8;
    const uint64_t left = offset < t->n_bytes ? t->n_bytes - offset : 0;
    const uint64_t real = gqa_min_u64(n, left);
    struct making m = {
        .content = c,
        .t = t,
        .piece = piece,
        .room = &c->rooms[worker],
        .worker = worker,
        .width = gqa_dtype_bits(piece->dtype) / 8,
        .length = t->rank > 1 ? t->shape[t->rank - 1] : 1,
    };

    m.n_rows = t->n_elements / m.length;
    memset((unsigned char *)buf + real, 0, (size_t)(n - real));
    return real > 0 ? fill(&m, offset / size, real / size, buf) : GQA_OK;
}

enum gqa_status gqa_gguf_content_create(struct gqa_gguf_content **out,
                                        const struct gqa_gguf_draft *draft,
                                        const struct gqa_output *output)
{
    const unsigned n_threads = output->options->n_threads;
    struct gqa_gguf_content *c = calloc(1, sizeof *c);

    if (!c)
        return gqa_fail_nomem();
    c->draft = draft;
    c->output = output;
    c->rooms = calloc(n_threads, sizeof *c->rooms);
    for (unsigned i = 0; c->rooms && i < n_threads; i++) {
        c->rooms[i].rows = malloc(ROOM_BYTES);
        c->rooms[i].narrow = malloc(ROOM_BYTES);
        if (!c->rooms[i].rows || !c->rooms[i].narrow) {
            gqa_gguf_content_free(c);
            return gqa_fail_nomem();
        }
    }
    if (!c->rooms) {
        gqa_gguf_content_free(c);
        return gqa_fail_nomem();
    }
    *out = c;
    return GQA_OK;
}

void gqa_gguf_content_free(struct gqa_gguf_content *c)
{
    if (!c)
        return;
    for (unsigned i = 0; c->rooms && i < c->output->options->n_threads; i++) {
        free(c->rooms[i].rows);
        free(c->rooms[i].narrow);
    }
    free(c->rooms);
    free(c);
}
