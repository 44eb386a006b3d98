#include "common/markup.h"

#include <string.h>

#include "common/memory_stream.h"
#include "common/text.h"

static void put_escaped(FILE *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        switch (text[i]) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(text[i], out);
            break;
        }
}

void gqa_markup_escape(FILE *out, const char *text)
{
    put_escaped(out, text, strlen(text));
}

enum gqa_status gqa_markup_put(FILE *out, const char *name)
{
    struct gqa_memory_stream memory;
    enum gqa_status st = gqa_memory_stream_open(&memory);

    if (st != GQA_OK)
        return st;
    gqa_text_put(memory.out, name);
    st = gqa_memory_stream_flush(&memory);
    if (st == GQA_OK)
        put_escaped(out, memory.text, memory.n);
    gqa_memory_stream_free(&memory);
    return st;
}
