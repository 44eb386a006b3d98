#include "inspect/table.h"

#include <string.h>

#include "common/memory_stream.h"
#include "common/text.h"

enum {
    GAP = 2,         /* blanks between columns */
    NOTE_INDENT = 4, /* of what stands below a row */
    /* A column that wraps further to the right goes to a line of its own. */
    LAST_START = 52,
};

static void put_spaces(FILE *out, size_t n)
{
    while (n-- > 0)
        fputc(' ', out);
}

/* A line that is being written. */
struct line {
    FILE *out;
    size_t column;  /* where the next cell begins */
    size_t pending; /* blanks that are owed, written before text alone so that
                       no line ends in them */
};

static void put_cell(struct line *line, const char *text, size_t length,
                     size_t width, bool right)
{
    const size_t own = gqa_text_width(text, length);
    const size_t pad = width > own ? width - own : 0;

    if (right)
        line->pending += pad;
    if (length > 0) {
        put_spaces(line->out, line->pending);
        line->pending = 0;
        fwrite(text, 1, length, line->out);
    }
    if (!right)
        line->pending += pad;
    line->pending += GAP;
    line->column += width + GAP;
}

static void put_wrapped(struct line *line, const char *text, size_t length)
{
    const size_t own = gqa_text_width(text, length);
    size_t start = line->column;

    if (length == 0)
        return;
    if (start > LAST_START && start + own > GQA_TEXT_COLUMNS) {
        fputc('\n', line->out);
        line->pending = start = NOTE_INDENT;
    }
    put_spaces(line->out, line->pending);
    gqa_text_put_wrapped(line->out, text, length, start, start);
}

static enum gqa_status make_cell(struct gqa_memory_stream *memory,
                                 const struct gqa_table *table, size_t row,
                                 size_t column)
{
    gqa_memory_stream_rewind(memory);
    table->cell(memory->out, table->ctx, row, column);
    return gqa_memory_stream_flush(memory);
}

static enum gqa_status measure(size_t *widths, struct gqa_memory_stream *memory,
                               const struct gqa_table *table)
{
    for (size_t c = 0; c < table->n_columns; c++)
        widths[c] = strlen(table->columns[c].title);
    for (size_t row = 0; row < table->n_rows; row++)
        for (size_t c = 0; c + table->wraps < table->n_columns; c++) {
            const enum gqa_status st = make_cell(memory, table, row, c);
            size_t width;

            if (st != GQA_OK)
                return st;
            width = gqa_text_width(memory->text, memory->n);
            if (width > widths[c])
                widths[c] = width;
        }
    return GQA_OK;
}

static void put_head(FILE *out, const struct gqa_table *table,
                     const size_t *widths)
{
    struct line line = {.out = out};

    for (size_t c = 0; c < table->n_columns; c++) {
        const char *title = table->columns[c].title;

        put_cell(&line, title, strlen(title), widths[c],
                 table->columns[c].right);
    }
    fputc('\n', out);
}

static enum gqa_status put_row(FILE *out, struct gqa_memory_stream *memory,
                               const struct gqa_table *table,
                               const size_t *widths, size_t row)
{
    struct line line = {.out = out};
    enum gqa_status st;

    for (size_t c = 0; c < table->n_columns; c++) {
        if ((st = make_cell(memory, table, row, c)) != GQA_OK)
            return st;
        if (table->wraps && c + 1 == table->n_columns)
            put_wrapped(&line, memory->text, memory->n);
        else
            put_cell(&line, memory->text, memory->n, widths[c],
                     table->columns[c].right);
    }
    fputc('\n', out);
    if (!table->note)
        return GQA_OK;
    gqa_memory_stream_rewind(memory);
    table->note(memory->out, table->ctx, row);
    if ((st = gqa_memory_stream_flush(memory)) != GQA_OK)
        return st;
    put_spaces(out, NOTE_INDENT);
    gqa_text_put_wrapped(out, memory->text, memory->n, NOTE_INDENT,
                         NOTE_INDENT + GAP);
    fputc('\n', out);
    return GQA_OK;
}

enum gqa_status gqa_table_print(FILE *out, const struct gqa_table *table)
{
    size_t widths[GQA_TABLE_MAX_COLUMNS];
    struct gqa_memory_stream memory;
    enum gqa_status st = gqa_memory_stream_open(&memory);

    if (st != GQA_OK)
        return st;
    st = measure(widths, &memory, table);
    if (st == GQA_OK)
        put_head(out, table, widths);
    for (size_t row = 0; row < table->n_rows && st == GQA_OK; row++)
        st = put_row(out, &memory, table, widths, row);
    gqa_memory_stream_free(&memory);
    return st;
}
