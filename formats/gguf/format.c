#include "formats/formats.h"

#include "formats/gguf/reader.h"

static const char *describe(enum gqa_naming naming)
{
    (void)naming;
    return "GGUF";
}

const struct gqa_format gqa_format_gguf = {
    .word = "gguf",
    .label = "GGUF",
    .describe = describe,
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "GGUF"), {0}},
    .open = gqa_gguf_open,
    .names = (const char *const[]){"*.gguf", NULL},
    .has_weights_alone = true,
    .preference = 5,
    .endings =
        (const struct gqa_name_ending[]){{.text = ".gguf", .is_made = true},
                                         {0}},
};
