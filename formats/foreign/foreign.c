/*
 * Formats that people do meet and that are not read: what to do about them.
 */
#include "formats/formats.h"

#define SAVE_AS_SAFETENSORS \
    "save it as safetensors first (transformers: save_pretrained)"
#define CONVERT_ITS_SOURCE "convert the checkpoint it was made from"

/* PyTorch's are pickles of the second protocol, or zip archives. */
const struct gqa_format gqa_format_torch = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x80\x02"), {0}},
    .advice = "a Python pickle (PyTorch before 1.6); " SAVE_AS_SAFETENSORS,
    .endings =
        (const struct gqa_name_ending[]){
            {.text = ".bin",
             .advice = "PyTorch .bin files are not read: save them as "
                       "safetensors (transformers: save_pretrained)"},
            {.text = ".pt",
             .advice = "PyTorch .pt files are not read: save them as "
                       "safetensors"},
            {.text = ".pth",
             .advice = "PyTorch .pth files are not read: save them as "
                       "safetensors"},
            {.text = ".ckpt"},
            {0}},
};

const struct gqa_format gqa_format_pickle = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x80\x03"),
                                       GQA_MARK(0, "\x80\x04"),
                                       GQA_MARK(0, "\x80\x05"),
                                       {0}},
    .advice = "a Python pickle; " SAVE_AS_SAFETENSORS,
};

const struct gqa_format gqa_format_gguf = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "GGUF"), {0}},
    .advice = "a GGUF file of llama.cpp; " CONVERT_ITS_SOURCE,
    .endings =
        (const struct gqa_name_ending[]){
            {.text = ".gguf",
             .advice = "GGUF files are not read: convert the "
                       "checkpoint they were made from"},
            {0}},
};

const struct gqa_format gqa_format_ggml = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "lmgg"),
                                       GQA_MARK(0, "tjgg"),
                                       {0}},
    .advice = "a GGML file; " CONVERT_ITS_SOURCE,
};

const struct gqa_format gqa_format_zst = {
    /* By its content it is a .gqa, good or bad. */
    .endings =
        (const struct gqa_name_ending[]){
            {.text = ".zst",
             .advice = "compressed files are not read: decompress them "
                       "(zstd -d)",
             .may_be_else = true},
            {0}},
};

const struct gqa_format gqa_format_gzip = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x1f\x8b"), {0}},
    .advice = "compressed with gzip; decompress it first (gunzip)",
};

const struct gqa_format gqa_format_xz = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\xfd"
                                                   "7zXZ"),
                                       {0}},
    .advice = "compressed with xz; decompress it first (unxz)",
};

const struct gqa_format gqa_format_bzip2 = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "BZh"), {0}},
    .advice = "compressed with bzip2; decompress it first (bunzip2)",
};

const struct gqa_format gqa_format_sevenzip = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "7z\xbc\xaf\x27\x1c"), {0}},
    .advice = "a 7z archive; unpack it first",
};

const struct gqa_format gqa_format_tar = {
    .marks = (const struct gqa_mark[]){GQA_MARK(257, "ustar"), {0}},
    .advice = "a tar archive; unpack it first (NeMo's .nemo is one)",
};

const struct gqa_format gqa_format_numpy = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x93NUMPY"), {0}},
    .advice = "a NumPy array, not a checkpoint",
    .endings = (const struct gqa_name_ending[]){{.text = ".npz"}, {0}},
};

const struct gqa_format gqa_format_git_lfs = {
    .marks =
        (const struct gqa_mark[]){GQA_MARK(0, "version https://git-lfs"), {0}},
    .advice = "a Git LFS pointer in place of the file; fetch it (git lfs pull)",
};

const struct gqa_format gqa_format_web_page = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "<!DOCTYPE"),
                                       GQA_MARK(0, "<!doctype"),
                                       GQA_MARK(0, "<html"),
                                       {0}},
    .advice = "a web page; the download went wrong",
};

const struct gqa_format gqa_format_t5x = {
    .marks = (const struct gqa_mark[]){GQA_MARK(1, "\xa7version"), {0}},
    .advice = "a T5X checkpoint; convert it to Hugging Face form first "
              "(transformers: convert_t5x_checkpoint_to_pytorch.py)",
};

/* Known by their names alone */

const struct gqa_format gqa_format_flax = {
    .endings = (const struct gqa_name_ending[]){{.text = ".msgpack"}, {0}},
};

const struct gqa_format gqa_format_onnx = {
    .endings = (const struct gqa_name_ending[]){{.text = ".onnx"}, {0}},
};

const struct gqa_format gqa_format_rust_bert = {
    .endings = (const struct gqa_name_ending[]){{.text = ".ot"}, {0}},
};
