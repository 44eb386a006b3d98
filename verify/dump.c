#include "verify/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "formats/safetensors/header_write.h"
#include "verify/whole_file.h"

struct shape {
    uint64_t n, length, vocab_size;
    uint64_t n_bytes; /* of the logits of one model */
};

static enum gqa_status measure(struct shape *shape,
                               const struct gqa_tokens *tokens,
                               uint64_t vocab_size)
{
    *shape = (struct shape){.n = tokens->n, .vocab_size = vocab_size};
    for (size_t i = 0; i < tokens->n; i++)
        if (tokens->sequences[i].n_decoder > shape->length)
            shape->length = tokens->sequences[i].n_decoder;
    if (!gqa_mul_u64(shape->n, shape->length, &shape->n_bytes) ||
        !gqa_mul_u64(shape->n_bytes, vocab_size, &shape->n_bytes) ||
        !gqa_mul_u64(shape->n_bytes, sizeof(float), &shape->n_bytes) ||
        shape->n_bytes > INT64_MAX / 4)
        return gqa_fail(GQA_ERR_USAGE, "too many logits to write");
    return GQA_OK;
}

/* lengths, logits, original.logits: the order of their data. */
static enum gqa_status write_header(FILE *out, const struct shape *s)
{
    const uint64_t lengths[] = {s->n};
    const uint64_t logits[] = {s->n, s->length, s->vocab_size};
    const struct gqa_output_tensor tensors[] = {
        {"lengths", GQA_I64, 1, lengths, s->n * sizeof(int64_t)},
        {"logits", GQA_F32, 3, logits, s->n_bytes},
        {"original.logits", GQA_F32, 3, logits, s->n_bytes},
    };
    const size_t order[] = {0, 1, 2};
    struct gqa_st_text header;
    const enum gqa_status st =
        gqa_st_text_create(&header, tensors, order, 3, NULL);

    if (st != GQA_OK)
        return st;
    fwrite(header.bytes, 1, header.n_bytes, out);
    gqa_st_text_free(&header);
    return GQA_OK;
}

static void write_lengths(FILE *out, const struct gqa_tokens *tokens)
{
    for (size_t s = 0; s < tokens->n; s++)
        for (unsigned i = 0; i < 8; i++)
            fputc((int)(tokens->sequences[s].n_decoder >> 8 * i & 0xff), out);
}

static enum gqa_status write_logits(FILE *out, struct gqa_trace *trace,
                                    const struct gqa_tokens *tokens,
                                    const struct shape *shape)
{
    const size_t v = shape->vocab_size;
    double *values = calloc(v, sizeof *values);
    float *row = calloc(v, sizeof *row);
    enum gqa_status st = values && row ? GQA_OK : gqa_fail_nomem();

    for (uint64_t s = 0; s < shape->n && st == GQA_OK; s++)
        for (uint64_t p = 0; p < shape->length && st == GQA_OK; p++) {
            memset(row, 0, v * sizeof *row);
            if (p < tokens->sequences[s].n_decoder) {
                st = gqa_trace_logits(trace, s, p, 1, values);
                gqa_store_f64(row, GQA_F32, values, v);
            }
            fwrite(row, sizeof *row, v, out);
        }
    free(values);
    free(row);
    return st;
}

enum gqa_status gqa_dump_logits(struct gqa_whole_file *out, const char *path,
                                struct gqa_trace *original,
                                struct gqa_trace *converted,
                                const struct gqa_tokens *tokens,
                                uint64_t vocab_size)
{
    struct gqa_whole_file file;
    struct shape shape;
    enum gqa_status st = measure(&shape, tokens, vocab_size);

    if (st == GQA_OK)
        st = gqa_whole_file_begin(&file, path);
    if (st != GQA_OK)
        return st;
    st = write_header(file.stream, &shape);
    write_lengths(file.stream, tokens);
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
