/*
 * Descriptions of families: any bytes, as a file of the user's. Up to a NUL
 * they are one that is built in, which the rest may be like.
 */
#include <string.h>

#include "formats/families/load.h"
#include "fuzz.h"

static void parse(const struct gqa_library *library, const char *text,
                  size_t length)
{
    struct gqa_family *family = NULL;

    if (gqa_family_parse(&family, library, "f.json", text, length, NULL) !=
        GQA_OK)
        return;
    for (gqa_texts t = family->model_types; *t; t++) {
        struct gqa_family *typed = NULL;

        if (gqa_family_parse(&typed, library, "f.json", text, length, *t) ==
            GQA_OK)
            gqa_family_free(typed);
    }
    gqa_family_free(family);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"ta", "tb", NULL};
    static const char *const none[] = {NULL};
    const char *text = (const char *)data;
    const char *nul = size ? memchr(text, 0, size) : NULL;
    const size_t first = nul ? (size_t)(nul - text) : 0;
    const struct gqa_builtin_family item = {"a",   "a.json", text, first,
                                            types, none,     none};
    const struct gqa_library library = {&item, 1};

    if (!nul) {
        parse(&gqa_builtin_families, text, size);
        return 0;
    }
    parse(&library, text, first);
    parse(&library, nul + 1, size - first - 1);
    return 0;
}
