#include "runtime/data/token_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/checked.h"
#include "common/file.h"
#include "common/interrupt.h"
#include "common/strings.h"
#include "formats/safetensors/reader.h"
#include "formats/source.h"
#include "runtime/data/npy.h"

/* Far beyond any test set, and what is held in memory while it is read. */
#define MAX_FILE_BYTES (UINT64_C(1) << 30)

static uint64_t at_most(uint64_t n, uint64_t max)
{
    return max > 0 && max < n ? max : n;
}

static bool integer_type(enum gqa_dtype dtype, bool *is_signed)
{
    *is_signed = dtype == GQA_I8 || dtype == GQA_I16 || dtype == GQA_I32 ||
                 dtype == GQA_I64;
    return *is_signed || dtype == GQA_BOOL || dtype == GQA_U8 ||
           dtype == GQA_U16 || dtype == GQA_U32 || dtype == GQA_U64;
}

static const struct gqa_tensor *find(const struct gqa_source *source,
                                     const char *name, size_t *index)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        if (strcmp(source->tensors[i].name, name) == 0) {
            *index = i;
            return &source->tensors[i];
        }
    return NULL;
}

/* values stay NULL where there is no such tensor. */
static enum gqa_status load_tensor(struct gqa_int_matrix *out,
                                   struct gqa_source *source, const char *name)
{
    struct gqa_span span = {.count = 1};
    const struct gqa_tensor *tensor;
    enum gqa_status st;
    size_t index;
    bool is_signed;
    void *bytes;

    if (!(tensor = find(source, name, &index)))
        return GQA_OK;
    if (!integer_type(tensor->dtype, &is_signed))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "'%s' is %s, not of integers",
                        name, gqa_dtype_name(tensor->dtype));
    if (tensor->rank < 1 || tensor->rank > 2)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' has %u dimensions, not [n, len] or [len]", name,
                        tensor->rank);
    if (tensor->n_bytes > MAX_FILE_BYTES)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "'%s' is larger than 1 GiB", name);
    out->rows = tensor->rank == 2 ? tensor->shape[0] : 1;
    out->cols = tensor->shape[tensor->rank - 1];
    bytes = malloc(tensor->n_bytes ? tensor->n_bytes : 1);
    if (!bytes)
        return gqa_fail_nomem();
    span.piece = span.stride = tensor->n_bytes;
    st = tensor->n_bytes > 0 ? source->ops->read(source, index, &span, bytes)
                             : GQA_OK;
    if (st == GQA_OK)
        st = gqa_load_integers(&out->values, bytes, tensor->n_elements,
                               gqa_dtype_bits(tensor->dtype) / 8, is_signed);
    free(bytes);
    return st;
}

/* How many tokens of a row are real: its mask is ones, then zeros. */
static enum gqa_status masked_length(uint64_t *n,
                                     const struct gqa_int_matrix *mask,
                                     uint64_t row)
{
    const int64_t *m = mask->values + row * mask->cols;
    uint64_t length = 0;

    while (length < mask->cols && m[length] == 1)
        length++;
    for (uint64_t i = length; i < mask->cols; i++)
        if (m[i] != 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "attention_mask is not ones and then zeros: pad "
                            "on the right");
    *n = length;
    return GQA_OK;
}

/* labels and mask: values NULL where there are none. */
static enum gqa_status add_rows(struct gqa_tokens *tokens,
                                const struct gqa_token_rules *rules,
                                const struct gqa_int_matrix *ids,
                                const struct gqa_int_matrix *labels,
                                const struct gqa_int_matrix *mask,
                                uint64_t max_sequences)
{
    const uint64_t n = at_most(ids->rows, max_sequences);
    enum gqa_status st = GQA_OK;

    if (labels->values && labels->rows != ids->rows)
        return gqa_fail(
            GQA_ERR_FORMAT, "labels of %llu sequences, input_ids of %llu",
            (unsigned long long)labels->rows, (unsigned long long)ids->rows);
    if (labels->values && !rules->is_encoder_decoder &&
        labels->cols != ids->cols)
        return gqa_fail(
            GQA_ERR_FORMAT,
            "labels of %llu columns, input_ids of %llu: of a model without an "
            "encoder they have one shape",
            (unsigned long long)labels->cols, (unsigned long long)ids->cols);
    if (mask->values && (mask->rows != ids->rows || mask->cols != ids->cols))
        return gqa_fail(GQA_ERR_FORMAT,
                        "attention_mask does not have the shape of input_ids");
    for (uint64_t r = 0; r < n && st == GQA_OK; r++) {
        const int64_t *said =
            labels->values ? labels->values + r * labels->cols : NULL;
        uint64_t length = ids->cols;

        if (mask->values)
            st = masked_length(&length, mask, r);
        if (st == GQA_OK)
            st = gqa_tokens_add(
                tokens, rules, ids->values + r * ids->cols, length, said,
                rules->is_encoder_decoder ? labels->cols : length);
        if (st != GQA_OK)
            return gqa_fail_prefix(st, "sequence %llu", (unsigned long long)r);
    }
    return st;
}

static enum gqa_status read_safetensors(struct gqa_tokens *tokens, int *fd,
                                        uint64_t size, const char *path,
                                        const struct gqa_token_rules *rules,
                                        uint64_t max_sequences)
{
    struct gqa_int_matrix ids = {0}, labels = {0}, mask = {0};
    struct gqa_source *source = NULL;
    enum gqa_status st;

    st = gqa_safetensors_open(
        &source,
        &(const struct gqa_file_handle){.path = path, .fd = *fd, .size = size});
    *fd = -1; /* the source's from here on */
    if (st == GQA_OK)
        st = load_tensor(&ids, source, "input_ids");
    if (st == GQA_OK && !ids.values)
        st = gqa_fail(GQA_ERR_FORMAT, "it holds no tensor 'input_ids'");
    if (st == GQA_OK)
        st = load_tensor(&labels, source, "labels");
    if (st == GQA_OK)
        st = load_tensor(&mask, source, "attention_mask");
    if (st == GQA_OK)
        st = add_rows(tokens, rules, &ids, &labels, &mask, max_sequences);
    free(ids.values);
    free(labels.values);
    free(mask.values);
    gqa_source_close(source);
    return st;
}

static enum gqa_status read_npy(struct gqa_tokens *tokens, const char *bytes,
                                size_t n_bytes,
                                const struct gqa_token_rules *rules,
                                uint64_t max_sequences)
{
    const struct gqa_int_matrix none = {0};
    struct gqa_int_matrix ids = {0};
    enum gqa_status st = gqa_npy_parse(&ids, bytes, n_bytes);

    if (st == GQA_OK)
        st = add_rows(tokens, rules, &ids, &none, &none, max_sequences);
    free(ids.values);
    return st;
}

/* One number at *at, and what parts it from the next. */
static bool take_number(const char **at, const char *end, int64_t *out)
{
    const bool negative = *at < end && **at == '-';
    const char *p = *at + (negative ? 1 : 0);
    const char *start = p;
    int64_t value = 0;

    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (value > INT32_MAX)
            return false;
        value = value * 10 + (*p - '0');
    }
    if (p == start || (p < end && !strchr(" \t\r,|", *p)))
        return false;
    *out = negative ? -value : value;
    *at = p;
    return true;
}

/* Numbers of a line into ids, labels behind a '|' into labels. */
static enum gqa_status parse_line(const char *at, const char *end, int64_t *ids,
                                  uint64_t *n_ids, int64_t *labels,
                                  uint64_t *n_labels, bool *has_labels)
{
    *n_ids = *n_labels = 0;
    *has_labels = false;
    while (at < end) {
        if (*at && strchr(" \t\r,", *at)) {
            at++;
        } else if (*at == '|' && !*has_labels) {
            *has_labels = true;
            at++;
        } else if (!take_number(&at, end,
                                *has_labels ? &labels[*n_labels]
                                            : &ids[*n_ids])) {
            return gqa_fail(GQA_ERR_FORMAT,
                            "not a safetensors or .npy file, nor a line of "
                            "token numbers");
        } else if (*has_labels) {
            ++*n_labels;
        } else {
            ++*n_ids;
        }
    }
    return GQA_OK;
}

static enum gqa_status read_numbers(struct gqa_tokens *tokens, const char *text,
                                    size_t n_bytes,
                                    const struct gqa_token_rules *rules,
                                    uint64_t max_sequences)
{
    /* A number takes two bytes, with what parts it from the next. */
    int64_t *ids = calloc(n_bytes / 2 + 1, sizeof *ids);
    int64_t *labels = calloc(n_bytes / 2 + 1, sizeof *labels);
    enum gqa_status st = ids && labels ? GQA_OK : gqa_fail_nomem();
    const char *const end = text + n_bytes;
    uint64_t line = 0;

    text += gqa_utf8_mark(text, n_bytes);
    while (st == GQA_OK && text < end &&
           (max_sequences == 0 || tokens->n < max_sequences)) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        uint64_t n_ids, n_labels;
        bool has_labels;

        stop = stop ? stop : end;
        line++;
        st =
            parse_line(text, stop, ids, &n_ids, labels, &n_labels, &has_labels);
        if (st == GQA_OK && (n_ids > 0 || has_labels))
            st = gqa_tokens_add(tokens, rules, ids, n_ids,
                                has_labels ? labels : NULL, n_labels);
        if (st != GQA_OK)
            st = gqa_fail_prefix(st, "line %llu", (unsigned long long)line);
        else if (gqa_interrupt_pending())
            st = gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        text = stop + 1;
    }
    free(ids);
    free(labels);
    return st;
}

static enum gqa_status slurp(char **out, int fd, uint64_t size)
{
    enum gqa_status st;

    if (size > MAX_FILE_BYTES)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "more than 1 GiB of tokens");
    if (!(*out = malloc(size ? size : 1)))
        return gqa_fail_nomem();
    if ((st = gqa_file_read(fd, *out, size, 0)) != GQA_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

enum gqa_status gqa_tokens_read(struct gqa_tokens *tokens, const char *path,
                                const struct gqa_token_rules *rules,
                                uint64_t max_sequences)
{
    char start[8] = {0};
    char *bytes = NULL;
    enum gqa_status st;
    uint64_t size;
    int fd;

    if ((st = gqa_file_open(&fd, &size, path)) != GQA_OK)
        return st;
    st = gqa_file_read(fd, start, size < sizeof start ? size : sizeof start, 0);
    if (st == GQA_OK && size >= sizeof start &&
        memcmp(start, "\x93NUMPY", 6) != 0 && memchr(start, '\0', 8)) {
        /* The length of a safetensors header, 8 bytes, has zeros; text has
         * none. */
        st = read_safetensors(tokens, &fd, size, path, rules, max_sequences);
    } else if (st == GQA_OK && (st = slurp(&bytes, fd, size)) == GQA_OK) {
        st = start[0] == (char)0x93
                 ? read_npy(tokens, bytes, size, rules, max_sequences)
                 : read_numbers(tokens, bytes, size, rules, max_sequences);
    }
    if (st == GQA_OK && tokens->n == 0)
        st = gqa_fail(GQA_ERR_FORMAT, "it holds no sequence of tokens");
    if (st == GQA_OK && !gqa_tokens_any_counted(tokens))
        st = gqa_fail(GQA_ERR_FORMAT, "labels: all are -100");
    free(bytes);
    if (fd >= 0)
        close(fd);
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", path);
}
