#include "formats/gguf/draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/strings.h"
#include "common/ull.h"
#include "formats/families/family.h"
#include "formats/gguf/agree.h"
#include "formats/gguf/experts.h"
#include "formats/gguf/keys.h"
#include "formats/gguf/layer_numbers.h"
#include "formats/gguf/pattern.h"
#include "formats/gguf/scaling.h"
#include "formats/gguf/vocabulary.h"

#define OUTPUT "output.weight"

/* A tensor of the output that will be there, by its name there. */
struct named {
    char *name; /* owned; of all experts, where it is one of them */
    uint64_t expert;
    bool is_expert;
    enum gqa_gguf_order order;
    size_t index; /* of the output's tensors */
};

struct named_list {
    struct named *items;
    size_t n;
};

uint64_t gqa_gguf_padded(uint64_t n_bytes)
{
    return (n_bytes + GQA_GGUF_ALIGNMENT - 1) / GQA_GGUF_ALIGNMENT *
           GQA_GGUF_ALIGNMENT;
}

/* --- Names ---------------------------------------------------------------- */

static const struct gqa_gguf_name *find_ours(
    const struct gqa_gguf_architecture *a, const char *name,
    struct gqa_gguf_numbers *found)
{
    for (const struct gqa_gguf_name *n = a->names; n->theirs; n++)
        if (n->ours && gqa_gguf_fits(name, n->ours, found))
            return n;
    return NULL;
}

/* What one tensor of ours becomes at most */
enum { MAX_SLICES = 3 };

/* A model without its head is written without its prefix. *n_out is how many
 * names out receives, which the caller frees, on an error too: 0 for what has
 * no place there. */
static enum gqa_status name_theirs(struct named out[MAX_SLICES], size_t *n_out,
                                   const struct gqa_gguf_architecture *a,
                                   const struct gqa_family *family,
                                   const char *name)
{
    char *whole = NULL;
    struct gqa_gguf_numbers found;
    const struct gqa_gguf_name *n = find_ours(a, name, &found);
    enum gqa_status st = GQA_OK;

    if (!n && *family->names.prefixes[0]) {
        if (asprintf(&whole, "%s%s", family->names.prefixes[0], name) < 0) {
            *n_out = 0;
            return gqa_fail_nomem();
        }
        n = find_ours(a, whole, &found);
    }
    *n_out = n ? gqa_gguf_n_slices(n->order) : 0;
    for (size_t i = 0; i < *n_out; i++) {
        out[i].name = gqa_gguf_make_name(n[i].theirs, &found);
        out[i].order = n[i].order;
        if (!out[i].name)
            st = gqa_fail_nomem();
    }
    free(whole);
    return st;
}

static enum gqa_status name_expert(struct named *out)
{
    char *all;
    const enum gqa_status st =
        gqa_gguf_experts_name(&all, &out->expert, out->name);

    if (!all)
        return st;
    free(out->name);
    out->name = all;
    out->is_expert = true;
    return GQA_OK;
}

static void clear_named(struct named_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i].name);
    free(list->items);
}

/* Layers by their numbers. */
static int compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    const int order = strverscmp(x->name, y->name);

    return order ? order : (x->expert > y->expert) - (x->expert < y->expert);
}

static const struct named *find_named(const struct named_list *list,
                                      const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

/* Where llama.cpp demands it, a tied model has the embedding twice. */
static enum gqa_status copy_embedding(struct named_list *list,
                                      const struct gqa_gguf_architecture *a)
{
    const struct named *embedding = find_named(list, "token_embd.weight");
    bool is_demanded = false;

    for (const char *const *p = a->demanded; p && *p; p++)
        is_demanded |= strcmp(*p, OUTPUT) == 0;
    if (!is_demanded || !embedding || find_named(list, OUTPUT))
        return GQA_OK;
    list->items[list->n] = *embedding;
    list->items[list->n].name = strdup(OUTPUT);
    return list->items[list->n++].name ? GQA_OK : gqa_fail_nomem();
}

static enum gqa_status name_all(struct named_list *out,
                                const struct gqa_gguf_architecture *a,
                                const struct gqa_output *output)
{
    const struct gqa_family *family = output->options->model->family;
    enum gqa_status st = GQA_OK;

    /* And the embedding once more. */
    out->items =
        calloc(MAX_SLICES * (output->n_tensors + 1) + 1, sizeof *out->items);
    if (!out->items)
        return gqa_fail_nomem();
    for (size_t i = 0; i < output->n_tensors && st == GQA_OK; i++) {
        const struct gqa_output_tensor *t = &output->tensors[i];
        struct named *item = &out->items[out->n];
        size_t n, layer;

        if (t->part != GQA_OUTPUT_WEIGHT ||
            gqa_gguf_layer_number_find(&layer, a, family, t->name))
            continue;
        st = name_theirs(item, &n, a, family, t->name);
        for (size_t k = 0; k < n; k++)
            item[k].index = i;
        out->n += n;
        if (st == GQA_OK && n == 0)
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "'%s' has no place in a GGUF file of the "
                          "architecture %s",
                          t->name, a->name);
        if (st == GQA_OK && a->is_mixture)
            st = name_expert(item);
    }
    if (st == GQA_OK)
        st = copy_embedding(out, a);
    if (st == GQA_OK && out->n > 1)
        qsort(out->items, out->n, sizeof *out->items, compare_named);
    return st;
}

/* --- The architecture ----------------------------------------------------- */

static bool is_of_type(const struct gqa_gguf_architecture *a, const char *type)
{
    bool is = strcmp(a->model_type, type) == 0;

    for (const char *const *also = a->also; also && *also && !is; also++)
        is = strcmp(*also, type) == 0;
    return is;
}

const struct gqa_gguf_architecture *gqa_gguf_architecture_of(const char *type)
{
    for (const struct gqa_gguf_architecture *a = gqa_gguf_architectures;
         type && a->name; a++)
        if (is_of_type(a, type))
            return a;
    return NULL;
}

static enum gqa_status is_marked(bool *is,
                                 const struct gqa_gguf_architecture *a,
                                 const struct gqa_output *output)
{
    *is = !a->marked;
    for (size_t i = 0; i < output->n_tensors && !*is; i++) {
        struct named named[MAX_SLICES];
        size_t n;
        const enum gqa_status st =
            name_theirs(named, &n, a, output->options->model->family,
                        output->tensors[i].name);

        for (size_t k = 0; k < n; k++) {
            *is |= named[k].name && strcmp(named[k].name, a->marked) == 0;
            free(named[k].name);
        }
        if (st != GQA_OK)
            return st;
    }
    return GQA_OK;
}

static bool is_first_of_type(const struct gqa_gguf_architecture *a)
{
    return gqa_gguf_architecture_of(a->model_type) == a;
}

/* Types that llama.cpp has a name for, and that are not written. */
static const struct {
    const char *model_type, *why;
} unwritten[] = {
    {"gptj", "llama.cpp has a name for such models, and computes none"},
    {"phimoe", "llama.cpp computes other norms, and chooses experts otherwise"},
};

struct listed {
    char text[1024];
    size_t used;
};

static void list_type(struct listed *l, const char *type)
{
    if (l->used < sizeof l->text)
        l->used += (size_t)snprintf(l->text + l->used, sizeof l->text - l->used,
                                    "%s%s", l->used ? ", " : "", type);
}

/* The model types that there are names and keys of. */
static enum gqa_status refuse_type(const char *type)
{
    struct listed list = {.used = 0};

    for (size_t i = 0; type && i < sizeof unwritten / sizeof *unwritten; i++)
        if (strcmp(type, unwritten[i].model_type) == 0)
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "a model of the type %s cannot be written as GGUF: "
                            "%s",
                            type, unwritten[i].why);

    for (const struct gqa_gguf_architecture *a = gqa_gguf_architectures;
         a->name; a++) {
        if (!is_first_of_type(a))
            continue;
        list_type(&list, a->model_type);
        for (const char *const *also = a->also; also && *also; also++)
            list_type(&list, *also);
    }
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "a model of the type %s cannot be written as GGUF; models "
                    "of these types can: %s",
                    type ? type : "that nothing tells", list.text);
}

static enum gqa_status find_architecture(
    const struct gqa_gguf_architecture **out, const struct gqa_output *output)
{
    const struct gqa_model *model = output->options->model;
    bool is = false;

    if (model->within)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a model that is a part of another ('%s') cannot be "
                        "written as GGUF; write a folder",
                        model->within);
    for (*out = gqa_gguf_architectures; model->model_type && (*out)->name;
         ++*out) {
        enum gqa_status st;

        if (!is_of_type(*out, model->model_type))
            continue;
        if ((st = is_marked(&is, *out, output)) != GQA_OK)
            return st;
        if (is)
            return GQA_OK;
    }
    return refuse_type(model->model_type);
}

/* Where layers differ in KV heads, there may be another that takes them. */
static enum gqa_status choose_by_layer(const struct gqa_gguf_architecture **a,
                                       const struct gqa_output *output)
{
    const char *name = (*a)->by_layer;

    if (output->options->n_kv_heads > 0)
        return GQA_OK;
    for (const struct gqa_gguf_architecture *other = gqa_gguf_architectures;
         name && other->name; other++)
        if (strcmp(other->name, name) == 0) {
            *a = other;
            return GQA_OK;
        }
    return output->options->allow_hybrid
               ? GQA_OK
               : gqa_fail(GQA_ERR_USAGE,
                          "its layers would differ in KV heads, which "
                          "llama.cpp does not take in the architecture %s: "
                          "give one number, or --expand or --allow-hybrid",
                          (*a)->name);
}

/* --- Tensors -------------------------------------------------------------- */

/* What llama.cpp wants in float32, whatever else is. */
static bool is_wide(const char *name, unsigned rank)
{
    return rank < 2 || gqa_ends_with(name, ".bias") ||
           gqa_ends_with(name, "_norm.weight") ||
           gqa_ends_with(name, "ffn_gate_inp.weight") ||
           gqa_ends_with(name, "ffn_gate_inp_shexp.weight") ||
           strcmp(name, "position_embd.weight") == 0;
}

static enum gqa_status choose_type(const struct gqa_gguf_type **out,
                                   const struct gqa_output_tensor *t,
                                   const char *name)
{
    enum { F32 = 0, F16 = 1, BF16 = 30 };

    if (t->dtype != GQA_F32 && t->dtype != GQA_F16 && t->dtype != GQA_BF16)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is %s, which is not written as GGUF; give "
                        "--dtype f32, f16 or bf16",
                        t->name, gqa_dtype_name(t->dtype));
    *out = gqa_gguf_type_find(is_wide(name, t->rank) ? F32
                              : t->dtype == GQA_F16  ? F16
                              : t->dtype == GQA_BF16 ? BF16
                                                     : F32);
    return GQA_OK;
}

/* Its size, behind those before it. */
static enum gqa_status place_tensor(struct gqa_gguf_draft *d,
                                    struct gqa_gguf_tensor *t)
{
    const enum gqa_status st = gqa_gguf_tensor_count(t);

    if (st != GQA_OK)
        return st;
    t->offset = d->data_bytes;
    if (!gqa_dtype_bytes(t->type->dtype, t->n_elements, &t->n_bytes) ||
        !gqa_add_u64(t->offset, t->n_bytes + GQA_GGUF_ALIGNMENT,
                     &d->data_bytes) ||
        d->data_bytes > INT64_MAX)
        return gqa_fail(GQA_ERR_FORMAT,
                        "the tensors are larger than a file can be");
    d->data_bytes = t->offset + gqa_gguf_padded(t->n_bytes);
    return GQA_OK;
}

static enum gqa_status check_experts(const struct named *items, size_t n,
                                     const struct gqa_output *output)
{
    const struct gqa_output_tensor *first = &output->tensors[items->index];

    for (size_t i = 0; i < n; i++) {
        const struct gqa_output_tensor *t = &output->tensors[items[i].index];

        if (items[i].expert != i || t->dtype != first->dtype ||
            t->rank != first->rank || t->n_bytes != first->n_bytes ||
            memcmp(t->shape, first->shape, t->rank * sizeof *t->shape) != 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "'%s' does not make one tensor with the other "
                            "experts",
                            t->name);
    }
    return GQA_OK;
}

/* Where its rows lie, by what reading says of such a tensor. */
static enum gqa_status find_place(struct gqa_gguf_draft *d, size_t i,
                                  const struct named *item)
{
    char *ours = NULL;
    enum gqa_status st;

    if (item->is_expert)
        return GQA_OK;
    st = gqa_gguf_tensor_place(&ours, &d->pieces[i].place, d->architecture,
                               &d->header, &d->header.tensors[i]);
    free(ours);
    return st;
}

/* Of a matrix, or of each expert's, half of the rows. */
static bool halve_rows(struct gqa_gguf_tensor *t)
{
    uint64_t *rows = &t->shape[t->rank - 2];
    const bool fits = *rows % 2 == 0;

    *rows /= 2;
    return fits;
}

static bool take_row(struct gqa_gguf_tensor *t)
{
    const bool fits = t->rank == 2 && t->shape[0] == 1;

    t->rank = 1;
    t->shape[0] = t->shape[1];
    return fits;
}

/* Queries, or keys, or values, of all three. */
static bool take_third(struct gqa_gguf_tensor *t, enum gqa_gguf_order order,
                       const struct gqa_model *model)
{
    const uint64_t queries =
        gqa_model_n_heads(model) * model->attentions[0].head_dim;
    const bool fits = t->rank == 2 && t->shape[0] > queries &&
                      (t->shape[0] - queries) % 2 == 0;

    t->shape[0] =
        gqa_gguf_slice(order) == 0 ? queries : (t->shape[0] - queries) / 2;
    return fits;
}

/* One tensor, of `n` that have its name. */
static enum gqa_status add_tensor(struct gqa_gguf_draft *d, struct named *items,
                                  size_t n, const struct gqa_output *output)
{
    const struct gqa_output_tensor *from = &output->tensors[items->index];
    struct gqa_gguf_tensor *t = &d->header.tensors[d->header.n];
    struct gqa_gguf_piece *piece = &d->pieces[d->header.n];
    const unsigned more = items->is_expert ? 1 : 0;
    enum gqa_status st;

    if (!items->is_expert && n > 1)
        return gqa_fail(GQA_ERR_FORMAT, "two tensors would be %s", items->name);
    if (from->rank + more > GQA_GGUF_MAX_RANK)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' has %u dimensions; GGUF has at most %d",
                        from->name, from->rank + more, GQA_GGUF_MAX_RANK);
    piece->parts = calloc(n, sizeof *piece->parts);
    t->name = strdup(items->name);
    d->header.n++;
    if (!piece->parts || !t->name)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++)
        piece->parts[i] = items[i].index;
    piece->n_parts = n;
    piece->dtype = from->dtype;
    if ((st = check_experts(items, items->is_expert ? n : 0, output)) !=
            GQA_OK ||
        (st = choose_type(&t->type, from, t->name)) != GQA_OK)
        return st;
    t->rank = from->rank + more;
    if (items->is_expert)
        t->shape[0] = n;
    for (unsigned i = 0; i < from->rank; i++)
        t->shape[more + i] =
            from->shape[items->order == GQA_GGUF_TURNED ? from->rank - 1 - i
                                                        : i];
    if (gqa_gguf_is_half(items->order) &&
        (t->rank < 2 || t->rank > 3 || !halve_rows(t)))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is not a matrix of two halves, nor one for each "
                        "expert",
                        from->name);
    if (items->order == GQA_GGUF_ROW && !take_row(t))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "'%s' is not a row", from->name);
    if (gqa_gguf_n_slices(items->order) == 3 &&
        !take_third(t, items->order, output->options->model))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is not a matrix of queries, keys and values",
                        from->name);
    return place_tensor(d, t);
}

static enum gqa_status add_tensors(struct gqa_gguf_draft *d,
                                   struct named_list *list,
                                   const struct gqa_output *output)
{
    enum gqa_status st = GQA_OK;
    size_t n;

    /* And those of the scaling of RoPE */
    d->header.tensors =
        calloc(list->n + GQA_GGUF_SCALING_TENSORS, sizeof *d->header.tensors);
    d->pieces = calloc(list->n + GQA_GGUF_SCALING_TENSORS, sizeof *d->pieces);
    if (!d->header.tensors || !d->pieces)
        return gqa_fail_nomem();
    for (size_t i = 0; i < list->n && st == GQA_OK; i += n) {
        n = 1;
        while (i + n < list->n &&
               strcmp(list->items[i].name, list->items[i + n].name) == 0)
            n++;
        st = add_tensor(d, &list->items[i], n, output);
    }
    return st;
}

static enum gqa_status find_places(struct gqa_gguf_draft *d,
                                   const struct named_list *list)
{
    enum gqa_status st = GQA_OK;
    size_t k = 0;

    for (size_t i = 0; i < d->header.n && st == GQA_OK; i++) {
        st = find_place(d, i, &list->items[k]);
        k += d->pieces[i].n_parts;
    }
    return st;
}

/* --- What llama.cpp refuses ----------------------------------------------- */

static bool has_fitting(const struct gqa_gguf_header *h, const char *pattern)
{
    struct gqa_gguf_numbers found;

    for (size_t i = 0; i < h->n; i++)
        if (gqa_gguf_fits(h->tensors[i].name, pattern, &found))
            return true;
    return false;
}

/* Of any attention, in an encoder too. */
static bool has_fewer_kv_heads(const struct gqa_gguf_header *h,
                               const struct gqa_attention *like)
{
    static const char *const keys[] = {
        "blk.%.attn_k.weight", "enc.blk.%.attn_k.weight",
        "dec.blk.%.attn_k.weight", "dec.blk.%.cross_attn_k.weight"};
    struct gqa_gguf_numbers found;

    for (size_t i = 0; i < h->n; i++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (gqa_gguf_fits(h->tensors[i].name, keys[k], &found) &&
                h->tensors[i].shape[0] != like->n_heads * like->head_dim)
                return true;
    return false;
}

static const char *name_of(enum gqa_position_scheme positions)
{
    return positions == GQA_POSITION_ROPE    ? "RoPE"
           : positions == GQA_POSITION_ALIBI ? "ALiBi"
                                             : "no positions";
}

static enum gqa_status check_depth(const struct gqa_gguf_architecture *a,
                                   const struct gqa_model *model)
{
    const enum gqa_position_scheme ours = model->attentions[0].position.scheme;
    enum gqa_position_scheme theirs = GQA_POSITION_NONE;

    for (const struct gqa_gguf_depth *d = a->depths; d && d->n_layers; d++)
        if (d->n_layers == model->n_layers)
            theirs = d->positions;
    return !a->depths || ours == theirs
               ? GQA_OK
               : gqa_fail(GQA_ERR_UNSUPPORTED,
                          "by its %llu layers llama.cpp takes a model of the "
                          "architecture %s for one with %s, and this has %s",
                          ULL(model->n_layers), a->name, name_of(theirs),
                          name_of(ours));
}

static enum gqa_status check_windows(const struct gqa_gguf_architecture *a,
                                     const struct gqa_output *output)
{
    const struct gqa_model *model = output->options->model;
    uint64_t window = 0;
    const enum gqa_status st = gqa_gguf_keys_window(&window, output);

    if (st != GQA_OK || a->slides_at == 0 ||
        (window > 0) == (model->n_layers == a->slides_at))
        return st;
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "by its %llu layers llama.cpp takes a model of the "
                    "architecture %s for one with%s layers that see a window",
                    ULL(model->n_layers), a->name, window > 0 ? "out" : "");
}

static enum gqa_status check_loaded(const struct gqa_gguf_draft *d,
                                    const struct gqa_output *output)
{
    const struct gqa_gguf_architecture *a = d->architecture;
    const struct gqa_model *model = output->options->model;
    const struct gqa_attention *first = model->attentions;
    enum gqa_status st;

    if (!a->has_head_dim && first->n_heads * first->head_dim != model->d_model)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%llu heads of %llu do not make the stream's %llu, "
                        "which llama.cpp takes for granted in the architecture "
                        "%s",
                        ULL(first->n_heads), ULL(first->head_dim),
                        ULL(model->d_model), a->name);

    if (a->has_all_heads && has_fewer_kv_heads(&d->header, first))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "llama.cpp takes no fewer KV heads than the %llu "
                        "heads in the architecture %s",
                        ULL(first->n_heads), a->name);
    if (a->head_norms_from > 0 &&
        has_fitting(&d->header, "blk.%.attn_q_norm.weight") !=
            (model->n_layers >= a->head_norms_from))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "by its %llu layers llama.cpp takes a model of the "
                        "architecture %s for one with%s norms of heads",
                        ULL(model->n_layers), a->name,
                        model->n_layers < a->head_norms_from ? "out" : "");
    if ((st = check_depth(a, model)) != GQA_OK ||
        (st = check_windows(a, output)) != GQA_OK)
        return st;
    for (const char *const *p = a->unloaded; p && *p; p++)
        if (has_fitting(&d->header, *p))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the model would have %s as GGUF, which llama.cpp "
                            "has no place for in the architecture %s",
                            *p, a->name);
    for (const char *const *p = a->demanded; p && *p; p++)
        if (!has_fitting(&d->header, *p))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the model would have no %s as GGUF, which "
                            "llama.cpp demands in the architecture %s",
                            *p, a->name);
    return GQA_OK;
}

/* --- The whole ------------------------------------------------------------ */

enum gqa_status gqa_gguf_draft_create(struct gqa_gguf_draft *d,
                                      const struct gqa_output *output)
{
    struct named_list list = {0};
    enum gqa_status st;

    memset(d, 0, sizeof *d);
    st = find_architecture(&d->architecture, output);
    if (st == GQA_OK)
        st = choose_by_layer(&d->architecture, output);
    if (st == GQA_OK)
        st = name_all(&list, d->architecture, output);
    if (st == GQA_OK)
        st = add_tensors(d, &list, output);
    if (st == GQA_OK)
        st = check_loaded(d, output);
    if (st == GQA_OK)
        st = gqa_gguf_keys_create(d, output);
    if (st == GQA_OK)
        st = gqa_gguf_layer_numbers_add(d, output);
    if (st == GQA_OK)
        st = find_places(d, &list);
    if (st == GQA_OK)
        st = gqa_gguf_agree(d, output);
    if (st == GQA_OK)
        st = gqa_gguf_scaling_add(d, output);
    if (st == GQA_OK)
        st = gqa_gguf_vocabulary_add(d, output);
    clear_named(&list);
    return st;
}

void gqa_gguf_draft_clear(struct gqa_gguf_draft *d)
{
    for (size_t i = 0; i < d->header.n; i++) {
        free(d->pieces[i].parts);
        free(d->pieces[i].values);
    }
    free(d->pieces);
    free(d->pairs);
    gqa_gguf_header_clear(&d->header);
}
