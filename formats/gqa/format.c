#include "formats/formats.h"
#include "formats/gqa/reader.h"
#include "formats/start.h"

/* A frame or a skippable frame: a .gqa, if it is one of ours. */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    if (start->n >= 4)
        *is = gqa_start_u32(start, 0) == 0xfd2fb528u ||
              (gqa_start_u32(start, 0) & 0xfffffff0u) == 0x184d2a50u;
    return GQA_OK;
}

static const char *describe(enum gqa_naming naming)
{
    (void)naming;
    return ".gqa";
}

const struct gqa_format gqa_format_gqa = {
    .word = "gqa",
    .label = ".gqa",
    .describe = describe,
    .recognise = recognise,
    .open = gqa_gqa_open,
    .names = (const char *const[]){"*.gqa", NULL},
    .preference = 3,
    .endings = (const struct gqa_name_ending[]){{.text = ".gqa"}, {0}},
};
