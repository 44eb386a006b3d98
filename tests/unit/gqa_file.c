#include "gqa_file.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "common/sha256.h"
#include "formats/gqa/layout.h"

static unsigned char *extend(struct gqa_file *file, size_t n)
{
    unsigned char *bigger = realloc(file->bytes, file->n + n + 1);

    ck_assert_ptr_nonnull(bigger);
    file->bytes = bigger;
    file->n += n;
    return bigger + file->n - n;
}

static void put_u32(unsigned char *to, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

static void add_entry(struct gqa_file *file, size_t n_bytes,
                      size_t content_bytes, uint64_t checksum)
{
    ck_assert_uint_lt(file->n_entries, GQA_FILE_MAX_ENTRIES);
    file->entries[file->n_entries++] = (struct gqa_file_entry){
        (uint32_t)n_bytes, (uint32_t)content_bytes, (uint32_t)checksum};
}

static json_t *next_digest(struct gqa_file *file, const void *data, size_t n)
{
    unsigned char *digest = file->digests[file->n_digests++];
    char hex[GQA_SHA256_DIGITS + 1];

    ck_assert_uint_le(file->n_digests, GQA_FILE_MAX_ENTRIES);
    ck_assert_int_eq(gqa_sha256(digest, data, n), GQA_OK);
    gqa_sha256_format(hex, digest);
    return json_string(hex);
}

void gqa_file_add_frame(struct gqa_file *file, const void *data, size_t n)
{
    const size_t bound = ZSTD_compressBound(n);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    size_t size;

    ck_assert_ptr_nonnull(context);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag,
                           !file->without_checksum);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag,
                           !file->without_content_size);
    if (file->window_log)
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, file->window_log);
    size = ZSTD_compress2(context, extend(file, bound), bound, data, n);
    ck_assert(!ZSTD_isError(size));
    file->n -= bound - size;
    ZSTD_freeCCtx(context);
    add_entry(file, size, n, XXH64(data, n, 0));
}

void gqa_file_add_header(struct gqa_file *file, const char *json)
{
    const size_t length = strlen(json);
    unsigned char *content = malloc(8 + length);

    ck_assert_ptr_nonnull(content);
    put_u32(content, length);
    put_u32(content + 4, 0);
    memcpy(content + 8, json, length);
    gqa_file_add_frame(file, content, 8 + length);
    file->content_bytes = 8 + length;
    file->manifest = json_pack(
        "{s:i, s:i, s:o, s:[], s:s, s:s}", "gqa.manifest", 1, "content_bytes",
        0, "header_sha256", next_digest(file, content, 8 + length), "tensors",
        "stream_digest", "", "manifest_sha256", "");
    ck_assert_ptr_nonnull(file->manifest);
    free(content);
}

void gqa_file_add_tensor(struct gqa_file *file, const char *name,
                         const void *data, size_t n, size_t frame_bytes)
{
    const char *bytes = data;

    for (size_t at = 0; at < n; at += frame_bytes)
        gqa_file_add_frame(file, bytes + at,
                           n - at < frame_bytes ? n - at : frame_bytes);
    file->content_bytes += n;
    json_array_append_new(json_object_get(file->manifest, "tensors"),
                          json_pack("{s:s, s:o}", "name", name, "sha256",
                                    next_digest(file, data, n)));
}

void gqa_file_add_skippable(struct gqa_file *file, uint32_t magic,
                            const void *payload, size_t n, bool in_table)
{
    unsigned char *to = extend(file, 8 + n);

    put_u32(to, magic);
    put_u32(to + 4, n);
    memcpy(to + 8, payload, n);
    if (in_table)
        add_entry(file, 8 + n, 0, 0);
}

void gqa_file_add_sealed(struct gqa_file *file)
{
    unsigned char digest[GQA_SHA256_BYTES];
    char hex[GQA_SHA256_DIGITS + 1];
    char *text;

    memset(hex, '0', GQA_SHA256_DIGITS);
    hex[GQA_SHA256_DIGITS] = '\0';
    json_object_set_new(file->manifest, "manifest_sha256", json_string(hex));
    text = json_dumps(file->manifest, JSON_COMPACT);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(gqa_sha256(digest, text, strlen(text)), GQA_OK);
    gqa_sha256_format(hex, digest);
    memcpy(strstr(text, "\"manifest_sha256\":\"") + 19, hex, GQA_SHA256_DIGITS);
    gqa_file_add_skippable(file, GQA_MANIFEST_MAGIC, text, strlen(text), true);
    free(text);
}

void gqa_file_add_manifest(struct gqa_file *file)
{
    unsigned char digest[GQA_SHA256_BYTES];
    char hex[GQA_SHA256_DIGITS + 1];

    json_object_set_new(file->manifest, "content_bytes",
                        json_integer((json_int_t)file->content_bytes));
    ck_assert_int_eq(gqa_sha256(digest, file->digests, 32 * file->n_digests),
                     GQA_OK);
    gqa_sha256_format(hex, digest);
    json_object_set_new(file->manifest, "stream_digest", json_string(hex));
    gqa_file_add_sealed(file);
}

void gqa_file_add_table(struct gqa_file *file, bool with_checksums)
{
    const size_t n_entry = with_checksums ? 12 : 8;
    const size_t n = n_entry * file->n_entries + 9;
    unsigned char *to = extend(file, 8 + n);

    put_u32(to, GQA_SEEK_TABLE_MAGIC);
    put_u32(to + 4, n);
    to += 8;
    for (size_t i = 0; i < file->n_entries; i++) {
        put_u32(to, file->entries[i].n_bytes);
        put_u32(to + 4, file->entries[i].content_bytes);
        if (with_checksums)
            put_u32(to + 8, file->entries[i].checksum);
        to += n_entry;
    }
    put_u32(to, file->n_entries);
    to[4] = with_checksums ? GQA_SEEK_HAS_CHECKSUMS : 0;
    put_u32(to + 5, GQA_SEEK_FOOTER_MAGIC);
}

void gqa_file_free(struct gqa_file *file)
{
    free(file->bytes);
    json_decref(file->manifest);
    memset(file, 0, sizeof *file);
}
