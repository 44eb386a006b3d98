/* A zip's first entry tells which of its users wrote it. */
#include <string.h>

#include "formats/foreign/words.h"
#include "formats/formats.h"

static bool has_name(const struct gqa_file_start *start, const char *name)
{
    return memmem(start->bytes, start->n, name, strlen(name)) != NULL;
}

static const char *advise(const struct gqa_file_start *start)
{
    if (has_name(start, ".npy"))
        return NPZ_WORDS;
    if (has_name(start, "serialized_exported_program") ||
        has_name(start, "archive_format"))
        return EXPORTED_WORDS;
    return "a zip archive; unpack it first";
}

const struct gqa_format gqa_format_zip = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "PK\x03\x04"), {0}},
    .advise = advise,
};
