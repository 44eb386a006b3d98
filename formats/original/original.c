#include "formats/original/original.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/architecture.h"
#include "formats/original/params.h"
#include "formats/rectangles.h"

struct original {
    struct gqa_source base;
    struct gqa_source *inner; /* its tensors in the same order */
    /* [base.n_tensors] Rows are paired as llama.cpp has them, too. */
    struct gqa_gguf_place *places;
};

/* '%' stands for a layer's number. */
static const struct {
    const char *theirs, *ours;
    char heads; /* of q or k: whose rows are paired; 0: none */
} names[] = {
    {"tok_embeddings.weight", "model.embed_tokens.weight", 0},
    {"norm.weight", "model.norm.weight", 0},
    {"output.weight", "lm_head.weight", 0},
    {"layers.%.attention_norm.weight", "model.layers.%.input_layernorm.weight",
     0},
    {"layers.%.ffn_norm.weight",
     "model.layers.%.post_attention_layernorm.weight", 0},
    {"layers.%.attention.wq.weight", "model.layers.%.self_attn.q_proj.weight",
     'q'},
    {"layers.%.attention.wk.weight", "model.layers.%.self_attn.k_proj.weight",
     'k'},
    {"layers.%.attention.wv.weight", "model.layers.%.self_attn.v_proj.weight",
     0},
    {"layers.%.attention.wo.weight", "model.layers.%.self_attn.o_proj.weight",
     0},
    {"layers.%.feed_forward.w1.weight", "model.layers.%.mlp.gate_proj.weight",
     0},
    {"layers.%.feed_forward.w2.weight", "model.layers.%.mlp.down_proj.weight",
     0},
    {"layers.%.feed_forward.w3.weight", "model.layers.%.mlp.up_proj.weight", 0},
    /* Buffers of Llama 2 and of the first, which their classes make anew. */
    {"rope.freqs", "model.rotary_emb.inv_freq", 0},
    {"layers.%.attention.inner_attention.rope.freqs",
     "model.layers.%.self_attn.rotary_emb.inv_freq", 0},
};

static const struct gqa_tensor *find(const struct gqa_source *source,
                                     const char *name)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        if (strcmp(source->tensors[i].name, name) == 0)
            return &source->tensors[i];
    return NULL;
}

bool gqa_original_is(const struct gqa_source *source)
{
    return find(source, "tok_embeddings.weight") &&
           find(source, "layers.0.attention.wq.weight");
}

/* --- Reading -------------------------------------------------------------- */

struct reading {
    struct original *o;
    size_t index;
    uint64_t row_bytes, element_bytes;
};

/* As many rows at once as lie at one distance: half a head. */
static enum gqa_status read_rectangle(void *ctx, const struct gqa_rectangle *a,
                                      unsigned char *out)
{
    const struct reading *r = ctx;
    const struct gqa_gguf_place *p = &r->o->places[r->index];
    enum gqa_status st = GQA_OK;
    uint64_t n;

    for (uint64_t i = 0; i < a->n_rows && st == GQA_OK; i += n) {
        const uint64_t first = gqa_gguf_row(p, a->row + i);
        struct gqa_span span = {
            first * r->row_bytes + a->column * r->element_bytes,
            a->n_columns * r->element_bytes, 2 * r->row_bytes, 1};

        for (n = 1; i + n < a->n_rows &&
                    gqa_gguf_row(p, a->row + i + n) == first + 2 * n;)
            n++;
        span.count = n;
        st = r->o->inner->ops->read(r->o->inner, r->index, &span, out);
        out += n * span.piece;
    }
    return st;
}

static enum gqa_status original_read(struct gqa_source *source, size_t index,
                                     const struct gqa_span *span, void *buf)
{
    struct original *o = (struct original *)source;
    const struct gqa_tensor *t = &source->tensors[index];
    struct reading reading = {o, index, 0, gqa_dtype_bits(t->dtype) / 8};

    if (o->places[index].order == GQA_GGUF_AS_IT_IS)
        return o->inner->ops->read(o->inner, index, span, buf);
    reading.row_bytes = t->shape[1] * reading.element_bytes;
    return gqa_rectangles_read(
        &(const struct gqa_rows){t->shape[1], reading.element_bytes,
                                 read_rectangle, &reading},
        span, buf);
}

static void original_close(struct gqa_source *source)
{
    struct original *o = (struct original *)source;

    gqa_source_close(o->inner);
    free(o->places);
    gqa_source_clear(source);
    free(o);
}

static const struct gqa_source_ops original_ops = {original_read,
                                                   original_close};

/* --- Making --------------------------------------------------------------- */

static bool fits(const char *name, const char *pattern, int *n_digits)
{
    const char *percent = strchr(pattern, '%');
    const size_t before = percent ? (size_t)(percent - pattern) : 0;

    if (!percent)
        return strcmp(name, pattern) == 0;
    if (strncmp(name, pattern, before) != 0)
        return false;
    *n_digits = (int)strspn(name + before, "0123456789");
    return *n_digits > 0 && strcmp(name + before + *n_digits, percent + 1) == 0;
}

static char *rename_tensor(const char *name, char *heads)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *percent = strchr(names[i].ours, '%');
        int n_digits = 0;
        char *ours;

        if (!fits(name, names[i].theirs, &n_digits))
            continue;
        *heads = names[i].heads;
        if (!percent)
            return strdup(names[i].ours);
        return asprintf(&ours, "%.*s%.*s%s", (int)(percent - names[i].ours),
                        names[i].ours, n_digits,
                        name + strcspn(names[i].theirs, "%"), percent + 1) < 0
                   ? NULL
                   : ours;
    }
    return strdup(name);
}

static enum gqa_status add_tensor(struct original *o,
                                  const struct gqa_original_shape *s,
                                  const struct gqa_tensor *from)
{
    struct gqa_tensor *t = &o->base.tensors[o->base.n_tensors];
    struct gqa_gguf_place *p = &o->places[o->base.n_tensors];
    char heads = 0;

    *t = *from;
    t->name = rename_tensor(from->name, &heads);
    if (!t->name)
        return gqa_fail_nomem();
    o->base.n_tensors++;
    if (heads == 0)
        return GQA_OK;
    p->order = GQA_GGUF_PAIRED;
    p->n_heads = heads == 'q' ? s->n_heads : s->n_kv_heads;
    p->head_dim = s->head_dim;
    if (t->rank == 2 && t->shape[0] % p->n_heads == 0 &&
        t->shape[0] / p->n_heads == p->head_dim)
        return GQA_OK;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s does not have the rows of %" PRIu64 " heads of %" PRIu64
                    ", as if it were one of several parts of a model: give the "
                    "folder, or the first of them, with all beside it",
                    from->name, p->n_heads, p->head_dim);
}

static struct gqa_original_sizes sizes_of(const struct gqa_source *source)
{
    const struct gqa_tensor *gate =
        find(source, "layers.0.feed_forward.w1.weight");

    return (struct gqa_original_sizes){
        find(source, "tok_embeddings.weight")->shape[0],
        gate ? gate->shape[0] : 0, source->n_tensors,
        !find(source, "output.weight")};
}

/* All but the source itself, which stays the caller's where it fails. */
static enum gqa_status fill(struct original *o, const json_t *params,
                            bool has_config)
{
    struct gqa_original_shape s;
    struct gqa_original_sizes sizes;
    enum gqa_status st = gqa_original_read_shape(&s, params);

    if (st != GQA_OK)
        return st;
    o->base.tensors = calloc(o->inner->n_tensors, sizeof *o->base.tensors);
    o->places = calloc(o->inner->n_tensors, sizeof *o->places);
    o->base.path = strdup(o->inner->path);
    if (!o->base.tensors || !o->places || !o->base.path)
        return gqa_fail_nomem();
    for (size_t i = 0; i < o->inner->n_tensors; i++) {
        st = add_tensor(o, &s, &o->inner->tensors[i]);
        if (st != GQA_OK)
            return st;
    }
    if (has_config)
        return GQA_OK;
    sizes = sizes_of(o->inner);
    return gqa_original_make_config(&o->base.config, params, &s, &sizes);
}

enum gqa_status gqa_original_wrap(struct gqa_source **source,
                                  const json_t *params, bool has_config)
{
    struct original *o = calloc(1, sizeof *o);
    enum gqa_status st;

    if (!o)
        return gqa_fail_nomem();
    o->inner = *source;
    o->base.ops = &original_ops;
    o->base.format = o->inner->format;
    o->base.naming = GQA_NAMES_TORCH;
    o->base.metadata = json_incref(o->inner->metadata);
    o->base.file_bytes = o->inner->file_bytes;
    o->base.content_bytes = o->inner->content_bytes;
    st = fill(o, params, has_config);
    if (st == GQA_OK) {
        *source = &o->base;
        return GQA_OK;
    }
    o->inner = NULL; /* the caller's */
    original_close(&o->base);
    return st;
}
