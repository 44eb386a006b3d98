#include "inspect/text.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/memory_stream.h"

/* The next character of text and its bytes; false: not one of UTF-8. */
static bool next_character(wchar_t *wc, size_t *n, const char *text,
                           size_t length)
{
    mbstate_t state;

    memset(&state, 0, sizeof state);
    *n = mbrtowc(wc, text, length, &state);
    if (*n == (size_t)-1 || *n == (size_t)-2 || *n == 0) {
        *n = 1;
        return false;
    }
    return true;
}

enum gqa_status gqa_text_init(void)
{
    static const char sample[] = "\xc3\xbc";
    wchar_t wc;
    size_t n;

    errno = 0;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return errno == ENOMEM ? gqa_fail_nomem() : GQA_OK;
    /* Where its tables could not be loaded, it is the C locale in silence. */
    return next_character(&wc, &n, sample, sizeof sample - 1)
               ? GQA_OK
               : gqa_fail_nomem();
}

static bool turns_text(wchar_t wc)
{
    return wc == 0x061c || wc == 0x200e || wc == 0x200f ||
           (wc >= 0x202a && wc <= 0x202e) || (wc >= 0x2066 && wc <= 0x2069);
}

/* Whether the next character, of n bytes, can be shown as it is. */
static bool next_is_plain(size_t *n, const char *text, size_t length)
{
    wchar_t wc;

    return next_character(&wc, n, text, length) && wcwidth(wc) >= 0 &&
           !turns_text(wc);
}

bool gqa_text_is_plain(const char *name)
{
    const char *end = name + strlen(name);
    size_t n;

    for (; name < end; name += n)
        if (!next_is_plain(&n, name, (size_t)(end - name)))
            return false;
    return true;
}

static void put_part(FILE *out, const char *text, size_t length)
{
    const char *end = text + length;

    while (text < end) {
        size_t n;

        if (next_is_plain(&n, text, (size_t)(end - text)))
            fwrite(text, 1, n, out);
        else
            for (size_t i = 0; i < n; i++)
                fprintf(out, "\\x%02x", (unsigned char)text[i]);
        text += n;
    }
}

void gqa_text_put(FILE *out, const char *name)
{
    put_part(out, name, strlen(name));
}

size_t gqa_text_width(const char *text, size_t length)
{
    size_t width = 0;

    for (size_t i = 0, n; i < length; i += n) {
        wchar_t wc;
        const bool valid = next_character(&wc, &n, text + i, length - i);
        const int columns = valid ? wcwidth(wc) : 1;

        width += columns > 0 ? (size_t)columns : 0;
    }
    return width;
}

/* Length of what all names begin with, up to a dot or slash. */
static size_t shared_prefix(const char *const *names, size_t n_names)
{
    size_t shared = 0;

    for (size_t i = 0; names[0][i] != '\0'; i++) {
        for (size_t j = 1; j < n_names; j++)
            if (names[j][i] != names[0][i])
                return shared;
        if (names[0][i] == '.' || names[0][i] == '/')
            shared = i + 1;
    }
    return shared;
}

/* Length of what all names end with, from a dot, slash or underscore. */
static size_t shared_suffix(const char *const *names, size_t n_names,
                            size_t prefix)
{
    const size_t length = strlen(names[0]);
    size_t shared = 0;

    for (size_t i = 1; i <= length - prefix; i++) {
        const char c = names[0][length - i];

        for (size_t j = 1; j < n_names; j++) {
            const size_t other = strlen(names[j]);

            if (i > other - prefix || names[j][other - i] != c)
                return shared;
        }
        if (c == '.' || c == '/' || c == '_')
            shared = i;
    }
    return shared;
}

void gqa_text_put_names(FILE *out, const char *const *names, size_t n_names)
{
    const size_t prefix = shared_prefix(names, n_names);
    size_t suffix;
    bool differ = false;

    for (size_t i = 1; i < n_names; i++)
        differ = differ || strcmp(names[i], names[0]) != 0;
    if (!differ) {
        gqa_text_put(out, names[0]);
        return;
    }
    suffix = shared_suffix(names, n_names, prefix);
    put_part(out, names[0], prefix);
    for (size_t i = 0; i < n_names; i++) {
        bool seen = false;

        for (size_t j = 0; j < i; j++)
            seen = seen || strcmp(names[i], names[j]) == 0;
        if (seen)
            continue;
        fputc(i == 0 ? '{' : ',', out);
        put_part(out, names[i] + prefix, strlen(names[i]) - prefix - suffix);
    }
    fputc('}', out);
    put_part(out, names[0] + strlen(names[0]) - suffix, suffix);
}

static void put_spaces(FILE *out, size_t n)
{
    while (n-- > 0)
        fputc(' ', out);
}

/*
 * One cell. pending: blanks owed to the line, written only before text so
 * that no line ends in them.
 */
static void put_cell(FILE *out, const char *text, size_t length, size_t width,
                     bool right, size_t *pending)
{
    const size_t own = gqa_text_width(text, length);
    const size_t pad = width > own ? width - own : 0;

    if (right)
        *pending += pad;
    if (length > 0) {
        put_spaces(out, *pending);
        *pending = 0;
        fwrite(text, 1, length, out);
    }
    if (!right)
        *pending += pad;
}

static enum gqa_status print_cell(struct gqa_memory_stream *memory,
                                  void (*cell)(FILE *out, const void *ctx,
                                               size_t row, size_t column),
                                  const void *ctx, size_t row, size_t column)
{
    gqa_memory_stream_rewind(memory);
    cell(memory->out, ctx, row, column);
    return gqa_memory_stream_flush(memory);
}

enum gqa_status gqa_table_print(FILE *out, const struct gqa_column *columns,
                                size_t n_columns, size_t n_rows,
                                void (*cell)(FILE *out, const void *ctx,
                                             size_t row, size_t column),
                                const void *ctx)
{
    size_t widths[GQA_TABLE_MAX_COLUMNS];
    struct gqa_memory_stream memory;
    enum gqa_status st = gqa_memory_stream_open(&memory);
    size_t pending = 0;

    if (st != GQA_OK)
        return st;
    for (size_t c = 0; c < n_columns; c++)
        widths[c] = gqa_text_width(columns[c].title, strlen(columns[c].title));
    for (size_t row = 0; row < n_rows; row++)
        for (size_t c = 0; c < n_columns; c++) {
            size_t width;

            if ((st = print_cell(&memory, cell, ctx, row, c)) != GQA_OK)
                goto done;
            width = gqa_text_width(memory.text, memory.n);
            if (width > widths[c])
                widths[c] = width;
        }
    for (size_t c = 0; c < n_columns; c++) {
        put_cell(out, columns[c].title, strlen(columns[c].title), widths[c],
                 columns[c].right, &pending);
        pending += 2;
    }
    fputc('\n', out);
    for (size_t row = 0; row < n_rows; row++) {
        pending = 0;
        for (size_t c = 0; c < n_columns; c++) {
            if ((st = print_cell(&memory, cell, ctx, row, c)) != GQA_OK)
                goto done;
            put_cell(out, memory.text, memory.n, widths[c], columns[c].right,
                     &pending);
            pending += 2;
        }
        fputc('\n', out);
    }
done:
    gqa_memory_stream_free(&memory);
    return st;
}
