#include "common/text.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/memory_stream.h"

/* Whether UTF-8 is read: found out where it first matters, as most names are
 * ASCII and the system reads files for it. */
static enum { NOT_TRIED, TRIED, SHORT_OF_MEMORY } locale_state;

/* The next character of text and its bytes; false: not one of UTF-8. */
static bool decode(wchar_t *wc, size_t *n, const char *text, size_t length)
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

static void set_locale(void)
{
    static const char sample[] = "\xc3\xbc";
    wchar_t wc;
    size_t n;

    locale_state = TRIED;
    errno = 0;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) {
        if (errno == ENOMEM)
            locale_state = SHORT_OF_MEMORY;
        return;
    }
    /* Where its tables could not be loaded, it is the C locale in silence. */
    if (!decode(&wc, &n, sample, sizeof sample - 1))
        locale_state = SHORT_OF_MEMORY;
}

enum gqa_status gqa_text_check(void)
{
    return locale_state == SHORT_OF_MEMORY ? gqa_fail_nomem() : GQA_OK;
}

/* As decode(), with the columns that it takes, negative for none to show. */
static bool next_character(wchar_t *wc, size_t *n, int *columns,
                           const char *text, size_t length)
{
    const unsigned char first = (unsigned char)*text;

    if (first < 0x80) {
        *wc = first;
        *n = 1;
        *columns = first >= ' ' && first != 0x7f ? 1 : -1;
        return true;
    }
    if (locale_state == NOT_TRIED)
        set_locale();
    if (!decode(wc, n, text, length))
        return false;
    *columns = wcwidth(*wc);
    return true;
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
    int columns;

    return next_character(&wc, n, &columns, text, length) && columns >= 0 &&
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

/* Columns of the next character, of n bytes; 1 where it is none. */
static size_t next_width(size_t *n, const char *text, size_t length)
{
    wchar_t wc;
    int columns;

    if (!next_character(&wc, n, &columns, text, length))
        return 1;
    return columns > 0 ? (size_t)columns : 0;
}

size_t gqa_text_width(const char *text, size_t length)
{
    size_t width = 0;

    for (size_t i = 0, n; i < length; i += n)
        width += next_width(&n, text + i, length - i);
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
 * How much of the text a line of `room` columns takes: to behind the last dot,
 * slash, comma or blank, else underscore, that still fits, else as much as
 * fits; one character at least.
 */
static size_t take_line(const char *text, size_t length, size_t room)
{
    size_t width = 0, end = 0, separator = 0, underscore = 0;

    for (size_t i = 0, n; i < length; i += n) {
        width += next_width(&n, text + i, length - i);
        if (width > room && end > 0)
            return separator ? separator : underscore ? underscore : end;
        end = i + n;
        if (text[i] != '\0' && strchr("./, ", text[i]))
            separator = end;
        else if (text[i] == '_')
            underscore = end;
    }
    return length;
}

void gqa_text_put_wrapped(FILE *out, const char *text, size_t length,
                          size_t column, size_t indent)
{
    while (length > 0) {
        const size_t room =
            column < GQA_TEXT_COLUMNS ? GQA_TEXT_COLUMNS - column : 1;
        const size_t n = take_line(text, length, room);
        size_t shown = n;

        while (n < length && shown > 0 && text[shown - 1] == ' ')
            shown--;
        fwrite(text, 1, shown, out);
        text += n;
        length -= n;
        if (length > 0) {
            fputc('\n', out);
            put_spaces(out, indent);
            column = indent;
        }
    }
}
