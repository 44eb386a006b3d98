#include "verify/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/checked.h"
#include "common/whole_file.h"
#include "formats/safetensors/header_write.h"

struct shape {
    uint64_t n, length, n_outputs;
    const char *names[2]; /* of what both models give */
    enum gqa_dtype dtype; /* of the logits */
    uint64_t n_bytes;     /* of the logits of one model */
    uint64_t n_input;     /* tokens of the longest input */
    bool is_encoder_decoder, has_labels;
};

/* What goes into the encoder, or into a model without one. */
static const int32_t *input_of(uint64_t *n, const struct gqa_sequence *s)
{
    *n = s->encoder ? s->n_encoder : s->n_decoder;
    return s->encoder ? s->encoder : s->decoder;
}

static enum gqa_status measure(struct shape *shape,
                               const struct gqa_tokens *tokens,
                               const struct gqa_trace *trace,
                               enum gqa_dtype dtype)
{
    const bool has_logits = gqa_trace_has_logits(trace);

    *shape =
        (struct shape){.n = tokens->n,
                       .n_outputs = gqa_trace_n_outputs(trace),
                       .names = {has_logits ? "logits" : "last_hidden_state",
                                 has_logits ? "original.logits"
                                            : "original.last_hidden_state"},
                       .dtype = dtype};
    for (size_t i = 0; i < tokens->n; i++) {
        const struct gqa_sequence *s = &tokens->sequences[i];
        uint64_t n;

        input_of(&n, s);
        shape->length = gqa_max_u64(shape->length, s->n_decoder);
        shape->n_input = gqa_max_u64(shape->n_input, n);
        shape->is_encoder_decoder |= s->encoder != NULL;
        /* What follows the last is masked only where labels were given. */
        shape->has_labels |=
            s->encoder || s->next[s->n_decoder - 1] == GQA_NOT_COUNTED;
    }
    if (!gqa_mul_u64(shape->n, shape->length, &shape->n_bytes) ||
        !gqa_mul_u64(shape->n_bytes, shape->n_outputs, &shape->n_bytes) ||
        !gqa_mul_u64(shape->n_bytes, gqa_dtype_bits(dtype) / 8,
                     &shape->n_bytes) ||
        shape->n_bytes > INT64_MAX / 4)
        return gqa_fail(GQA_ERR_USAGE, "too many logits to write");
    return GQA_OK;
}

/* In the order of their data; labels are the last of the integers, as they
 * may be missing. */
static enum gqa_status write_header(FILE *out, const struct shape *s)
{
    const uint64_t lengths[] = {s->n};
    const uint64_t input[] = {s->n, s->n_input};
    const uint64_t labels[] = {s->n, s->length};
    const uint64_t logits[] = {s->n, s->length, s->n_outputs};
    const uint64_t n_input = s->n * s->n_input * sizeof(int64_t);
    const uint64_t n_labels = s->n * s->length * sizeof(int64_t);
    const struct gqa_output_tensor tensors[] = {
        {"lengths", GQA_I64, 1, lengths, s->n * sizeof(int64_t),
         GQA_OUTPUT_WEIGHT},
        {"input_ids", GQA_I64, 2, input, n_input, GQA_OUTPUT_WEIGHT},
        {"attention_mask", GQA_I64, 2, input, n_input, GQA_OUTPUT_WEIGHT},
        {"labels", GQA_I64, 2, labels, n_labels, GQA_OUTPUT_WEIGHT},
        {s->names[0], s->dtype, 3, logits, s->n_bytes, GQA_OUTPUT_WEIGHT},
        {s->names[1], s->dtype, 3, logits, s->n_bytes, GQA_OUTPUT_WEIGHT},
    };
    const size_t with_labels[] = {0, 1, 2, 3, 4, 5};
    const size_t without[] = {0, 1, 2, 4, 5};
    struct gqa_st_text header;
    const enum gqa_status st = gqa_st_text_create(
        &header, tensors, s->has_labels ? with_labels : without,
        s->has_labels ? 6 : 5, NULL);

    if (st != GQA_OK)
        return st;
    fwrite(header.bytes, 1, header.n_bytes, out);
    gqa_st_text_free(&header);
    return GQA_OK;
}

static void write_integer(FILE *out, int64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        fputc((int)((uint64_t)value >> 8 * i & 0xff), out);
}

static void write_lengths(FILE *out, const struct gqa_tokens *tokens)
{
    for (size_t s = 0; s < tokens->n; s++)
        write_integer(out, (int64_t)tokens->sequences[s].n_decoder);
}

static void write_input(FILE *out, const struct gqa_tokens *tokens,
                        uint64_t width, bool mask)
{
    for (size_t s = 0; s < tokens->n; s++) {
        uint64_t n;
        const int32_t *ids = input_of(&n, &tokens->sequences[s]);

        for (uint64_t i = 0; i < width; i++)
            write_integer(out, i >= n ? 0 : mask ? 1 : ids[i]);
    }
}

/* As gqa_tokens_add() takes them. */
static void write_labels(FILE *out, const struct gqa_tokens *tokens,
                         const struct shape *shape)
{
    const uint64_t shift = shape->is_encoder_decoder ? 0 : 1;

    for (size_t s = 0; s < tokens->n; s++) {
        const struct gqa_sequence *q = &tokens->sequences[s];

        for (uint64_t i = 0; i < shape->length; i++) {
            const bool has_label = i >= shift && i - shift < q->n_decoder;
            const int32_t label =
                has_label ? q->next[i - shift] : GQA_NOT_COUNTED;

            write_integer(out, label < 0 ? GQA_LABEL_IGNORED : label);
        }
    }
}

static enum gqa_status write_logits(FILE *out, struct gqa_trace *trace,
                                    const struct gqa_tokens *tokens,
                                    const struct shape *shape)
{
    const size_t v = shape->n_outputs;
    double *values = calloc(v, sizeof *values);
    const size_t size = gqa_dtype_bits(shape->dtype) / 8;
    void *row = calloc(v, size);
    enum gqa_status st = values && row ? GQA_OK : gqa_fail_nomem();

    for (uint64_t s = 0; s < shape->n && st == GQA_OK; s++)
        for (uint64_t p = 0; p < shape->length && st == GQA_OK; p++) {
            memset(row, 0, v * size);
            if (p < tokens->sequences[s].n_decoder) {
                st = gqa_trace_logits(trace, s, p, 1, values);
                gqa_store_f64(row, shape->dtype, values, v);
            }
            fwrite(row, size, v, out);
        }
    free(values);
    free(row);
    return st;
}

enum gqa_status gqa_dump_logits(struct gqa_whole_file *out, const char *path,
                                struct gqa_trace *original,
                                struct gqa_trace *converted,
                                const struct gqa_tokens *tokens,
                                enum gqa_dtype dtype)
{
    struct gqa_whole_file file;
    struct shape shape;
    enum gqa_status st = measure(&shape, tokens, original, dtype);

    if (st == GQA_OK)
        st = gqa_whole_file_begin(&file, path, true);
    if (st != GQA_OK)
        return st;
    st = write_header(file.stream, &shape);
    write_lengths(file.stream, tokens);
    write_input(file.stream, tokens, shape.n_input, false);
    write_input(file.stream, tokens, shape.n_input, true);
    if (shape.has_labels)
        write_labels(file.stream, tokens, &shape);
    if (st == GQA_OK)
        st = write_logits(file.stream, converted, tokens, &shape);
    if (st == GQA_OK)
        st = write_logits(file.stream, original, tokens, &shape);
    if (st == GQA_OK && (fflush(file.stream) != 0 || ferror(file.stream)))
        st = gqa_fail_errno("%s: cannot be written", path);
    if (st != GQA_OK)
        return gqa_whole_file_end(&file, st);
    *out = file;
    return GQA_OK;
}
