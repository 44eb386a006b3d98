/*
 * Quantities: each line as a count and as bytes. What digits alone say is that
 * number; a unit makes it no smaller; K of bytes is KiB.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "fuzz.h"

static void check_digits(const char *text, enum gqa_status st, uint64_t n)
{
    unsigned long long plain;

    if (!*text || strspn(text, "0123456789") != strlen(text))
        return;
    errno = 0;
    plain = strtoull(text, NULL, 10);
    if (errno == 0 ? st != GQA_OK || n != plain : st == GQA_OK)
        abort();
}

/* With a unit behind it, where there is room for that. */
static void check_unit(const char *text, uint64_t count)
{
    char longer[80];
    uint64_t n;

    if (strlen(text) > 64 || strspn(text, "0123456789") != strlen(text))
        return;
    snprintf(longer, sizeof longer, "%sK", text);
    if (gqa_option_count(&n, longer, 0, UINT64_MAX) == GQA_OK
            ? n / 1024 != count
            : count <= UINT64_MAX / 1024)
        abort();
}

static void try_line(const char *text)
{
    uint64_t count = 0, bytes = 0, narrow = 0;
    const enum gqa_status st = gqa_option_count(&count, text, 0, UINT64_MAX);

    check_digits(text, st, count);
    if (st == GQA_OK)
        check_unit(text, count);
    if (st == GQA_OK &&
        (gqa_option_bytes(&bytes, text, 0, UINT64_MAX) != GQA_OK ||
         bytes != count))
        abort();
    if (gqa_option_bytes(&narrow, text, 10, 20) == GQA_OK &&
        (narrow < 10 || narrow > 20))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *const text = malloc(size + 1);
    char *rest = text;

    if (!text)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    while (rest)
        try_line(strsep(&rest, "\n"));
    free(text);
    return 0;
}
