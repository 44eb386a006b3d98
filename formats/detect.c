#include "formats/detect.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "formats/safetensors/header.h"

/* Enough for every mark below; a tar's lies furthest in. */
enum { HEAD_BYTES = 512 };

struct head {
    unsigned char bytes[HEAD_BYTES];
    size_t n; /* read: the whole file if it is shorter */
};

#define HDF5_MARK "\x89HDF\r\n\x1a\n"
#define SAVE_AS_SAFETENSORS \
    "save it as safetensors first (transformers: save_pretrained)"

/* Formats that people do meet, and what to do about them. */
static const struct {
    size_t offset;
    const char *mark;
    size_t length;
    const char *what;
} foreign[] = {
#define MARK(offset, text, what)            \
    {                                       \
        offset, text, sizeof text - 1, what \
    }
    MARK(0, "\x80\x02",
         "a Python pickle (PyTorch before 1.6); " //
         SAVE_AS_SAFETENSORS),
    MARK(0, "\x80\x03", "a Python pickle; " SAVE_AS_SAFETENSORS),
    MARK(0, "\x80\x04", "a Python pickle; " SAVE_AS_SAFETENSORS),
    MARK(0, "\x80\x05", "a Python pickle; " SAVE_AS_SAFETENSORS),
    MARK(0, "GGUF",
         "a GGUF file of llama.cpp; convert the checkpoint it was made from"),
    MARK(0, "lmgg", "a GGML file; convert the checkpoint it was made from"),
    MARK(0, "tjgg", "a GGML file; convert the checkpoint it was made from"),
    MARK(0, "24ka",
         "a llama2.c model; convert the checkpoint it was made from"),
    MARK(0, "\x1f\x8b", "compressed with gzip; decompress it first (gunzip)"),
    MARK(0,
         "\xfd"
         "7zXZ",
         "compressed with xz; decompress it first (unxz)"),
    MARK(0, "BZh", "compressed with bzip2; decompress it first (bunzip2)"),
    MARK(0, "7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    MARK(257, "ustar", "a tar archive; unpack it first (NeMo's .nemo is one)"),
    MARK(0, "\x93NUMPY", "a NumPy array, not a checkpoint"),
    MARK(0, "version https://git-lfs",
         "a Git LFS pointer in place of the file; fetch it (git lfs pull)"),
    MARK(0, "<!DOCTYPE", "a web page; the download went wrong"),
    MARK(0, "<!doctype", "a web page; the download went wrong"),
    MARK(0, "<html", "a web page; the download went wrong"),
    MARK(1, "\xa7version",
         "a T5X checkpoint; convert it to Hugging Face form first "
         "(transformers: convert_t5x_checkpoint_to_pytorch.py)"),
#undef MARK
};

static bool has(const struct head *head, size_t offset, const char *mark,
                size_t length)
{
    return head->n >= offset && head->n - offset >= length &&
           memcmp(head->bytes + offset, mark, length) == 0;
}

static uint32_t u32_at(const struct head *head, size_t offset)
{
    const unsigned char *p = head->bytes + offset;

    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* A frame or a skippable frame. */
static bool is_zstd(const struct head *head)
{
    return head->n >= 4 && (u32_at(head, 0) == 0xfd2fb528u ||
                            (u32_at(head, 0) & 0xfffffff0u) == 0x184d2a50u);
}

/*
 * The length of the header, then '{'. JSON text may have a '{' there, too,
 * but no length that long occurs; where the text is none, the length is
 * damaged and the reader says so.
 */
static bool is_safetensors(const struct head *head, bool is_json)
{
    if (head->n <= GQA_ST_PREFIX_BYTES ||
        head->bytes[GQA_ST_PREFIX_BYTES] != '{')
        return false;
    return !is_json || gqa_st_header_length(head->bytes) <= UINT32_MAX;
}

static bool is_json(const struct head *head)
{
    size_t i = has(head, 0, "\xef\xbb\xbf", 3) ? 3 : 0;

    while (i < head->n && strchr(" \t\r\n", head->bytes[i]) &&
           head->bytes[i] != '\0')
        i++;
    return i < head->n && head->bytes[i] == '{';
}

/* HDF5 may follow a user block of 512, 1024, 2048, ... bytes. */
static enum gqa_status find_user_block(bool *found, int fd, uint64_t size)
{
    char mark[sizeof HDF5_MARK - 1];

    *found = false;
    for (uint64_t at = 512; at < size && size - at > sizeof mark; at *= 2) {
        const enum gqa_status st = gqa_file_read(fd, mark, sizeof mark, at);

        if (st != GQA_OK)
            return st;
        *found = memcmp(mark, HDF5_MARK, sizeof mark) == 0;
        if (*found || at > UINT64_MAX / 2)
            break;
    }
    return GQA_OK;
}

/* llama2.c's first format has no mark: seven plausible 32-bit numbers. */
static bool is_llama2c(const struct head *head)
{
    static const uint32_t most[7] = {1u << 17, 1u << 20, 1u << 10, 1u << 12,
                                     1u << 12, 1u << 22, 1u << 22};
    uint32_t v[7];

    if (head->n < sizeof v)
        return false;
    for (size_t i = 0; i < 7; i++) {
        v[i] = u32_at(head, 4 * i);
        if (i == 5 && v[i] > INT32_MAX) /* negative: unshared classifier */
            v[i] = 0u - v[i];
        if (v[i] == 0 || v[i] > most[i])
            return false;
    }
    return v[0] % v[3] == 0 && v[3] % v[4] == 0;
}

/* A zip's first entry tells which of its users wrote it. */
static enum gqa_status refuse_zip(const struct head *head)
{
    const char *what = "a zip archive; unpack it first";
    const void *start = head->bytes;

    if (memmem(start, head->n, "data.pkl", 8))
        what = "a PyTorch file (.bin, .pt); " SAVE_AS_SAFETENSORS;
    else if (memmem(start, head->n, "metadata.json", 13) ||
             memmem(start, head->n, "config.json", 11) ||
             memmem(start, head->n, "model.weights.h5", 16))
        what = "a Keras archive (.keras); unpack it (unzip) and give its "
               "model.weights.h5";
    else if (memmem(start, head->n, ".npy", 4))
        what = "NumPy arrays (.npz), not a checkpoint";
    return gqa_fail(GQA_ERR_UNSUPPORTED, "%s", what);
}

static enum gqa_status refuse(const struct head *head, uint64_t size)
{
    if (has(head, 0, "PK\x03\x04", 4))
        return refuse_zip(head);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (has(head, foreign[i].offset, foreign[i].mark, foreign[i].length))
            return gqa_fail(GQA_ERR_UNSUPPORTED, "%s", foreign[i].what);
    if (is_llama2c(head))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "looks like a llama2.c model; convert the checkpoint "
                        "it was made from");
    if (head->n <= GQA_ST_PREFIX_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%" PRIu64 " bytes: too short for a checkpoint", size);
    return gqa_fail(GQA_ERR_FORMAT,
                    "not a checkpoint that we know (safetensors, .gqa, HDF5 "
                    "or an index); it begins with the bytes %02x %02x %02x "
                    "%02x %02x %02x %02x %02x",
                    head->bytes[0], head->bytes[1], head->bytes[2],
                    head->bytes[3], head->bytes[4], head->bytes[5],
                    head->bytes[6], head->bytes[7]);
}

enum gqa_status gqa_file_detect(enum gqa_file_kind *kind, int fd, uint64_t size)
{
    struct head head = {.n = size < HEAD_BYTES ? (size_t)size : HEAD_BYTES};
    enum gqa_status st;
    bool found;

    if (size == 0)
        return gqa_fail(GQA_ERR_FORMAT, "the file is empty");
    if ((st = gqa_file_read(fd, head.bytes, head.n, 0)) != GQA_OK)
        return st;
    if (has(&head, 0, HDF5_MARK, sizeof HDF5_MARK - 1))
        *kind = GQA_FILE_HDF5;
    else if (is_zstd(&head))
        *kind = GQA_FILE_ZSTD;
    else if (is_safetensors(&head, is_json(&head)))
        *kind = GQA_FILE_SAFETENSORS;
    else if (is_json(&head))
        *kind = GQA_FILE_JSON;
    else {
        if ((st = find_user_block(&found, fd, size)) != GQA_OK)
            return st;
        if (!found)
            return refuse(&head, size);
        *kind = GQA_FILE_HDF5;
    }
    return GQA_OK;
}
