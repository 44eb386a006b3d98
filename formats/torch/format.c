#include "formats/formats.h"

#include <string.h>

#include "formats/start.h"
#include "formats/torch/reader.h"

#define MAGIC "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
/* How many bytes follow. */
#define FRAME "\x95\x0d\0\0\0\0\0\0\0"

/* A zip archive whose first member is the pickle, as torch.save() has it. */
static enum gqa_status recognise(bool *is, const struct gqa_file_start *start)
{
    static const char name[] = "/data.pkl";

    *is = gqa_start_has(start, 0, "PK\x03\x04", 4) &&
          memmem(start->bytes, start->n, name, sizeof name - 1) != NULL;
    return GQA_OK;
}

static const char *describe(enum gqa_naming naming)
{
    (void)naming;
    return "PyTorch";
}

const struct gqa_format gqa_format_torch = {
    .word = "torch",
    .label = "PyTorch",
    .describe = describe,
    /* Before PyTorch 1.6: the magic number, pickled by protocol 2 to 5 */
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x80\x02" MAGIC),
                                       GQA_MARK(0, "\x80\x03" MAGIC),
                                       GQA_MARK(0, "\x80\x04" FRAME MAGIC),
                                       GQA_MARK(0, "\x80\x05" FRAME MAGIC),
                                       {0}},
    .recognise = recognise,
    .open = gqa_torch_open,
    .has_state_dicts = true,
    .names = (const char *const[]){"pytorch_model.bin",
                                   "pytorch_model.bin.index.json", NULL},
    .preference = 2,
    .endings =
        (const struct gqa_name_ending[]){{.text = ".bin", .is_common = true},
                                         {.text = ".pt", .is_common = true},
                                         {.text = ".pth", .is_common = true},
                                         {.text = ".ckpt", .is_common = true},
                                         {0}},
};
