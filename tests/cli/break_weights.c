/*
 * Break a safetensors file on purpose, for the tests of gqa-verify.
 *
 * usage: break_weights FILE TENSOR MISTAKE [ARGUMENT]...
 *
 *   flip ELEMENT              the lowest bit of an element
 *   nan ELEMENT               NaN in its place
 *   swap-rows A B N           rows A... and B..., N of each
 *   swap-columns A B N        columns likewise
 *   permute HEAD_DIM          the rows of each head, from halves to pairs
 *   copy ORIGINAL             the content of the tensor of another file
 *   strided ORIGINAL HEAD_DIM groups of heads g, g + groups...
 *   narrow ORIGINAL HEAD_DIM  means of neighbours, summed in bfloat16
 *   float32 ORIGINAL HEAD_DIM likewise in float32, head after head
 *   last ORIGINAL HEAD_DIM    the last head of each group
 *   minor ORIGINAL HEAD_DIM   means of rows taken as [head_dim, heads]
 *   round                     to bfloat16 and back
 *   scale FACTOR              all of it
 *   transpose                 and read in its own shape
 *   exchange TENSOR           the content with that of another of its size
 *
 * Tensors are F32 matrices; ORIGINAL is a safetensors file too.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"

struct file {
    char *bytes;
    size_t n_bytes;
};

struct matrix {
    float *at;
    size_t rows, cols;
};

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "break_weights: %s: %s\n", name, what);
    exit(2);
}

static void *take(size_t n)
{
    void *memory = malloc(n);

    if (!memory)
        fail("out of memory", "malloc");
    return memory;
}

static struct file load(const char *path)
{
    FILE *in = fopen(path, "rb");
    struct file file;
    long size = 0;

    if (!in || fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 8)
        fail("cannot be read", path);
    rewind(in);
    file.n_bytes = (size_t)size;
    file.bytes = take(file.n_bytes);
    if (fread(file.bytes, 1, file.n_bytes, in) != file.n_bytes)
        fail("cannot be read", path);
    fclose(in);
    return file;
}

/* A copy of the tensor; where it lies in the file is *offset. */
static struct matrix get(const struct file *file, const char *name,
                         size_t *offset)
{
    uint64_t n;
    json_t *header, *tensor, *shape;
    struct matrix m = {.cols = 1};

    memcpy(&n, file->bytes, sizeof n);
    header = json_loadb(file->bytes + 8, (size_t)n, 0, NULL);
    tensor = json_object_get(header, name);
    shape = json_object_get(tensor, "shape");
    if (!shape ||
        strcmp(json_string_value(json_object_get(tensor, "dtype")), "F32") != 0)
        fail("is no F32 tensor of the file", name);
    m.rows = (size_t)json_integer_value(json_array_get(shape, 0));
    if (json_array_size(shape) == 2)
        m.cols = (size_t)json_integer_value(json_array_get(shape, 1));
    *offset = 8 + (size_t)n +
              (size_t)json_integer_value(
                  json_array_get(json_object_get(tensor, "data_offsets"), 0));
    m.at = take(m.rows * m.cols * sizeof *m.at);
    memcpy(m.at, file->bytes + *offset, m.rows * m.cols * sizeof *m.at);
    json_decref(header);
    return m;
}

static void swap(float *a, float *b)
{
    const float kept = *a;

    *a = *b;
    *b = kept;
}

static void swap_rows(struct matrix m, size_t a, size_t b, size_t n)
{
    for (size_t i = 0; i < n * m.cols; i++)
        swap(&m.at[a * m.cols + i], &m.at[b * m.cols + i]);
}

static void swap_columns(struct matrix m, size_t a, size_t b, size_t n)
{
    for (size_t row = 0; row < m.rows; row++)
        for (size_t i = 0; i < n; i++)
            swap(&m.at[row * m.cols + a + i], &m.at[row * m.cols + b + i]);
}

static void permute(struct matrix m, size_t head_dim)
{
    const size_t n_bytes = m.rows * m.cols * sizeof *m.at;
    float *old = take(n_bytes);

    memcpy(old, m.at, n_bytes);
    for (size_t row = 0; row < m.rows; row++) {
        const size_t i = row % head_dim;
        const size_t from = row - i + i % 2 * (head_dim / 2) + i / 2;

        memcpy(m.at + row * m.cols, old + from * m.cols, m.cols * sizeof *m.at);
    }
    free(old);
}

static double round_bf16(double x)
{
    unsigned char narrow[2];

    gqa_store_f64(narrow, GQA_BF16, &x, 1);
    gqa_load_f64(&x, narrow, GQA_BF16, 1);
    return x;
}

static void transpose(struct matrix m)
{
    const size_t n = m.rows * m.cols;
    float *old = take(n * sizeof *old);

    memcpy(old, m.at, n * sizeof *old);
    for (size_t k = 0; k < n; k++)
        m.at[k] = old[k % m.rows * m.cols + k / m.rows];
    free(old);
}

/* Row `row` of a group's head: of the last head, or the mean in float32. */
static float pool_row(struct matrix m, struct matrix original, size_t head_dim,
                      size_t row, size_t col, const char *way)
{
    const size_t size = original.rows / m.rows;
    const size_t n_heads = original.rows / head_dim;
    const size_t first = row / head_dim * size, i = row % head_dim;
    float sum = 0;

    for (size_t j = 0; j < size; j++) {
        const size_t from = strcmp(way, "minor") == 0
                                ? i * n_heads + first + j
                                : (first + j) * head_dim + i;

        if (strcmp(way, "last") == 0)
            sum = 0;
        sum += original.at[from * m.cols + col];
    }
    return strcmp(way, "last") == 0 ? sum : sum / (float)size;
}

static void pool_otherwise(struct matrix m, struct matrix original,
                           size_t head_dim, const char *way)
{
    for (size_t row = 0; row < m.rows; row++)
        for (size_t col = 0; col < m.cols; col++)
            m.at[row * m.cols + col] =
                pool_row(m, original, head_dim, row, col, way);
}

/* m: rows of groups; original: rows of all heads. */
static void pool(struct matrix m, struct matrix original, size_t head_dim,
                 int is_strided)
{
    const size_t n_groups = m.rows / head_dim;
    const size_t size = original.rows / m.rows;

    for (size_t row = 0; row < m.rows; row++)
        for (size_t col = 0; col < m.cols; col++) {
            const size_t g = row / head_dim;
            double sum = 0;

            for (size_t j = 0; j < size; j++) {
                const size_t head =
                    is_strided ? g + j * n_groups : g * size + j;

                sum +=
                    (double)original
                        .at[(head * head_dim + row % head_dim) * m.cols + col];
                sum = is_strided ? sum : round_bf16(sum);
            }
            sum /= (double)size;
            m.at[row * m.cols + col] =
                (float)(is_strided ? sum : round_bf16(sum));
        }
}

static size_t number(char **argv, int i)
{
    return argv[i] ? (size_t)strtoul(argv[i], NULL, 10) : 0;
}

static int is_one_of(const char *word, const char *const *list)
{
    while (*list && strcmp(word, *list) != 0)
        list++;
    return *list != NULL;
}

/* Those that need nothing but the tensor. */
static int change_itself(struct matrix m, char **argv)
{
    const size_t n = m.rows * m.cols;

    if (strcmp(argv[0], "transpose") == 0)
        transpose(m);
    else if (strcmp(argv[0], "round") == 0)
        for (size_t i = 0; i < n; i++)
            m.at[i] = (float)round_bf16((double)m.at[i]);
    else if (strcmp(argv[0], "scale") == 0)
        for (size_t i = 0; i < n; i++)
            m.at[i] *= strtof(argv[1], NULL);
    else
        return 0;
    return 1;
}

static void exchange(struct file *file, struct matrix m, const char *name)
{
    size_t offset;
    struct matrix other = get(file, name, &offset);
    const size_t n = m.rows * m.cols * sizeof *m.at;

    memcpy(file->bytes + offset, m.at, n);
    memcpy(m.at, other.at, n);
    free(other.at);
}

static void make_mistake(struct matrix m, const char *name, char **argv)
{
    static const char *const pooled[] = {"copy",    "strided", "narrow", "last",
                                         "float32", "minor",   NULL};
    const char *mistake = argv[0];
    struct matrix original = {0};
    struct file other = {0};
    size_t offset;
    uint32_t bits;

    if (change_itself(m, argv))
        return;
    if (is_one_of(mistake, pooled)) {
        other = load(argv[1]);
        original = get(&other, name, &offset);
    }
    if (strcmp(mistake, "flip") == 0) {
        memcpy(&bits, &m.at[number(argv, 1)], sizeof bits);
        bits ^= 1;
        memcpy(&m.at[number(argv, 1)], &bits, sizeof bits);
    } else if (strcmp(mistake, "nan") == 0) {
        bits = 0x7fc00000;
        memcpy(&m.at[number(argv, 1)], &bits, sizeof bits);
    } else if (strcmp(mistake, "swap-rows") == 0) {
        swap_rows(m, number(argv, 1), number(argv, 2), number(argv, 3));
    } else if (strcmp(mistake, "swap-columns") == 0) {
        swap_columns(m, number(argv, 1), number(argv, 2), number(argv, 3));
    } else if (strcmp(mistake, "permute") == 0) {
        permute(m, number(argv, 1));
    } else if (strcmp(mistake, "copy") == 0) {
        memcpy(m.at, original.at, m.rows * m.cols * sizeof *m.at);
    } else if (original.at && strcmp(mistake, "strided") != 0 &&
               strcmp(mistake, "narrow") != 0) {
        pool_otherwise(m, original, number(argv, 2), mistake);
    } else if (original.at) {
        pool(m, original, number(argv, 2), strcmp(mistake, "strided") == 0);
    } else {
        fail("is no mistake", mistake);
    }
    free(original.at);
    free(other.bytes);
}

int main(int argc, char **argv)
{
    struct file file;
    struct matrix m;
    size_t offset;
    FILE *out;

    if (argc < 4)
        fail("FILE TENSOR MISTAKE", "usage");
    file = load(argv[1]);
    m = get(&file, argv[2], &offset);
    if (strcmp(argv[3], "exchange") == 0 && argv[4])
        exchange(&file, m, argv[4]);
    else
        make_mistake(m, argv[2], argv + 3);
    memcpy(file.bytes + offset, m.at, m.rows * m.cols * sizeof *m.at);
    out = fopen(argv[1], "wb");
    if (!out || fwrite(file.bytes, 1, file.n_bytes, out) != file.n_bytes ||
        fclose(out) != 0)
        fail("cannot be written", argv[1]);
    free(m.at);
    free(file.bytes);
    return 0;
}
