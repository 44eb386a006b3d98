/*
 * Edit the list of tensors of a safetensors file, for tests of what is missing
 * from a model and what is left over.
 *
 * usage: edit_tensors FILE EDIT...
 *
 *   drop BEGINNING         the tensors whose names begin so
 *   prefix TEXT            put before every name
 *   rename OLD NEW         one tensor
 *   repeat OLD NEW         the tensors whose names begin with OLD, once more,
 *                          with NEW in its place
 *   add NAME DTYPE SHAPE   such as 4,32, or - for a scalar; F32 is a ramp,
 *                          anything else zeros
 *   sines NAME ROWS COLS   Marian's table of positions
 */
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"

struct file {
    json_t *header; /* without data_offsets that are right */
    unsigned char *bytes;
    uint64_t n_header, n_bytes;
};

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "edit_tensors: %s: %s\n", name, what);
    exit(2);
}

static void *take(size_t n)
{
    void *memory = calloc(n ? n : 1, 1);

    if (!memory)
        fail("out of memory", "calloc");
    return memory;
}

static struct file load(const char *path)
{
    FILE *in = fopen(path, "rb");
    struct file file = {0};
    long size = 0;

    if (!in || fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 8)
        fail("cannot be read", path);
    rewind(in);
    file.n_bytes = (uint64_t)size;
    file.bytes = take(file.n_bytes);
    if (fread(file.bytes, 1, file.n_bytes, in) != file.n_bytes)
        fail("cannot be read", path);
    fclose(in);
    memcpy(&file.n_header, file.bytes, sizeof file.n_header);
    file.header =
        json_loadb((char *)file.bytes + 8, (size_t)file.n_header, 0, NULL);
    if (!file.header)
        fail("is no safetensors file", path);
    return file;
}

static uint64_t begin_of(const json_t *tensor)
{
    return (uint64_t)json_integer_value(
        json_array_get(json_object_get(tensor, "data_offsets"), 0));
}

static uint64_t end_of(const json_t *tensor)
{
    return (uint64_t)json_integer_value(
        json_array_get(json_object_get(tensor, "data_offsets"), 1));
}

/* --- Edits --------------------------------------------------------------- */

static void drop(struct file *file, const char *beginning)
{
    const char *name;
    json_t *tensor;
    void *next;
    size_t n = 0;

    json_object_foreach_safe(file->header, next, name, tensor)
    {
        if (strncmp(name, beginning, strlen(beginning)) != 0)
            continue;
        json_object_del(file->header, name);
        n++;
    }
    if (n == 0)
        fail("begins no name", beginning);
}

/* Every name, or the one that is `only`. */
static void rename_to(struct file *file, const char *only, const char *text)
{
    json_t *renamed = json_object();
    const char *name;
    json_t *tensor;
    char longer[512];

    if (only && !json_object_get(file->header, only))
        fail("is no tensor of the file", only);
    json_object_foreach(file->header, name, tensor)
    {
        const int is_other =
            strcmp(name, "__metadata__") == 0 || (only && strcmp(name, only));

        snprintf(longer, sizeof longer, "%s%s", text, only ? "" : name);
        json_object_set(renamed, is_other ? name : longer, tensor);
    }
    json_decref(file->header);
    file->header = renamed;
}

/* Of the same bytes */
static void repeat(struct file *file, const char *old, const char *beginning)
{
    json_t *more = json_object();
    const char *name;
    json_t *tensor;
    char other[512];

    json_object_foreach(file->header, name, tensor)
    {
        if (strncmp(name, old, strlen(old)) != 0)
            continue;
        snprintf(other, sizeof other, "%s%s", beginning, name + strlen(old));
        json_object_set(more, other, tensor);
    }
    if (json_object_size(more) == 0)
        fail("begins no name", old);
    json_object_update(file->header, more);
    json_decref(more);
}

/* Its bytes go behind all others. */
static void add(struct file *file, const char *name, const char *dtype,
                const char *shape)
{
    json_t *dims = json_array();
    enum gqa_dtype type;
    const uint64_t at = file->n_bytes - 8 - file->n_header;
    uint64_t n = 1, n_bytes = 0, end_at;
    unsigned char *grown;

    if (!gqa_dtype_parse(dtype, &type))
        fail("is no type", dtype);
    for (const char *s = shape; *s && *s != '-'; s += *s == ',') {
        char *end;
        const unsigned long long dim = strtoull(s, &end, 10);

        if (end == s)
            fail("is no shape", shape);
        json_array_append_new(dims, json_integer((json_int_t)dim));
        n *= dim;
        s = end;
    }
    if (!gqa_dtype_bytes(type, n, &n_bytes))
        fail("is too large", shape);
    end_at = at + n_bytes;
    grown = take(file->n_bytes + n_bytes);
    memcpy(grown, file->bytes, file->n_bytes);
    for (uint64_t i = 0; type == GQA_F32 && i < n; i++) {
        const float value = (float)((double)(i % 13) / 8 - 0.75);

        memcpy(grown + file->n_bytes + 4 * i, &value, sizeof value);
    }
    free(file->bytes);
    file->bytes = grown;
    file->n_bytes += n_bytes;
    json_object_set_new(file->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype,
                                  "shape", dims, "data_offsets", (json_int_t)at,
                                  (json_int_t)end_at));
}

static void add_sines(struct file *file, const char *name, const char *rows,
                      const char *cols)
{
    const unsigned long n_rows = strtoul(rows, NULL, 10);
    const unsigned long n_cols = strtoul(cols, NULL, 10), half = n_cols / 2;
    unsigned char *at;
    char shape[64];

    snprintf(shape, sizeof shape, "%lu,%lu", n_rows, n_cols);
    add(file, name, "F32", shape);
    at = file->bytes + file->n_bytes - n_rows * n_cols * sizeof(float);
    for (unsigned long p = 0; p < n_rows; p++)
        for (unsigned long i = 0; i < n_cols; i++, at += sizeof(float)) {
            const double angle =
                (double)p * pow(10000, -(double)(i % half) / (double)half);
            const float value = (float)(i < half ? sin(angle) : cos(angle));

            memcpy(at, &value, sizeof value);
        }
}

/* --- Writing ------------------------------------------------------------- */

static void save(struct file *file, const char *path)
{
    const unsigned char *data = file->bytes + 8 + file->n_header;
    json_t *header = json_deep_copy(file->header);
    uint64_t at = 0, n;
    const char *name;
    json_t *tensor;
    char *text;
    FILE *out;
    int ok;

    json_object_foreach(header, name, tensor)
    {
        const uint64_t from = at;

        if (strcmp(name, "__metadata__") == 0)
            continue;
        at += end_of(tensor) - begin_of(tensor);
        json_object_set_new(
            tensor, "data_offsets",
            json_pack("[I, I]", (json_int_t)from, (json_int_t)at));
    }
    text = json_dumps(header, JSON_COMPACT);
    n = strlen(text);
    out = fopen(path, "wb");
    ok = out && fwrite(&n, 8, 1, out) == 1 && fwrite(text, 1, n, out) == n;
    json_object_foreach(file->header, name, tensor)
    {
        const size_t length = (size_t)(end_of(tensor) - begin_of(tensor));

        if (strcmp(name, "__metadata__") != 0)
            ok =
                ok && fwrite(data + begin_of(tensor), 1, length, out) == length;
    }
    if (!ok || fclose(out) != 0)
        fail("cannot be written", path);
    free(text);
    json_decref(header);
}

int main(int argc, char **argv)
{
    struct file file;

    if (argc < 4)
        fail("FILE EDIT...", "usage");
    file = load(argv[1]);
    for (int i = 2; i < argc;) {
        const char *edit = argv[i];
        const int n_left = argc - i - 1;

        if (strcmp(edit, "drop") == 0 && n_left >= 1) {
            drop(&file, argv[i + 1]);
            i += 2;
        } else if (strcmp(edit, "prefix") == 0 && n_left >= 1) {
            rename_to(&file, NULL, argv[i + 1]);
            i += 2;
        } else if (strcmp(edit, "rename") == 0 && n_left >= 2) {
            rename_to(&file, argv[i + 1], argv[i + 2]);
            i += 3;
        } else if (strcmp(edit, "repeat") == 0 && n_left >= 2) {
            repeat(&file, argv[i + 1], argv[i + 2]);
            i += 3;
        } else if (strcmp(edit, "add") == 0 && n_left >= 3) {
            add(&file, argv[i + 1], argv[i + 2], argv[i + 3]);
            i += 4;
        } else if (strcmp(edit, "sines") == 0 && n_left >= 3) {
            add_sines(&file, argv[i + 1], argv[i + 2], argv[i + 3]);
            i += 4;
        } else {
            fail("is no edit", edit);
        }
    }
    save(&file, argv[1]);
    json_decref(file.header);
    free(file.bytes);
    return 0;
}
