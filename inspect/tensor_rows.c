#include "inspect/tensor_rows.h"

#include <stdlib.h>
#include <string.h>

#include "common/memory_stream.h"
#include "formats/transforms.h"
#include "inspect/numbers.h"

/* Layers, experts and what may be within: numbers of a name that are looked
 * at, so that no name costs much. */
enum { MAX_NUMBERS = 4 };

/* The order of sorting has no other way to see tensors than by their rows. */
struct sortable {
    struct gqa_tensor_row row;
    const struct gqa_tensor *tensor; /* the first */
};

static int compare_counts(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* Whether two rows differ in what they must share, the number apart. */
static int compare_kinds(const struct sortable *a, const struct sortable *b)
{
    const struct gqa_tensor *x = a->tensor, *y = b->tensor;
    int order = compare_counts(a->row.at, b->row.at);

    if (order == 0)
        order = compare_counts(a->row.digits > 0, b->row.digits > 0);
    if (order == 0)
        order = memcmp(a->row.name, b->row.name, a->row.at);
    if (order == 0)
        order = strcmp(a->row.name + a->row.at + a->row.digits,
                       b->row.name + b->row.at + b->row.digits);
    if (order == 0)
        order = compare_counts(x->dtype, y->dtype);
    if (order == 0)
        order = compare_counts(x->rank, y->rank);
    for (unsigned i = 0; order == 0 && i < x->rank; i++)
        order = compare_counts(x->shape[i], y->shape[i]);
    return order;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;
    int order = compare_kinds(x, y);

    if (order == 0)
        order = compare_counts(x->row.number, y->row.number);
    return order ? order : compare_counts(x->row.first, y->row.first);
}

static int compare_places(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;

    return compare_counts(x->row.first, y->row.first);
}

/* The which-th number of the name, from the left; digits 0: there is none. */
static void find_number(struct gqa_tensor_row *row, unsigned which)
{
    size_t from = 0;

    for (unsigned i = 0; i <= which; i++) {
        if (!gqa_name_next_number(row->name, from, &row->at, &row->digits,
                                  &row->number)) {
            row->at = strlen(row->name);
            row->digits = 0;
            row->number = 0;
            return;
        }
        from = row->at + row->digits;
    }
}

/* The name with a set in place of its number. */
static enum gqa_status rename_row(struct gqa_tensor_row *row,
                                  struct gqa_memory_stream *memory,
                                  const struct gqa_numbers *numbers)
{
    enum gqa_status st;
    char *name;

    gqa_memory_stream_rewind(memory);
    fwrite(row->name, 1, row->at, memory->out);
    gqa_numbers_put(memory->out, numbers);
    fputs(row->name + row->at + row->digits, memory->out);
    if ((st = gqa_memory_stream_flush(memory)) != GQA_OK)
        return st;
    name = strdup(memory->text);
    if (!name)
        return gqa_fail_nomem();
    free(row->name);
    row->name = name;
    return GQA_OK;
}

/* Make one row of n that differ in their number alone. */
static enum gqa_status merge(struct sortable *rows, size_t n,
                             struct gqa_memory_stream *memory)
{
    struct gqa_numbers numbers = {0};
    struct sortable *kept = &rows[0];
    enum gqa_status st = gqa_numbers_add(&numbers, kept->row.number);

    for (size_t i = 1; i < n && st == GQA_OK; i++) {
        const struct gqa_tensor_row *row = &rows[i].row;

        st = gqa_numbers_add(&numbers, row->number);
        kept->row.n += row->n;
        kept->row.bytes = row->bytes > UINT64_MAX - kept->row.bytes
                              ? UINT64_MAX
                              : kept->row.bytes + row->bytes;
        if (row->first < kept->row.first) {
            kept->row.first = row->first;
            kept->tensor = rows[i].tensor;
        }
    }
    if (st == GQA_OK)
        st = rename_row(&kept->row, memory, &numbers);
    gqa_numbers_free(&numbers);
    return st;
}

/* Merge rows that differ in their which-th number alone. */
static enum gqa_status collapse(struct sortable *rows, size_t *n_rows,
                                unsigned which,
                                struct gqa_memory_stream *memory)
{
    const size_t n = *n_rows;
    enum gqa_status st = GQA_OK;
    size_t kept = 0, end;

    for (size_t i = 0; i < n; i++)
        find_number(&rows[i].row, which);
    qsort(rows, n, sizeof *rows, compare_numbers);
    for (size_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && rows[i].row.digits > 0 &&
                          compare_kinds(&rows[i], &rows[end]) == 0;)
            end++;
        if (end > i + 1 && st == GQA_OK)
            st = merge(&rows[i], end - i, memory);
        for (size_t j = i + 1; j < end; j++)
            free(rows[j].row.name);
        rows[kept++] = rows[i];
    }
    *n_rows = kept;
    return st;
}

static enum gqa_status collapse_all(struct sortable *rows, size_t *n)
{
    struct gqa_memory_stream memory;
    enum gqa_status st = gqa_memory_stream_open(&memory);

    if (st != GQA_OK)
        return st;
    /* From the innermost on: what is there for all experts of each layer is
     * there for all layers. */
    for (unsigned which = MAX_NUMBERS; which-- > 0 && st == GQA_OK;)
        st = collapse(rows, n, which, &memory);
    qsort(rows, *n, sizeof *rows, compare_places);
    gqa_memory_stream_free(&memory);
    return st;
}

static enum gqa_status list(struct sortable *rows, size_t *n,
                            const struct gqa_checkpoint *checkpoint)
{
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(checkpoint); i++) {
        const struct gqa_tensor *tensor = gqa_checkpoint_tensor(checkpoint, i);
        char *name;

        if (gqa_is_transform(tensor->name))
            continue;
        if (!(name = strdup(tensor->name)))
            return gqa_fail_nomem();
        rows[*n] = (struct sortable){
            .row = {.name = name, .first = i, .n = 1, .bytes = tensor->n_bytes},
            .tensor = tensor};
        ++*n;
    }
    return GQA_OK;
}

enum gqa_status gqa_tensor_rows_create(struct gqa_tensor_rows *out,
                                       const struct gqa_checkpoint *checkpoint,
                                       bool all)
{
    /* One more: malloc(0) may give NULL. */
    const size_t n = gqa_checkpoint_n_tensors(checkpoint) + 1;
    struct sortable *rows = calloc(n, sizeof *rows);
    size_t n_rows = 0;
    enum gqa_status st;

    *out = (struct gqa_tensor_rows){0};
    if (!rows)
        return gqa_fail_nomem();
    st = list(rows, &n_rows, checkpoint);
    if (st == GQA_OK && !all)
        st = collapse_all(rows, &n_rows);
    out->items = calloc(n, sizeof *out->items);
    if (!out->items && st == GQA_OK)
        st = gqa_fail_nomem();
    for (size_t i = 0; i < n_rows; i++)
        if (out->items)
            out->items[out->n++] = rows[i].row;
        else
            free(rows[i].row.name);
    free(rows);
    return st;
}

void gqa_tensor_rows_free(struct gqa_tensor_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        free(rows->items[i].name);
    free(rows->items);
    *rows = (struct gqa_tensor_rows){0};
}
