#include "formats/formats.h"

#include "formats/llama2c/layout.h"
#include "formats/llama2c/reader.h"

static const char *describe(enum gqa_naming naming)
{
    (void)naming;
    return "llama2.c";
}

const struct gqa_format gqa_format_llama2c = {
    .word = "llama2c",
    .label = "llama2.c",
    .describe = describe,
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "24ka"), {0}},
    .open = gqa_llama2c_open,
    .endings =
        (const struct gqa_name_ending[]){{.text = ".bin", .is_common = true},
                                         {0}},
};

/* Its first version has no mark: seven numbers that a model may have. */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    struct gqa_llama2c_shape shape;

    *is = start->n >= GQA_LLAMA2C_NUMBERS &&
          gqa_llama2c_shape_read(&shape, start->bytes);
    return GQA_OK;
}

const struct gqa_format gqa_format_llama2c_bare = {
    .recognise = recognise,
    .open = gqa_llama2c_bare_open,
    .endings =
        (const struct gqa_name_ending[]){{.text = ".bin", .is_common = true},
                                         {0}},
};
