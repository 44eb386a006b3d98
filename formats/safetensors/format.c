#include "formats/formats.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/reader.h"
#include "formats/start.h"

/*
 * The length of the header, then '{'. JSON text may have a '{' there, too,
 * but no length that long occurs; where the text is none, the length is
 * damaged and the reader says so.
 */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    if (start->n > GQA_ST_PREFIX_BYTES &&
        start->bytes[GQA_ST_PREFIX_BYTES] == '{')
        *is = !gqa_start_is_json(start) ||
              gqa_st_header_length(start->bytes) <= UINT32_MAX;
    return GQA_OK;
}

static const char *describe(enum gqa_naming naming)
{
    return naming == GQA_NAMES_TF ? "safetensors (TensorFlow)" : "safetensors";
}

const struct gqa_format gqa_format_safetensors = {
    .word = "safetensors",
    .label = "safetensors",
    .describe = describe,
    .recognise = recognise,
    .open = gqa_safetensors_open,
    /* transformers' order */
    .names = (const char *const[]){"model.safetensors",
                                   "model.safetensors.index.json", NULL},
    .preference = 1,
    .endings = (const struct gqa_name_ending[]){{.text = ".safetensors"}, {0}},
};
