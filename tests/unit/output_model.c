#include "output_model.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/status.h"

enum { MIB = 1 << 20 };

#define SHAPE(...) ((const uint64_t[]){__VA_ARGS__})

const struct gqa_output_tensor model_tensors[N_MODEL_TENSORS] = {
    {"block", GQA_BF16, 2, SHAPE(1024, 2048), 4 * MIB, GQA_OUTPUT_WEIGHT},
    {"over", GQA_BF16, 1, SHAPE(2097153), 4 * MIB + 2, GQA_OUTPUT_WEIGHT},
    {"under", GQA_BF16, 1, SHAPE(2097151), 4 * MIB - 2, GQA_OUTPUT_WEIGHT},
    {"norm", GQA_F32, 1, SHAPE(3), 12, GQA_OUTPUT_WEIGHT},
    {"empty", GQA_F32, 2, SHAPE(0, 4), 0, GQA_OUTPUT_WEIGHT},
    {"scalar", GQA_I64, 0, NULL, 8, GQA_OUTPUT_WEIGHT},
    {"big", GQA_BF16, 2, SHAPE(9, 512 * 1024 + 1), 9 * MIB + 18,
     GQA_OUTPUT_WEIGHT},
    {"byte", GQA_U8, 1, SHAPE(1), 1, GQA_OUTPUT_WEIGHT},
};

/* I64, F32 (empty, norm), BF16 (big, block, over, under), U8. */
const size_t model_order[N_MODEL_TENSORS] = {5, 4, 3, 6, 0, 1, 2, 7};

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Odd tensors are noise, even ones compress as weights do. */
enum gqa_status model_produce(void *ctx, unsigned worker, size_t tensor,
                              uint64_t offset, size_t n, void *buf)
{
    const struct model_trouble *trouble = ctx;
    unsigned char *to = buf;

    (void)worker;
    if (tensor == 2 && trouble->is_signaled)
        raise(SIGTERM);
    if (tensor == 2 && trouble->fails)
        return gqa_fail(GQA_ERR_FORMAT, "source.h5: chunk 7 is damaged");
    for (size_t i = 0; i < n; i++) {
        const uint64_t at = offset + i;
        const uint64_t word = mix(at / 8 + tensor * 1000000007u) ^
                              trouble->seed * UINT64_C(0x0101010101010101);
        const unsigned char byte = (unsigned char)(word >> 8 * (at % 8));

        to[i] = tensor % 2 || at % 2 == 0 ? byte
                                          : (unsigned char)(0x38 | (byte & 3));
    }
    return GQA_OK;
}

struct gqa_output_options model_options(const struct gqa_writer *writer)
{
    static json_t *metadata;

    if (!metadata)
        metadata = json_pack("{s:s}", "format", "pt");
    return (struct gqa_output_options){
        .writer = writer,
        .tool = "gqa-convert",
        .settings = {.level = 1, .shard_bytes = UINT64_C(1) << 40},
        .n_threads = 1,
        .metadata = metadata,
    };
}

struct gqa_output_summary model_write(const char *path,
                                      const struct gqa_output_options *options,
                                      unsigned seed)
{
    struct model_trouble trouble = {.seed = seed};
    struct gqa_output_summary summary;

    ck_assert_msg(gqa_output_write(&summary, path, model_tensors,
                                   N_MODEL_TENSORS, model_produce, &trouble,
                                   options) == GQA_OK,
                  "%s", gqa_error_message());
    return summary;
}

unsigned char *read_file(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;
    long size;

    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    rewind(file);
    *n = (size_t)size;
    bytes = malloc(*n + 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, *n, file), *n);
    bytes[*n] = '\0';
    fclose(file);
    return bytes;
}

unsigned char *model_content(unsigned seed, size_t *n)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[8,8]},"
        "\"norm\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[8,20]},"
        "\"big\":{\"dtype\":\"BF16\",\"shape\":[9,524289],"
        "\"data_offsets\":[20,9437222]},"
        "\"block\":{\"dtype\":\"BF16\",\"shape\":[1024,2048],"
        "\"data_offsets\":[9437222,13631526]},"
        "\"over\":{\"dtype\":\"BF16\",\"shape\":[2097153],"
        "\"data_offsets\":[13631526,17825832]},"
        "\"under\":{\"dtype\":\"BF16\",\"shape\":[2097151],"
        "\"data_offsets\":[17825832,22020134]},"
        "\"byte\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[22020134,22020135]}}";
    struct model_trouble trouble = {.seed = seed};
    const size_t padded = sizeof header - 1 + (-(sizeof header - 1) & 7);
    unsigned char *bytes = malloc(8 + padded + 22020135);
    unsigned char *to = bytes;

    ck_assert_ptr_nonnull(bytes);
    memset(to, 0, 8);
    to[0] = (unsigned char)(padded & 255);
    to[1] = (unsigned char)(padded >> 8);
    memset(to + 8, ' ', padded);
    memcpy(to + 8, header, sizeof header - 1);
    to += 8 + padded;
    for (size_t i = 0; i < N_MODEL_TENSORS; i++) {
        const size_t index = model_order[i];

        ck_assert_int_eq(model_produce(&trouble, 0, index, 0,
                                       (size_t)model_tensors[index].n_bytes,
                                       to),
                         GQA_OK);
        to += model_tensors[index].n_bytes;
    }
    *n = (size_t)(to - bytes);
    return bytes;
}

size_t count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}
