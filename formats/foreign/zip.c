/* A zip's first entry tells which of its users wrote it. */
#include <string.h>

#include "formats/foreign/words.h"
#include "formats/formats.h"
#include "formats/start.h"

/* Its directory alone. */
#define EMPTY "PK\x05\x06"

static bool has_name(const struct gqa_file_start *start, const char *name)
{
    return memmem(start->bytes, start->n, name, strlen(name)) != NULL;
}

static const char *advise(const struct gqa_file_start *start)
{
    if (gqa_start_has(start, 0, EMPTY, 4))
        return "a zip archive with nothing in it";
    if (has_name(start, ".npy"))
        return NPZ_WORDS;
    if (has_name(start, "serialized_exported_program") ||
        has_name(start, "archive_format"))
        return EXPORTED_WORDS;
    return "a zip archive; unpack it first";
}

const struct gqa_format gqa_format_zip = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "PK\x03\x04"),
                                       GQA_MARK(0, EMPTY),
                                       {0}},
    .advise = advise,
};
