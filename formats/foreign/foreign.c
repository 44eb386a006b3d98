/*
 * Formats that people do meet and that are not read: what to do about them.
 */
#include <string.h>
#include <strings.h>

#include "common/file.h"
#include "formats/foreign/words.h"
#include "formats/formats.h"
#include "formats/start.h"

const struct gqa_format gqa_format_pickle = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x80\x02"),
                                       GQA_MARK(0, "\x80\x03"),
                                       GQA_MARK(0, "\x80\x04"),
                                       GQA_MARK(0, "\x80\x05"),
                                       {0}},
    .advice = PICKLE_WORDS,
};

const struct gqa_format gqa_format_ggml = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "lmgg"),
                                       GQA_MARK(0, "tjgg"),
                                       GQA_MARK(0, "fmgg"),
                                       GQA_MARK(0, "algg"),
                                       {0}},
    .advice = GGML_WORDS,
};

const struct gqa_format gqa_format_zst = {
    /* By its content it is a .gqa, good or bad. */
    .endings =
        (const struct gqa_name_ending[]){{.text = ".zst", .may_be_else = true},
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

const struct gqa_format gqa_format_rar = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "Rar!\x1a\x07"), {0}},
    .advice = "a RAR archive; unpack it first",
};

const struct gqa_format gqa_format_lz4 = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x04\x22\x4d\x18"), {0}},
    .advice = "compressed with lz4; decompress it first (unlz4)",
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

/* Behind a byte order mark, white space and an XML declaration, if any; upper
 * and lower case are one in HTML. */
static bool begins_with_tag(const struct gqa_file_start *start, const char *tag)
{
    const char *text = (const char *)start->bytes;
    const size_t n = strlen(tag);
    size_t i = gqa_start_behind_space(start, 0);

    while (gqa_start_has(start, i, "<?xml", 5)) {
        const char *end = memchr(text + i, '>', start->n - i);

        if (!end)
            break;
        i = gqa_start_behind_space(start, (size_t)(end - text) + 1);
    }
    return start->n - i >= n && strncasecmp(text + i, tag, n) == 0;
}

static enum gqa_status recognise_web_page(bool *is,
                                          const struct gqa_file_start *start)
{
    *is = begins_with_tag(start, "<!DOCTYPE html") ||
          begins_with_tag(start, "<html") || begins_with_tag(start, "<head");
    return GQA_OK;
}

const struct gqa_format gqa_format_web_page = {
    .recognise = recognise_web_page,
    .advice = "a web page; the download went wrong",
};

/* As stores of objects answer. */
static enum gqa_status recognise_server_error(
    bool *is, const struct gqa_file_start *start)
{
    *is = begins_with_tag(start, "<Error>");
    return GQA_OK;
}

const struct gqa_format gqa_format_server_error = {
    .recognise = recognise_server_error,
    .advice = "what a server says in place of the file; the download went "
              "wrong",
};

static enum gqa_status recognise_openvino(bool *is,
                                          const struct gqa_file_start *start)
{
    *is = begins_with_tag(start, "<net name=");
    return GQA_OK;
}

/* The graph; what lies beside it, the weights, has no mark. */
const struct gqa_format gqa_format_openvino = {
    .recognise = recognise_openvino,
    .advice = OPENVINO_WORDS,
    .endings =
        (const struct gqa_name_ending[]){{.text = ".xml", .may_be_else = true},
                                         {0}},
};

const struct gqa_format gqa_format_t5x = {
    .marks = (const struct gqa_mark[]){GQA_MARK(1, "\xa7version"), {0}},
    .advice = "a T5X checkpoint; convert it to Hugging Face form first "
              "(transformers: convert_t5x_checkpoint_to_pytorch.py)",
    .endings =
        (const struct gqa_name_ending[]){
            {.text = "checkpoint", .may_be_else = true}, {0}},
};

/* A map of parameters by the names of their modules. */
static enum gqa_status recognise_flax(bool *is,
                                      const struct gqa_file_start *start)
{
    const unsigned char *b = start->bytes;
    const size_t at = b[0] == 0xde ? 3 : 1;
    const size_t length = start->n > at ? b[at] & 0x1f : 0;

    if (start->n < at + 1 + length || length < 2 || (b[at] & 0xe0) != 0xa0 ||
        ((b[0] & 0xf0) != 0x80 && b[0] != 0xde))
        return GQA_OK;
    for (size_t i = 0; i < length; i++)
        if (b[at + 1 + i] < '!' || b[at + 1 + i] > '~')
            return GQA_OK;
    *is = true;
    return GQA_OK;
}

const struct gqa_format gqa_format_flax = {
    .recognise = recognise_flax,
    .advice = FLAX_WORDS,
    .endings = (const struct gqa_name_ending[]){{.text = ".msgpack"}, {0}},
};

/* Of a field of protobuf: behind its tag and its length, what it holds. 0: it
 * is another, or lies further on. */
static size_t enter_field(const struct gqa_file_start *start, size_t at,
                          unsigned char tag)
{
    const unsigned char *b = start->bytes;

    if (at == 0 || at >= start->n || b[at] != tag)
        return 0;
    for (at++; at < start->n; at++)
        if (b[at] < 0x80)
            return at + 1;
    return 0;
}

/*
 * Version, description, in that the first input, in that its name. Both others
 * have a second field of that number: a SavedModel's holds no message of which
 * the first is a text, and an ONNX model's is one.
 */
static enum gqa_status recognise_core_ml(bool *is,
                                         const struct gqa_file_start *start)
{
    const unsigned char *b = start->bytes;
    size_t at = start->n > 3 && b[0] == 0x08 && b[1] < 64 ? 2 : 0;

    at = enter_field(start, at, 0x12);
    at = enter_field(start, at, 0x0a);
    at = enter_field(start, at, 0x0a);
    *is = at > 0 && at < start->n && b[at] > ' ' && b[at] < 0x7f;
    return GQA_OK;
}

const struct gqa_format gqa_format_core_ml = {
    .recognise = recognise_core_ml,
    .advice = CORE_ML_WORDS,
    .endings = (const struct gqa_name_ending[]){{.text = ".mlmodel"}, {0}},
};

/* Messages of protobuf: the version of the format, then a field that only such
 * a file has there. */
static enum gqa_status recognise_onnx(bool *is,
                                      const struct gqa_file_start *start)
{
    static const unsigned char second[] = {0x12, 0x1a, 0x22, 0x3a, 0x42};
    const unsigned char *b = start->bytes;

    *is = start->n > 4 && b[0] == 0x08 && b[1] >= 3 && b[1] < 64 &&
          memchr(second, b[2], sizeof second) != NULL;
    return GQA_OK;
}

const struct gqa_format gqa_format_onnx = {
    .recognise = recognise_onnx,
    .advice = ONNX_WORDS,
    .endings = (const struct gqa_name_ending[]){{.text = ".onnx"}, {0}},
};

const struct gqa_format gqa_format_saved_model = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x08\x01\x12"), {0}},
    .advice = SAVED_MODEL_WORDS,
    .endings = (const struct gqa_name_ending[]){{.text = ".pb"}, {0}},
};

const struct gqa_format gqa_format_tflite = {
    .marks = (const struct gqa_mark[]){GQA_MARK(4, "TFL3"), {0}},
    .advice = TFLITE_WORDS,
    .endings = (const struct gqa_name_ending[]){{.text = ".tflite"}, {0}},
};

const struct gqa_format gqa_format_tensorrt = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "ftrt"),
                                       GQA_MARK(0, "ptrt"),
                                       {0}},
    .advice = TENSORRT_WORDS,
    .endings = (const struct gqa_name_ending[]){{.text = ".engine"}, {0}},
};

/* GPT-2 and Llama 3 */
const struct gqa_format gqa_format_llm_c = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\xc6\xd7\x34\x01"),
                                       GQA_MARK(0, "\xa3\xd9\x34\x01"),
                                       {0}},
    .advice = LLM_C_WORDS,
};

/* A version, and the name of a class behind its length. */
static enum gqa_status recognise_ctranslate2(bool *is,
                                             const struct gqa_file_start *start)
{
    const unsigned char *b = start->bytes;
    const size_t length = start->n > 6 ? b[4] | (size_t)b[5] << 8 : 0;

    *is = length > 4 && length < 64 && start->n >= 6 + length &&
          gqa_start_u32(start, 0) < 64 && b[6 + length - 1] == '\0' &&
          memcmp(b + 6 + length - 5, "Spec", 4) == 0;
    return GQA_OK;
}

const struct gqa_format gqa_format_ctranslate2 = {
    .recognise = recognise_ctranslate2,
    .advice = CTRANSLATE2_WORDS,
};

/* The text that names the last of several, and the table of one, which is
 * known by its end. */
static enum gqa_status recognise_tf_checkpoint(
    bool *is, const struct gqa_file_start *start)
{
    static const char mark[] = "\x57\xfb\x80\x8b\x24\x75\x47\xdb";
    char end[sizeof mark - 1];
    enum gqa_status st;

    if (start->size < 48)
        return GQA_OK;
    st = gqa_file_read(start->fd, end, sizeof end, start->size - sizeof end);
    *is = st == GQA_OK && memcmp(end, mark, sizeof end) == 0;
    return st;
}

const struct gqa_format gqa_format_tf_checkpoint = {
    .marks =
        (const struct gqa_mark[]){GQA_MARK(0, "model_checkpoint_path:"), {0}},
    .recognise = recognise_tf_checkpoint,
    .advice = TF_CHECKPOINT_WORDS,
};

const struct gqa_format gqa_format_apple_double = {
    .marks = (const struct gqa_mark[]){GQA_MARK(0, "\x00\x05\x16\x07"), {0}},
    .advice = "attributes that macOS keeps beside a file (\"._\" and its "
              "name), not the file; give that",
};

/* Known by their names alone */

const struct gqa_format gqa_format_distcp = {
    .endings = (const struct gqa_name_ending[]){{.text = ".distcp"}, {0}},
};

const struct gqa_format gqa_format_rust_bert = {
    .endings = (const struct gqa_name_ending[]){{.text = ".ot"}, {0}},
};
