/* Source: llama/model.py of Meta, whose layers are those of fairscale. */
#include "formats/original/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "formats/rectangles.h"

static const char stem[] = "consolidated.";

enum axis {
    ALIKE,   /* all parts have the same */
    ROWS,    /* one below the other */
    COLUMNS, /* side by side */
};

/* A whole tensor, of these of the parts. */
struct joined {
    enum axis axis;
    size_t n; /* 1: that part alone has it */
    size_t first;
    size_t *indices; /* [n], in parts first, first + 1... */
};

struct name {
    const char *text;
    size_t index;
};

struct parts {
    struct gqa_source base;
    struct gqa_source **inner; /* [n] */
    struct name **names; /* [n], of each its tensors', sorted; while joined */
    size_t n;
    struct joined *joined; /* [base.n_tensors] */
};

/* --- Names ---------------------------------------------------------------- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool gqa_original_is_first_part(const char *path)
{
    const char *name = base_of(path);
    const size_t n = sizeof stem - 1;

    return strncmp(name, stem, n) == 0 && strncmp(name + n, "00.", 3) == 0;
}

char *gqa_original_part_path(const char *first, size_t i)
{
    const char *name = base_of(first);
    char *path;

    return asprintf(&path, "%.*s%s%02zu%s", (int)(name - first), first, stem, i,
                    name + sizeof stem - 1 + 2) < 0
               ? NULL
               : path;
}

/* --- Reading -------------------------------------------------------------- */

struct reading {
    struct parts *p;
    const struct joined *joined;
    uint64_t element_bytes;
    uint64_t part_rows, part_columns;
};

/* Columns [column, column + n) of one part to `at` in rows of so many bytes. */
static enum gqa_status read_part(const struct reading *r, size_t part,
                                 uint64_t row, uint64_t n_rows, uint64_t column,
                                 uint64_t n, unsigned char *at,
                                 size_t pitch_bytes)
{
    struct gqa_source *inner = r->p->inner[r->joined->first + part];
    const size_t piece = (size_t)(n * r->element_bytes);
    const uint64_t row_bytes = r->part_columns * r->element_bytes;
    const struct gqa_span span = {row * row_bytes + column * r->element_bytes,
                                  piece, row_bytes, n_rows};
    unsigned char *room;
    enum gqa_status st;

    if (pitch_bytes == piece)
        return inner->ops->read(inner, r->joined->indices[part], &span, at);
    room = malloc(piece * n_rows);
    if (!room)
        return gqa_fail_nomem();
    st = inner->ops->read(inner, r->joined->indices[part], &span, room);
    for (uint64_t i = 0; i < n_rows && st == GQA_OK; i++)
        memcpy(at + i * pitch_bytes, room + i * piece, piece);
    free(room);
    return st;
}

static enum gqa_status read_rectangle(void *ctx, const struct gqa_rectangle *a,
                                      unsigned char *out)
{
    const struct reading *r = ctx;
    const bool is_rows = r->joined->axis == ROWS;
    const uint64_t length = is_rows ? r->part_rows : r->part_columns;
    const uint64_t begin = is_rows ? a->row : a->column;
    const uint64_t end = begin + (is_rows ? a->n_rows : a->n_columns);
    const size_t pitch = (size_t)(a->n_columns * r->element_bytes);
    enum gqa_status st = GQA_OK;
    uint64_t n;

    for (uint64_t i = begin; i < end && st == GQA_OK; i += n) {
        const size_t part = (size_t)(i / length);
        const uint64_t within = i % length;

        n = length - within < end - i ? length - within : end - i;
        st = is_rows ? read_part(r, part, within, n, a->column, a->n_columns,
                                 out + (i - begin) * pitch, pitch)
                     : read_part(r, part, a->row, a->n_rows, within, n,
                                 out + (i - begin) * r->element_bytes, pitch);
    }
    return st;
}

static enum gqa_status parts_read(struct gqa_source *source, size_t index,
                                  const struct gqa_span *span, void *buf)
{
    struct parts *p = (struct parts *)source;
    const struct joined *j = &p->joined[index];
    const struct gqa_tensor *t = &source->tensors[index];
    struct gqa_source *first = p->inner[j->first];
    struct reading r = {p, j, gqa_dtype_bits(t->dtype) / 8, 0, 0};

    if (j->axis == ALIKE)
        return first->ops->read(first, j->indices[0], span, buf);
    r.part_rows = first->tensors[j->indices[0]].shape[0];
    r.part_columns = first->tensors[j->indices[0]].shape[1];
    return gqa_rectangles_read(&(const struct gqa_rows){t->shape[1],
                                                        r.element_bytes,
                                                        read_rectangle, &r},
                               span, buf);
}

static void parts_free(struct parts *p)
{
    for (size_t i = 0; i < p->base.n_tensors; i++)
        free(p->joined[i].indices);
    free(p->joined);
    free(p->inner);
    free(p->names);
    gqa_source_clear(&p->base);
    free(p);
}

static void parts_close(struct gqa_source *source)
{
    struct parts *p = (struct parts *)source;

    for (size_t i = 0; i < p->n; i++)
        gqa_source_close(p->inner[i]);
    parts_free(p);
}

static const struct gqa_source_ops parts_ops = {parts_read, parts_close};

/* --- Making --------------------------------------------------------------- */

static bool ends_in(const char *name, const char *const *ends)
{
    for (; *ends; ends++) {
        const size_t n = strlen(name), m = strlen(*ends);

        if (n >= m && strcmp(name + n - m, *ends) == 0)
            return true;
    }
    return false;
}

/* Which way a matrix is cut. The embedding of Llama 3 is cut into tokens, of
 * those before into columns: as wide as the norm of the stream in the former.
 */
static enum axis axis_of(const struct gqa_tensor *t, uint64_t d_model)
{
    static const char *const rows[] = {
        ".wq.weight", ".wk.weight",    ".wv.weight", ".w1.weight",
        ".w3.weight", "output.weight", NULL};
    static const char *const columns[] = {".wo.weight", ".w2.weight", NULL};

    if (t->rank != 2)
        return ALIKE;
    if (strcmp(t->name, "tok_embeddings.weight") == 0)
        return t->shape[1] == d_model ? ROWS : COLUMNS;
    return ends_in(t->name, rows)      ? ROWS
           : ends_in(t->name, columns) ? COLUMNS
                                       : ALIKE;
}

static int compare_names(const void *a, const void *b)
{
    const struct name *x = a, *y = b;

    return strcmp(x->text, y->text);
}

static enum gqa_status sort_names(struct parts *p, size_t part)
{
    const struct gqa_source *source = p->inner[part];
    struct name *names = calloc(source->n_tensors + 1, sizeof *names);

    p->names[part] = names;
    if (!names)
        return gqa_fail_nomem();
    for (size_t i = 0; i < source->n_tensors; i++)
        names[i] = (struct name){source->tensors[i].name, i};
    qsort(names, source->n_tensors, sizeof *names, compare_names);
    return GQA_OK;
}

/* The tensor of this name in a part, or NULL. */
static const struct gqa_tensor *find(const struct parts *p, size_t part,
                                     const char *name, size_t *index)
{
    const struct gqa_source *source = p->inner[part];
    const struct name wanted = {name, 0};
    const struct name *found =
        bsearch(&wanted, p->names[part], source->n_tensors, sizeof wanted,
                compare_names);

    if (!found)
        return NULL;
    if (index)
        *index = found->index;
    return &source->tensors[found->index];
}

static bool are_alike(const struct gqa_tensor *a, const struct gqa_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

/* The whole tensor of `from`, which is in part `first` and those behind it. */
static enum gqa_status add(struct parts *p, size_t first,
                           const struct gqa_tensor *from, uint64_t d_model)
{
    struct gqa_tensor *t = &p->base.tensors[p->base.n_tensors];
    struct joined *j = &p->joined[p->base.n_tensors];

    *t = *from;
    t->name = strdup(from->name);
    j->indices = calloc(p->n, sizeof *j->indices);
    j->first = first;
    if (!t->name || !j->indices) {
        free(t->name);
        free(j->indices);
        j->indices = NULL;
        return gqa_fail_nomem();
    }
    p->base.n_tensors++;
    for (size_t i = first; i < p->n; i++) {
        size_t at = 0;
        const struct gqa_tensor *part = find(p, i, from->name, &at);

        if (!part)
            break;
        if (!are_alike(from, part))
            return gqa_fail(
                GQA_ERR_FORMAT, "%s: its part of %s is not like that in %s",
                p->inner[i]->path, from->name, p->inner[first]->path);
        j->indices[j->n++] = at;
    }
    if (j->n > 1 && (first > 0 || j->n < p->n))
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s is in some of the %zu parts of the model and not "
                        "in others",
                        from->name, p->n);
    j->axis = j->n > 1 ? axis_of(from, d_model) : ALIKE;
    if (j->axis == ALIKE)
        return GQA_OK;
    if (t->n_elements == 0 || gqa_dtype_bits(t->dtype) % 8 != 0)
        return gqa_fail(GQA_ERR_FORMAT, "%s is nothing that has parts",
                        from->name);
    if (!gqa_mul_u64(t->shape[j->axis == COLUMNS], j->n,
                     &t->shape[j->axis == COLUMNS]) ||
        !gqa_mul_u64(t->n_elements, j->n, &t->n_elements) ||
        !gqa_mul_u64(t->n_bytes, j->n, &t->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "%s has too many elements", from->name);
    return GQA_OK;
}

/* Tensors of a part that none before it has. */
static enum gqa_status add_part(struct parts *p, size_t part, uint64_t d_model)
{
    const struct gqa_source *source = p->inner[part];
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < source->n_tensors && st == GQA_OK; i++) {
        bool is_new = true;

        for (size_t k = 0; k < part && is_new; k++)
            is_new = !find(p, k, source->tensors[i].name, NULL);
        if (is_new)
            st = add(p, part, &source->tensors[i], d_model);
    }
    return st;
}

static void forget_names(struct parts *p)
{
    for (size_t i = 0; p->names && i < p->n; i++)
        free(p->names[i]);
    free(p->names);
    p->names = NULL;
}

static enum gqa_status fill(struct parts *p)
{
    const struct gqa_source *first = p->inner[0];
    const struct gqa_tensor *norm;
    size_t n = 0;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < p->n && st == GQA_OK; i++) {
        st = sort_names(p, i);
        n += p->inner[i]->n_tensors;
        p->base.file_bytes += p->inner[i]->file_bytes;
        p->base.content_bytes += p->inner[i]->content_bytes;
    }
    p->base.tensors = calloc(n + 1, sizeof *p->base.tensors);
    p->joined = calloc(n + 1, sizeof *p->joined);
    p->base.path = strdup(first->path);
    if (st != GQA_OK || !p->base.tensors || !p->joined || !p->base.path)
        return gqa_fail_nomem();
    norm = find(p, 0, "norm.weight", NULL);
    for (size_t i = 0; i < p->n && st == GQA_OK; i++)
        st = add_part(p, i, norm && norm->rank > 0 ? norm->shape[0] : 0);
    forget_names(p);
    return st;
}

/* --- The same part again ---------------------------------------------------
 */

enum { PIECE_BYTES = 16 << 10 };

/* Of a tensor that is cut. room: two pieces. */
static enum gqa_status compare_tensor(bool *same, const struct parts *p,
                                      const struct joined *j, size_t a,
                                      size_t b, unsigned char *room)
{
    struct gqa_source *x = p->inner[a], *y = p->inner[b];
    const uint64_t n_bytes = x->tensors[j->indices[a]].n_bytes;
    enum gqa_status st = GQA_OK;
    size_t n;

    for (uint64_t at = 0; at < n_bytes && *same && st == GQA_OK; at += n) {
        struct gqa_span span = {.offset = at, .count = 1};

        n = n_bytes - at < PIECE_BYTES ? (size_t)(n_bytes - at) : PIECE_BYTES;
        span.piece = span.stride = n;
        st = x->ops->read(x, j->indices[a], &span, room);
        if (st == GQA_OK)
            st = y->ops->read(y, j->indices[b], &span, room + n);
        *same = st == GQA_OK && memcmp(room, room + n, n) == 0;
    }
    return st;
}

/* Two parts of a model differ within the first piece. */
static enum gqa_status compare_parts(const struct parts *p, size_t a, size_t b,
                                     unsigned char *room)
{
    bool same = true, any = false;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < p->base.n_tensors && same && st == GQA_OK; i++)
        if (p->joined[i].axis != ALIKE) {
            any = true;
            st = compare_tensor(&same, p, &p->joined[i], a, b, room);
        }
    return st != GQA_OK || !any || !same
               ? st
               : gqa_fail(GQA_ERR_FORMAT,
                          "every matrix in it is that of %s, bit by bit: one "
                          "part of the model is there twice, and another is "
                          "missing; copy the parts anew",
                          base_of(p->inner[a]->path));
}

enum gqa_status gqa_original_parts_differ(struct gqa_source *joined)
{
    const struct parts *p = (const struct parts *)joined;
    unsigned char *room = malloc((size_t)2 * PIECE_BYTES);
    enum gqa_status st = room ? GQA_OK : gqa_fail_nomem();

    for (size_t b = 1; b < p->n && st == GQA_OK; b++)
        for (size_t a = 0; a < b && st == GQA_OK; a++) {
            st = compare_parts(p, a, b, room);
            if (st != GQA_OK)
                st = gqa_fail_prefix(st, "%s", p->inner[b]->path);
        }
    free(room);
    return st;
}

/* --- The whole --------------------------------------------------------------
 */

enum gqa_status gqa_original_join(struct gqa_source **out,
                                  struct gqa_source *const *parts, size_t n)
{
    struct parts *p = calloc(1, sizeof *p);
    enum gqa_status st;

    if (!p)
        return gqa_fail_nomem();
    p->n = n;
    p->inner = calloc(n, sizeof(struct gqa_source *));
    p->names = calloc(n, sizeof(struct name *));
    if (!p->inner || !p->names) {
        parts_free(p);
        return gqa_fail_nomem();
    }
    for (size_t i = 0; i < n; i++)
        p->inner[i] = parts[i];
    p->base.ops = &parts_ops;
    p->base.format = parts[0]->format;
    p->base.naming = parts[0]->naming;
    p->base.metadata = json_incref(parts[0]->metadata);
    st = fill(p);
    if (st == GQA_OK) {
        *out = &p->base;
        return GQA_OK;
    }
    forget_names(p);
    parts_free(p); /* the parts are the caller's */
    return st;
}
