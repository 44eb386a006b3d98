#include "formats/llama2c/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/formats.h"
#include "formats/gguf/rows.h"
#include "formats/llama2c/layout.h"

/* The header of version 1: mark, version, the numbers, whether the unembedding
 * is the embedding, zeros. */
enum { HEADER_BYTES = 256, TIED_AT = 8 + GQA_LLAMA2C_NUMBERS };

struct llama2c {
    struct gqa_source base;
    int fd;
    /* [base.n_tensors] Rows are paired as llama.cpp has them, too. */
    struct gqa_gguf_rows *rows;
};

static enum gqa_status llama2c_read(struct gqa_source *source, size_t index,
                                    const struct gqa_span *span, void *buf)
{
    const struct llama2c *l = (const struct llama2c *)source;
    const enum gqa_status st =
        gqa_gguf_rows_read(&l->rows[index], &l->fd, span, buf);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "tensor %s", source->tensors[index].name);
    return GQA_OK;
}

static void llama2c_close(struct gqa_source *source)
{
    struct llama2c *l = (struct llama2c *)source;

    close(l->fd);
    free(l->rows);
    gqa_source_clear(source);
    free(l);
}

static const struct gqa_source_ops llama2c_ops = {llama2c_read, llama2c_close};

static char *make_name(const char *pattern, uint64_t layer)
{
    const char *percent = strchr(pattern, '%');
    char *name;

    if (!percent)
        return strdup(pattern);
    return asprintf(&name, "%.*s%" PRIu64 "%s", (int)(percent - pattern),
                    pattern, layer, percent + 1) < 0
               ? NULL
               : name;
}

static enum gqa_status add_tensor(struct llama2c *l,
                                  const struct gqa_llama2c_array *a,
                                  uint64_t layer, uint64_t offset)
{
    struct gqa_tensor *t = &l->base.tensors[l->base.n_tensors];
    struct gqa_gguf_rows *r = &l->rows[l->base.n_tensors];

    t->name = make_name(a->name, layer);
    if (!t->name)
        return gqa_fail_nomem();
    l->base.n_tensors++;
    t->dtype = GQA_F32;
    t->rank = a->rows > 0 ? 2 : 1;
    t->shape[0] = a->rows > 0 ? a->rows : a->columns;
    t->shape[1] = a->rows > 0 ? a->columns : 0;
    t->n_elements = (a->rows > 0 ? a->rows : 1) * a->columns;
    t->n_bytes = 4 * t->n_elements;
    r->type = gqa_gguf_type_find(0);
    r->offset = offset;
    r->length = a->columns;
    r->n_rows = a->rows > 0 ? a->rows : 1;
    r->n_elements = t->n_elements;
    if (a->n_paired_heads > 0) {
        r->place.order = GQA_GGUF_PAIRED;
        r->place.n_heads = a->n_paired_heads;
        r->place.head_dim = a->rows / a->n_paired_heads;
    }
    return GQA_OK;
}

/* Bytes of an array of one layer; the numbers are small enough. */
static uint64_t array_bytes(const struct gqa_llama2c_array *a)
{
    return 4 * (a->rows > 0 ? a->rows : 1) * a->columns;
}

static enum gqa_status check_size(const struct gqa_llama2c_array *arrays,
                                  size_t n, const struct gqa_llama2c_shape *s,
                                  uint64_t at, uint64_t size)
{
    for (size_t i = 0; i < n; i++)
        at +=
            array_bytes(&arrays[i]) * (arrays[i].is_by_layer ? s->n_layers : 1);
    if (at == size)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "as a file of llama2.c, of width %" PRIu64 ", %" PRIu64
                    " layers and %" PRIu64 " heads, it would have %" PRIu64
                    " bytes; it has %" PRIu64,
                    s->d_model, s->n_layers, s->n_heads, at, size);
}

static enum gqa_status add_arrays(struct llama2c *l,
                                  const struct gqa_llama2c_array *arrays,
                                  size_t n, uint64_t n_layers, uint64_t at)
{
    const size_t most = n * (size_t)n_layers + 1;

    l->base.tensors = calloc(most, sizeof *l->base.tensors);
    l->rows = calloc(most, sizeof *l->rows);
    if (!l->base.tensors || !l->rows)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        for (uint64_t k = 0; k < (arrays[i].is_by_layer ? n_layers : 1); k++) {
            const enum gqa_status st =
                arrays[i].name ? add_tensor(l, &arrays[i], k, at) : GQA_OK;

            if (st != GQA_OK)
                return st;
            at += array_bytes(&arrays[i]);
        }
    return GQA_OK;
}

static enum gqa_status make_config(struct llama2c *l,
                                   const struct gqa_llama2c_shape *s)
{
    l->base.config = json_pack(
        "{s:s, s:[s], s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:s, s:b}",
        "model_type", "llama", "architectures", "LlamaForCausalLM",
        "hidden_size", (json_int_t)s->d_model, "intermediate_size",
        (json_int_t)s->d_ff, "num_hidden_layers", (json_int_t)s->n_layers,
        "num_attention_heads", (json_int_t)s->n_heads, "num_key_value_heads",
        (json_int_t)s->n_kv_heads, "vocab_size", (json_int_t)s->vocab_size,
        "max_position_embeddings", (json_int_t)s->n_positions, "rms_norm_eps",
        1e-5, "rope_theta", 10000.0, "hidden_act", "silu",
        "tie_word_embeddings", s->is_tied);
    return l->base.config ? GQA_OK : gqa_fail_nomem();
}

static enum gqa_status read_shape(struct gqa_llama2c_shape *s, int fd,
                                  uint64_t at, uint64_t size)
{
    unsigned char numbers[GQA_LLAMA2C_NUMBERS];
    enum gqa_status st;

    if (size < at + sizeof numbers)
        return gqa_fail(GQA_ERR_FORMAT,
                        "a file of llama2.c, cut off in its header");
    if ((st = gqa_file_read(fd, numbers, sizeof numbers, at)) != GQA_OK)
        return st;
    return gqa_llama2c_shape_read(s, numbers)
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT,
                          "a file of llama2.c with numbers that no model has");
}

/* What only the newer header says. */
static enum gqa_status read_version(struct gqa_llama2c_shape *s, int fd,
                                    uint64_t size)
{
    unsigned char header[TIED_AT + 1];
    enum gqa_status st;

    if (size < HEADER_BYTES)
        return gqa_fail(GQA_ERR_FORMAT,
                        "a file of llama2.c, cut off in its header");
    if ((st = gqa_file_read(fd, header, sizeof header, 0)) != GQA_OK)
        return st;
    if (memcmp(header + 4, "\1\0\0\0", 4) != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "version %d of llama2.c's files, which is quantised; "
                        "export it as 0 or 1: python3 export.py OUT --version "
                        "1 --checkpoint FILE",
                        header[4]);
    st = read_shape(s, fd, 8, size);
    s->is_tied = header[TIED_AT] != 0;
    return st;
}

static enum gqa_status read_file(struct llama2c *l, bool is_bare)
{
    struct gqa_llama2c_array arrays[GQA_LLAMA2C_MAX_ARRAYS];
    const uint64_t size = l->base.file_bytes;
    const uint64_t at = is_bare ? GQA_LLAMA2C_NUMBERS : HEADER_BYTES;
    struct gqa_llama2c_shape s;
    enum gqa_status st = is_bare ? read_shape(&s, l->fd, 0, size)
                                 : read_version(&s, l->fd, size);
    size_t n;

    if (st != GQA_OK)
        return st;
    n = gqa_llama2c_arrays(arrays, &s, is_bare ? 0 : 1);
    if ((st = check_size(arrays, n, &s, at, size)) != GQA_OK)
        return st;
    st = add_arrays(l, arrays, n, s.n_layers, at);
    return st == GQA_OK ? make_config(l, &s) : st;
}

static enum gqa_status open_file(struct gqa_source **out,
                                 const struct gqa_file_handle *file,
                                 bool is_bare)
{
    enum gqa_status st;
    struct llama2c *l = calloc(1, sizeof *l);

    if (!l) {
        close(file->fd);
        return gqa_fail_nomem();
    }
    l->base.ops = &llama2c_ops;
    l->base.format = &gqa_format_llama2c;
    l->base.naming = GQA_NAMES_TORCH;
    l->base.file_bytes = l->base.content_bytes = file->size;
    l->fd = file->fd;
    l->base.path = strdup(file->path);
    st = l->base.path ? read_file(l, is_bare) : gqa_fail_nomem();
    if (st != GQA_OK) {
        llama2c_close(&l->base);
        return st;
    }
    *out = &l->base;
    return GQA_OK;
}

enum gqa_status gqa_llama2c_open(struct gqa_source **out,
                                 const struct gqa_file_handle *file)
{
    return open_file(out, file, false);
}

enum gqa_status gqa_llama2c_bare_open(struct gqa_source **out,
                                      const struct gqa_file_handle *file)
{
    return open_file(out, file, true);
}
