#include "formats/gguf/reader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/file.h"
#include "common/log.h"
#include "formats/formats.h"
#include "formats/gguf/architecture_table.h"
#include "formats/gguf/experts.h"
#include "formats/gguf/layer_numbers.h"
#include "formats/gguf/parts.h"
#include "formats/gguf/rows.h"
#include "formats/recorded.h"

struct gguf {
    struct gqa_source base;
    struct gqa_gguf_parts files;
    bool dequantises;
    bool leaves_out;             /* and that is said */
    struct gqa_gguf_rows *rows;  /* [base.n_tensors] */
    struct gqa_gguf_pair *pairs; /* [n_pairs] */
    size_t n_pairs;
};

static enum gqa_status refuse_quantised(const struct gqa_gguf_type *type)
{
    if (!type->decode)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "quantised to %s, which is not read (Q8_0, Q4_0 to "
                        "Q5_1 and Q2_K to Q6_K are, with --dequantise); "
                        "convert the checkpoint "
                        "it was made from",
                        type->name);
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "quantised to %s; what is made of it keeps that loss: "
                    "convert the checkpoint it was made from, or give "
                    "--dequantise",
                    type->name);
}

/* NULL: none of it is of a type that is not to be read. */
static const struct gqa_gguf_type *find_unread(const struct gguf *g,
                                               const struct gqa_gguf_rows *rows)
{
    const struct gqa_gguf_rows *one = rows;

    for (size_t i = 0; i <= rows->n_rest; one = &rows->rest[i++])
        if (one->type->is_quantised && !(g->dequantises && one->type->decode))
            return one->type;
    return NULL;
}

static enum gqa_status gguf_read(struct gqa_source *source, size_t index,
                                 const struct gqa_span *span, void *buf)
{
    const struct gguf *g = (const struct gguf *)source;
    const struct gqa_gguf_rows *rows = &g->rows[index];
    const struct gqa_gguf_type *unread = find_unread(g, rows);
    const enum gqa_status st =
        unread ? refuse_quantised(unread)
               : gqa_gguf_rows_read(rows, g->files.fds, span, buf);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "tensor %s", source->tensors[index].name);
    return GQA_OK;
}

static void gguf_close(struct gqa_source *source)
{
    struct gguf *g = (struct gguf *)source;

    gqa_gguf_parts_close(&g->files);
    for (size_t i = 0; g->rows && i < g->base.n_tensors; i++)
        free(g->rows[i].rest);
    free(g->rows);
    for (size_t i = 0; i < g->n_pairs; i++)
        free(g->pairs[i].key);
    free(g->pairs);
    gqa_source_clear(source);
    free(g);
}

static const struct gqa_source_ops gguf_ops = {gguf_read, gguf_close};

/* --- Opening -------------------------------------------------------------- */

static enum gqa_status describe_tensor(struct gqa_tensor *tensor,
                                       const struct gqa_gguf_rows *rows,
                                       const struct gqa_gguf_tensor *from)
{
    const bool is_turned = rows->place.order == GQA_GGUF_TURNED;
    const unsigned more = rows->place.order == GQA_GGUF_ROW ? 1 : 0;

    tensor->dtype = from->type->dtype;
    tensor->rank = from->rank + more;
    if (more)
        tensor->shape[0] = 1;
    for (unsigned i = 0; i < from->rank; i++)
        tensor->shape[more + i] =
            from->shape[is_turned ? from->rank - 1 - i : i];
    tensor->n_elements = from->n_elements;
    if (!gqa_dtype_bytes(tensor->dtype, tensor->n_elements, &tensor->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "tensor %s has too many elements",
                        from->name);
    return GQA_OK;
}

static void tell_left_out(struct gguf *g, const char *name)
{
    if (!g->leaves_out)
        gqa_warn("%s: '%s' and what else is of layers that predict more tokens "
                 "than the next one is left out, as stock classes do",
                 g->base.path, name);
    g->leaves_out = true;
}

static enum gqa_status add_tensor(struct gguf *g,
                                  const struct gqa_gguf_architecture *a,
                                  const struct gqa_gguf_header *header,
                                  const struct gqa_gguf_tensor *from)
{
    struct gqa_tensor *tensor = &g->base.tensors[g->base.n_tensors];
    struct gqa_gguf_rows *rows = &g->rows[g->base.n_tensors];
    enum gqa_status st =
        gqa_gguf_tensor_place(&tensor->name, &rows->place, a, header, from);

    if (st == GQA_OK && gqa_gguf_predicts_more(a, header, from->name))
        tell_left_out(g, from->name);
    if (st != GQA_OK || !tensor->name)
        return st;
    g->base.n_tensors++;
    rows->type = from->type;
    rows->offset = from->offset;
    rows->part = from->part;
    rows->length = from->rank > 0 ? from->shape[from->rank - 1] : 1;
    /* A bias is a column of rows of one. */
    if (from->rank == 1 && rows->place.n_heads > 0)
        rows->length = 1;
    rows->n_rows = from->n_elements / rows->length;
    rows->n_elements = from->n_elements;
    return describe_tensor(tensor, rows, from);
}

/* What a key says of a layer. */
static enum gqa_status add_number(struct gguf *g,
                                  const struct gqa_gguf_architecture *a,
                                  const struct gqa_gguf_header *header,
                                  size_t index)
{
    struct gqa_tensor *tensor = &g->base.tensors[g->base.n_tensors];
    struct gqa_gguf_rows *rows = &g->rows[g->base.n_tensors];
    enum gqa_status st = gqa_gguf_layer_numbers_take(
        &tensor->name, &tensor->rank, &rows->number, index, a, header);

    if (st != GQA_OK)
        return st;
    g->base.n_tensors++;
    rows->is_number = true;
    rows->type = gqa_gguf_type_find(0);
    rows->length = rows->n_rows = rows->n_elements = 1;
    tensor->dtype = GQA_F32;
    tensor->n_elements = 1;
    if (tensor->rank > 0)
        tensor->shape[0] = 1;
    tensor->n_bytes = sizeof rows->number;
    return GQA_OK;
}

/* Of those that are quantised: how many, and the first. */
static size_t count_quantised(const struct gqa_gguf_header *h,
                              const struct gqa_gguf_tensor **first,
                              bool only_unread)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n; i++) {
        const struct gqa_gguf_type *type = h->tensors[i].type;

        if (type->is_quantised && !(only_unread && type->decode) && n++ == 0)
            *first = &h->tensors[i];
    }
    return n;
}

/* Where only headers are asked for, they are shown as what they stand for. */
static enum gqa_status check_quantised(const struct gqa_gguf_header *h,
                                       const struct gqa_file_handle *file)
{
    const struct gqa_gguf_tensor *first = NULL;
    const size_t n = count_quantised(h, &first, file->dequantise);

    if (n == 0)
        return GQA_OK;
    if (!file->lists)
        return gqa_fail_prefix(refuse_quantised(first->type),
                               "%zu of %zu tensors are quantised; %s is", n,
                               h->n, first->name);
    gqa_warn("%s: %zu of %zu tensors are quantised (%s is %s) and stand here "
             "as F32, with the sizes of that",
             file->path, n, h->n, first->name, first->type->name);
    return GQA_OK;
}

static int compare_tensors(const void *a, const void *b)
{
    const struct gqa_tensor *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* Whether what is one in the original is so by both: numbers of the same type,
 * rows of one length, halves of as many, thirds of heads of one size. */
static bool fits(const struct gguf *g, size_t first, size_t other)
{
    const struct gqa_tensor *a = &g->base.tensors[first];
    const struct gqa_tensor *b = &g->base.tensors[other];

    return a->dtype == b->dtype && a->rank == b->rank &&
           g->rows[first].length == g->rows[other].length &&
           g->rows[first].place.head_dim == g->rows[other].place.head_dim &&
           (!gqa_gguf_is_half(g->rows[first].place.order) ||
            memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0);
}

/* The others come behind the first, in the same tensor of the original: of
 * experts in each, of heads as rows. at: [n], in their order. */
static enum gqa_status join_slices(struct gguf *g, const size_t *at, size_t n)
{
    struct gqa_tensor *a = &g->base.tensors[at[0]];
    struct gqa_gguf_rows *rows = &g->rows[at[0]];
    const unsigned k = a->rank - 2; /* the axis of rows */
    uint64_t *axis = &a->shape[k];
    bool is_one = true;

    rows->rest = calloc(n - 1, sizeof *rows->rest);
    if (!rows->rest)
        return gqa_fail_nomem();
    rows->n_half = *axis;
    for (size_t i = 1; i < n && is_one; i++) {
        const struct gqa_tensor *b = &g->base.tensors[at[i]];

        is_one = fits(g, at[0], at[i]) &&
                 gqa_add_u64(*axis, b->shape[k], axis) &&
                 gqa_add_u64(a->n_elements, b->n_elements, &a->n_elements);
        rows->rest[rows->n_rest++] = g->rows[at[i]];
    }
    if (!is_one || !gqa_dtype_bytes(a->dtype, a->n_elements, &a->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "the parts of %s do not fit each other",
                        a->name);
    return GQA_OK;
}

/* Without those that were joined to others. */
static void drop_joined(struct gguf *g)
{
    size_t n = 0;

    for (size_t i = 0; i < g->base.n_tensors; i++) {
        if (gqa_gguf_slice(g->rows[i].place.order) > 0) {
            free(g->base.tensors[i].name);
            continue;
        }
        g->base.tensors[n] = g->base.tensors[i];
        g->rows[n++] = g->rows[i];
    }
    g->base.n_tensors = n;
}

/* By their names; the caller owns it. NULL: memory is short. */
static const struct gqa_tensor **sort_tensors(const struct gqa_source *s)
{
    const struct gqa_tensor **sorted =
        calloc(s->n_tensors + 1, sizeof(struct gqa_tensor *));

    for (size_t i = 0; sorted && i < s->n_tensors; i++)
        sorted[i] = &s->tensors[i];
    if (sorted)
        qsort(sorted, s->n_tensors, sizeof(struct gqa_tensor *),
              compare_tensors);
    return sorted;
}

/* The n that have the name of the first, each at its place. */
static enum gqa_status find_slices(size_t *at, const struct gguf *g,
                                   const struct gqa_tensor *const *sorted,
                                   size_t n)
{
    unsigned found = 0;

    for (size_t i = 0; i < n; i++) {
        const size_t index = (size_t)(sorted[i] - g->base.tensors);
        const enum gqa_gguf_order order = g->rows[index].place.order;

        if (strcmp(sorted[i]->name, sorted[0]->name) != 0 ||
            gqa_gguf_n_slices(order) != n)
            break;
        at[gqa_gguf_slice(order)] = index;
        found |= 1U << gqa_gguf_slice(order);
    }
    return found == (1U << n) - 1
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT, "a part of %s is missing",
                          sorted[0]->name);
}

/* Those of one tensor have its name, and follow each other here. */
static enum gqa_status join_sorted(struct gguf *g,
                                   const struct gqa_tensor *const *sorted)
{
    enum { MOST = 3 };
    enum gqa_status st = GQA_OK;
    size_t n;

    for (size_t i = 0; i < g->base.n_tensors && st == GQA_OK; i += n) {
        const size_t index = (size_t)(sorted[i] - g->base.tensors);
        size_t at[MOST];

        n = gqa_gguf_n_slices(g->rows[index].place.order);
        if (n == 1)
            continue;
        st = find_slices(at, g, sorted + i,
                         gqa_min_u64(n, g->base.n_tensors - i));
        if (st == GQA_OK)
            st = join_slices(g, at, n);
    }
    return st;
}

static enum gqa_status join_all(struct gguf *g)
{
    const struct gqa_tensor **sorted;
    bool any = false;
    enum gqa_status st;

    for (size_t i = 0; i < g->base.n_tensors; i++)
        any |= gqa_gguf_n_slices(g->rows[i].place.order) > 1;
    if (!any)
        return GQA_OK;
    if (!(sorted = sort_tensors(&g->base)))
        return gqa_fail_nomem();
    st = join_sorted(g, sorted);
    free(sorted);
    if (st == GQA_OK)
        drop_joined(g);
    return st;
}

/* One that keeps its name may have that of another in the original. */
static enum gqa_status check_unique(const struct gqa_source *s)
{
    const struct gqa_tensor **sorted = sort_tensors(s);
    enum gqa_status st = sorted ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 1; i < s->n_tensors && st == GQA_OK; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            st =
                gqa_fail(GQA_ERR_FORMAT, "two tensors are %s", sorted[i]->name);
    free(sorted);
    return st;
}

/* What files of ours say of their making, and their configuration. */
static enum gqa_status take_recorded(struct gguf *g,
                                     const struct gqa_gguf_header *h)
{
    static const char *const names[] = {"gqa.version", "gqa.config",
                                        "gqa.recipe"};
    json_t *metadata = json_object();
    enum gqa_status st = metadata ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < sizeof names / sizeof *names && metadata; i++) {
        json_t *value = json_object_get(h->keys, names[i]);

        if (json_is_string(value) &&
            json_object_set(metadata, names[i], value) != 0)
            st = gqa_fail_nomem();
    }
    if (st == GQA_OK && json_object_size(metadata) > 0)
        st = gqa_recorded_take(&g->base, metadata, "the keys");
    json_decref(metadata);
    return st;
}

/* Tensors are listed without one, too. */
static enum gqa_status make_config(struct gguf *g,
                                   const struct gqa_gguf_architecture *a,
                                   const struct gqa_gguf_header *h,
                                   const struct gqa_file_handle *file)
{
    const enum gqa_status st =
        file->has_config || g->base.config
            ? GQA_OK
            : gqa_gguf_config_create(&g->base.config, a, h);

    if (!file->lists || (st != GQA_ERR_UNSUPPORTED && st != GQA_ERR_FORMAT))
        return st;
    gqa_warn("%s: %s", file->path, gqa_error_message());
    return GQA_OK;
}

/* Its tensors keep the names that they have there, which a description of the
 * user's may know. */
static void tell_unknown(const struct gguf *g, const struct gqa_gguf_header *h,
                         const struct gqa_file_handle *file)
{
    const char *name =
        json_string_value(json_object_get(h->keys, "general.architecture"));

    if (name && !file->has_config && !g->base.config)
        gqa_warn("%s: its architecture is '%.40s', of which no names and keys "
                 "are known; convert the checkpoint that it was made of",
                 file->path, name);
}

static enum gqa_status fill(struct gguf *g, struct gqa_gguf_header *h,
                            const struct gqa_file_handle *file)
{
    const struct gqa_gguf_architecture *a;
    size_t n_numbers;
    enum gqa_status st = take_recorded(g, h);

    if (st != GQA_OK)
        return st;
    a = gqa_gguf_architecture_find(h, g->base.config);
    if (!a)
        tell_unknown(g, h, file);
    if (a && a->is_mixture)
        st = gqa_gguf_experts_split(h);
    if (st == GQA_OK)
        st = gqa_gguf_layer_numbers_count(&n_numbers, a, h);
    if (st != GQA_OK)
        return st;
    g->base.tensors = calloc(h->n + n_numbers + 1, sizeof *g->base.tensors);
    g->rows = calloc(h->n + n_numbers + 1, sizeof *g->rows);
    if (!g->base.tensors || !g->rows)
        return gqa_fail_nomem();
    for (size_t i = 0; i < h->n && st == GQA_OK; i++)
        st = add_tensor(g, a, h, &h->tensors[i]);
    for (size_t i = 0; i < n_numbers && st == GQA_OK; i++)
        st = add_number(g, a, h, i);
    if (st == GQA_OK)
        st = join_all(g);
    if (st == GQA_OK)
        st = check_unique(&g->base);
    return st == GQA_OK && a ? make_config(g, a, h, file) : st;
}

static enum gqa_status read_file(struct gguf *g,
                                 const struct gqa_file_handle *file)
{
    struct gqa_gguf_header header = {0};
    enum gqa_status st = gqa_gguf_parts_read(&g->files, &header, file);

    if (st == GQA_OK)
        st = check_quantised(&header, file);
    if (st == GQA_OK)
        st = fill(g, &header, file);
    g->pairs = header.pairs;
    g->n_pairs = header.n_pairs;
    header.pairs = NULL;
    header.n_pairs = 0;
    gqa_gguf_header_clear(&header);
    return st;
}

enum gqa_status gqa_gguf_open(struct gqa_source **out,
                              const struct gqa_file_handle *file)
{
    enum gqa_status st;
    struct gguf *g = calloc(1, sizeof *g);
    int *fds = malloc(sizeof *fds);

    if (!g || !fds) {
        free(g);
        free(fds);
        close(file->fd);
        return gqa_fail_nomem();
    }
    fds[0] = file->fd;
    g->files = (struct gqa_gguf_parts){.fds = fds, .n = 1};
    g->base.ops = &gguf_ops;
    g->base.format = &gqa_format_gguf;
    g->base.naming = GQA_NAMES_TORCH;
    g->dequantises = file->dequantise;
    g->base.path = strdup(file->path);
    st = g->base.path ? read_file(g, file) : gqa_fail_nomem();
    g->base.file_bytes = g->base.content_bytes = g->files.n_bytes;
    if (st != GQA_OK) {
        gguf_close(&g->base);
        return st;
    }
    *out = &g->base;
    return GQA_OK;
}

size_t gqa_gguf_source_pairs(const struct gqa_source *source,
                             const struct gqa_gguf_pair **pairs)
{
    const struct gguf *g = (const struct gguf *)source;

    if (source->format != &gqa_format_gguf)
        return 0;
    *pairs = g->pairs;
    return g->n_pairs;
}

enum gqa_status gqa_gguf_source_pair_read(const struct gqa_source *source,
                                          const struct gqa_gguf_pair *pair,
                                          void *buf)
{
    const struct gguf *g = (const struct gguf *)source;
    const enum gqa_status st = gqa_file_read(
        g->files.fds[0], buf, (size_t)pair->n_bytes, pair->offset);

    return st == GQA_OK
               ? GQA_OK
               : gqa_fail_prefix(st, "%s: %s", source->path, pair->key);
}
