#include "convert/plan.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/order.h"
#include "common/ull.h"
#include "common/units.h"
#include "formats/families/family.h"
#include "formats/model/regroup.h"

const char *gqa_method_name(enum gqa_method method)
{
    static const char *const names[] = {
        [GQA_METHOD_MEAN] = "mean",
        [GQA_METHOD_FIRST] = "first",
        [GQA_METHOD_RANDOM] = "random",
        [GQA_METHOD_ALIGNED] = "aligned",
    };

    return names[method];
}

/* --- How many KV heads each attention keeps ------------------------------ */

static unsigned selection_bit(const struct gqa_attention *a)
{
    if (a->stack == GQA_STACK_ENCODER)
        return GQA_SELECT_ENCODER;
    return a->kind == GQA_ATTENTION_SELF ? GQA_SELECT_DECODER_SELF
                                         : GQA_SELECT_DECODER_CROSS;
}

bool gqa_plan_selects(const struct gqa_plan_options *options,
                      const struct gqa_attention *a)
{
    return (options->attentions & selection_bit(a)) != 0;
}

/* The KV heads asked for, or 0 where attention `index` is to stay as it is. */
static uint64_t asked_of(const struct gqa_plan_options *options,
                         const struct gqa_attention *a, size_t index)
{
    if (!gqa_plan_selects(options, a))
        return 0;
    if (options->no_pooling)
        return a->n_kv_heads;
    if (options->chosen)
        return options->chosen[index];
    for (size_t i = 0; i < options->n_layer_groups; i++) {
        const struct gqa_layer_groups *l = &options->layer_groups[i];

        if (a->layer >= l->first && a->layer <= l->last)
            return l->asked;
    }
    return options->asked;
}

/* "1, 2, 4, 8, 16" */
static void list_possible(char *out, size_t size, const struct gqa_attention *a)
{
    size_t length = 0;

    out[0] = '\0';
    for (uint64_t d = 1; d <= a->n_kv_heads; d++) {
        int added;

        if (!gqa_attention_can_have(a, d))
            continue;
        added = snprintf(out + length, size - length, "%s%llu",
                         length ? ", " : "", ULL(d));
        if (added < 0 || (size_t)added >= size - length)
            return;
        length += (size_t)added;
    }
}

static enum gqa_status plan_attention(struct gqa_plan_attention *out,
                                      const struct gqa_plan_options *options,
                                      const struct gqa_attention *a,
                                      size_t index)
{
    const uint64_t asked = asked_of(options, a, index);
    char possible[256];

    out->attention = a;
    out->selected = asked != 0;
    out->source = a->n_kv_heads;
    out->pooled = asked ? asked : out->source;
    out->written = options->in_place          ? out->source
                   : options->expand && asked ? a->n_heads
                                              : out->pooled;
    if (asked && !gqa_layout_takes(a->layout, asked))
        return gqa_fail(GQA_ERR_USAGE,
                        "%llu groups: the heads of the %s %s-attention of "
                        "layer %llu lie in %d blocks, and only multiples of "
                        "that are possible",
                        ULL(asked), gqa_stack_name(a->stack),
                        gqa_attention_kind_name(a->kind), ULL(a->layer),
                        (int)GQA_HEAD_BLOCKS);
    if (asked == 0 || (asked <= out->source && out->source % asked == 0))
        return GQA_OK;
    list_possible(possible, sizeof possible, a);
    return gqa_fail(GQA_ERR_USAGE,
                    "%llu groups do not divide the %llu KV heads of %s %s-"
                    "attention, layer %llu; possible are %s",
                    ULL(asked), ULL(out->source), gqa_stack_name(a->stack),
                    gqa_attention_kind_name(a->kind), ULL(a->layer), possible);
}

static bool is_encoder(const struct gqa_model *model)
{
    for (size_t i = 0; i < model->n_attentions; i++)
        if (model->attentions[i].stack != GQA_STACK_ENCODER)
            return false;
    return true;
}

/* What grouping would save: of keys' and values' weights, at most. */
static enum gqa_status refuse_encoder(const struct gqa_model *model)
{
    uint64_t kv = 0, all = 0;

    for (size_t i = 0; i < model->n_params; i++)
        all += model->params[i].n_bytes;
    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];
        const struct gqa_param *p = &model->params[a->k.weight];

        /* A head takes as large a part of a weight as its rows are of all. */
        kv += 2 * a->n_kv_heads * a->head_dim *
              (p->n_bytes / (a->k.axis == 0 ? p->rows : p->cols));
    }
    return gqa_fail(GQA_ERR_USAGE,
                    "the model is an encoder alone, which keeps no KV cache: "
                    "grouping would save less than %s of %s of weights (keys "
                    "and values), and none of a cache; --attention encoder "
                    "does it",
                    gqa_units_bytes((char[GQA_UNITS_MAX]){""}, kv),
                    gqa_units_bytes((char[GQA_UNITS_MAX]){""}, all));
}

/* Layers that --layer-groups names exist. */
static enum gqa_status check_layers(const struct gqa_plan_options *options,
                                    const struct gqa_model *model)
{
    uint64_t n_layers = 0;

    for (size_t i = 0; i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        if (gqa_plan_selects(options, a) && a->layer >= n_layers)
            n_layers = a->layer + 1;
    }
    if (n_layers == 0 && is_encoder(model))
        return refuse_encoder(model);
    if (n_layers == 0)
        return gqa_fail(GQA_ERR_USAGE,
                        "the model has no attention of those that --attention "
                        "selects");
    for (size_t i = 0; i < options->n_layer_groups; i++)
        if (options->layer_groups[i].last >= n_layers)
            return gqa_fail(GQA_ERR_USAGE,
                            "--layer-groups: there is no layer %llu; the model "
                            "has layers 0 to %llu",
                            ULL(options->layer_groups[i].last),
                            ULL(n_layers - 1));
    return GQA_OK;
}

/* --- Segments ------------------------------------------------------------ */

/* A list being filled; one stretch after another. */
struct segments {
    struct gqa_segment *items;
    size_t n, capacity;
    uint64_t length;
};

/* Append, or lengthen the last one where both copy adjoining stretches. */
static enum gqa_status append(struct segments *list, struct gqa_segment s)
{
    struct gqa_segment *last = list->n ? &list->items[list->n - 1] : NULL;

    s.start = list->length;
    list->length += s.length;
    if (last && last->kind == GQA_SEGMENT_COPY && s.kind == GQA_SEGMENT_COPY &&
        last->source + last->length == s.source) {
        last->length += s.length;
        return GQA_OK;
    }
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 8;
        struct gqa_segment *grown =
            reallocarray(list->items, capacity, sizeof *grown);

        if (!grown)
            return gqa_fail_nomem();
        list->items = grown;
        list->capacity = capacity;
    }
    assert(list->items); /* room was made */
    list->items[list->n++] = s;
    return GQA_OK;
}

static enum gqa_status append_copy(struct segments *list, uint64_t source,
                                   uint64_t length)
{
    return append(list, (struct gqa_segment){.kind = GQA_SEGMENT_COPY,
                                             .length = length,
                                             .source = source,
                                             .n_sources = 1});
}

bool gqa_plan_is_aligned(const struct gqa_plan *plan,
                         const struct gqa_plan_attention *out)
{
    return plan->options.method == GQA_METHOD_ALIGNED &&
           (out->pooled < out->source ||
            (plan->options.no_pooling && out->selected));
}

/* Where its heads come from; NULL: from where they are. */
static const uint64_t *heads_of(const struct gqa_plan *plan,
                                const struct gqa_plan_attention *out)
{
    return plan->alignment
               ? plan->alignment->attentions[out - plan->attentions].heads
               : NULL;
}

const double *gqa_plan_mix(const struct gqa_plan *plan,
                           const struct gqa_segment *s)
{
    const struct gqa_transforms *t = &plan->alignment->attentions[s->attention];
    const double *const all[] = {[GQA_MIX_Q] = t->q,
                                 [GQA_MIX_K] = t->k,
                                 [GQA_MIX_V] = t->v,
                                 [GQA_MIX_O] = t->o};

    return all[s->part] + s->head * s->n_sources * s->length * s->length;
}

uint64_t gqa_plan_source(const struct gqa_plan *plan,
                         const struct gqa_segment *s, uint64_t j)
{
    const struct gqa_attention *a = plan->attentions[s->attention].attention;
    const struct gqa_slice *const slices[] = {[GQA_MIX_Q] = &a->q,
                                              [GQA_MIX_K] = &a->k,
                                              [GQA_MIX_V] = &a->v,
                                              [GQA_MIX_O] = &a->o};
    const uint64_t *heads = plan->alignment->attentions[s->attention].heads;
    const bool is_kv = s->part == GQA_MIX_K || s->part == GQA_MIX_V;
    uint64_t head = is_kv ? s->head * s->n_sources + j : s->head;

    if (heads)
        head = is_kv ? heads[head] : gqa_order_query_head(heads, a, head);
    return gqa_slice_head(slices[s->part], a->head_dim, head);
}

const void *gqa_plan_fitted(const struct gqa_plan *plan, size_t param)
{
    const struct gqa_plan_tensor *t = &plan->tensors[param];

    if (!plan->alignment || !t->segments ||
        t->segments[0].kind != GQA_SEGMENT_MIX ||
        t->segments[0].part != GQA_MIX_O)
        return NULL;
    return plan->alignment->attentions[t->segments[0].attention].fitted_o.data;
}

const void *gqa_plan_fitted_head(const struct gqa_plan *plan,
                                 const struct gqa_param *param,
                                 const struct gqa_segment *s)
{
    const struct gqa_transforms *t = &plan->alignment->attentions[s->attention];
    const struct gqa_attention *a = plan->attentions[s->attention].attention;
    const struct gqa_slice *slice = s->part == GQA_MIX_Q   ? &a->q
                                    : s->part == GQA_MIX_K ? &a->k
                                                           : &a->v;
    const char *fitted = s->part == GQA_MIX_Q   ? t->fitted_q.data
                         : s->part == GQA_MIX_K ? t->fitted_k.data
                         : s->part == GQA_MIX_V ? t->fitted_v.data
                                                : NULL;
    const uint64_t inputs = slice->axis == 0 ? param->cols : param->rows;

    /* Biases are not fitted. */
    if (!fitted || param != &plan->model->params[slice->weight])
        return NULL;
    return fitted +
           s->head * s->length * inputs * (gqa_dtype_bits(param->dtype) / 8);
}

/* A head of q, or o's inputs from it, turned to fit the group's; where no heads
 * share, as it was. */
static enum gqa_status append_query_head(struct segments *list,
                                         const struct gqa_plan *plan,
                                         const struct gqa_plan_attention *out,
                                         const struct gqa_slice *slice,
                                         uint64_t head)
{
    const struct gqa_attention *a = out->attention;
    const uint64_t *heads = heads_of(plan, out);
    const uint64_t from = heads ? gqa_order_query_head(heads, a, head) : head;

    if (!gqa_plan_is_aligned(plan, out))
        return append_copy(list, gqa_slice_head(slice, a->head_dim, from),
                           a->head_dim);
    return append(list, (struct gqa_segment){
                            .kind = GQA_SEGMENT_MIX,
                            .length = a->head_dim,
                            .n_sources = 1,
                            .attention = (size_t)(out - plan->attentions),
                            .part = slice == &a->o ? GQA_MIX_O : GQA_MIX_Q,
                            .head = head});
}

/* KV head `head` of the output, from slice k or v of the source. */
static enum gqa_status append_kv_head(struct segments *list,
                                      const struct gqa_plan *plan,
                                      const struct gqa_plan_attention *out,
                                      const struct gqa_slice *slice,
                                      uint64_t head, bool is_bias)
{
    const struct gqa_attention *a = out->attention;
    const uint64_t group = head / (out->written / out->pooled);
    const uint64_t n_sources = out->source / out->pooled;
    const uint64_t *heads = heads_of(plan, out);
    struct gqa_segment s = {
        .length = a->head_dim,
        .source = gqa_slice_head(slice, a->head_dim,
                                 heads ? heads[group * n_sources]
                                       : group * n_sources),
        .source_stride = gqa_slice_stride(slice, a->head_dim),
        .n_sources = 1,
    };

    if (gqa_plan_is_aligned(plan, out)) {
        s.kind = GQA_SEGMENT_MIX;
        s.n_sources = n_sources;
        s.attention = (size_t)(out - plan->attentions);
        s.part = slice == &a->v ? GQA_MIX_V : GQA_MIX_K;
        s.head = group;
    } else if (n_sources == 1 || plan->options.method == GQA_METHOD_FIRST) {
        s.kind = GQA_SEGMENT_COPY;
    } else if (plan->options.method == GQA_METHOD_MEAN) {
        s.kind = GQA_SEGMENT_MEAN;
        s.n_sources = n_sources;
    } else {
        s.kind = is_bias ? GQA_SEGMENT_ZERO : GQA_SEGMENT_RANDOM;
        s.stream = 2 * group + (slice == &a->v);
    }
    s.has_norm = a->full_norms && slice == &a->k && n_sources > 1;
    if (s.has_norm)
        s.attention = (size_t)(out - plan->attentions);
    return append(list, s);
}

/* A head of the output, by where it begins there. */
struct head {
    uint64_t start, number;
    const struct gqa_slice *from; /* q, k or v of the source */
};

static int compare_heads(const void *a, const void *b)
{
    const struct head *x = a;
    const struct head *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

/* All heads of a parameter's output: its keys or values, or of a fused one
 * those and the queries between them. */
static enum gqa_status append_heads(struct segments *list,
                                    const struct gqa_plan *plan,
                                    const struct gqa_plan_attention *out,
                                    size_t param, bool is_bias)
{
    const struct gqa_attention *a = out->attention;
    const struct gqa_attention to = gqa_attention_regrouped(a, out->written);
    const struct gqa_slice *const from_slices[] = {&a->q, &a->k, &a->v};
    const struct gqa_slice *const to_slices[] = {&to.q, &to.k, &to.v};
    struct head *heads = calloc(to.n_heads + 2 * to.n_kv_heads, sizeof *heads);
    enum gqa_status st = heads ? GQA_OK : gqa_fail_nomem();
    size_t n = 0;

    for (int i = 0; i < 3 && heads; i++) {
        const struct gqa_slice *s = to_slices[i];

        for (uint64_t h = 0;
             (is_bias ? s->bias : s->weight) == param && h < s->n_heads; h++)
            heads[n++] = (struct head){gqa_slice_head(s, to.head_dim, h), h,
                                       from_slices[i]};
    }
    if (heads)
        qsort(heads, n, sizeof *heads, compare_heads);
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const uint64_t number = heads[i].number;

        if (heads[i].from != &a->q)
            st =
                append_kv_head(list, plan, out, heads[i].from, number, is_bias);
        else
            st = append_query_head(list, plan, out, &a->q, number);
    }
    free(heads);
    return st;
}

/* --- One parameter ------------------------------------------------------- */

/* In place of those that it had. */
static void set_segments(struct gqa_plan_tensor *t, const struct segments *list)
{
    free(t->segments);
    t->segments = list->items;
    t->n_segments = list->n;
}

/* Give the parameter its segments and the shape they make. */
static enum gqa_status regroup_param(struct gqa_plan *plan,
                                     const struct gqa_plan_attention *out,
                                     size_t index,
                                     const struct gqa_slice *slice,
                                     bool is_bias)
{
    struct gqa_plan_tensor *t = &plan->tensors[index];
    struct segments list = {0};
    enum gqa_status st;

    assert(t->param);
    if (t->param->dtype == GQA_U16 || t->param->dtype == GQA_I16)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is %s, integers of 16 bits; if they are "
                        "bfloat16, say so: give the datasets of an HDF5 file "
                        "the attribute dtype=\"bfloat16\" (h5py: "
                        "dataset.attrs[\"dtype\"] = \"bfloat16\"), or write "
                        "the tensors anew as BF16",
                        t->param->name, gqa_dtype_name(t->param->dtype));
    if (!gqa_dtype_is_float(t->param->dtype))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is %s: integer or quantised keys and values "
                        "cannot be pooled; convert a floating-point checkpoint",
                        t->param->name, gqa_dtype_name(t->param->dtype));
    st = append_heads(&list, plan, out, index, is_bias);
    set_segments(t, &list);
    t->axis = is_bias ? 0 : slice->axis;
    t->shape[t->axis] = list.length;
    if (t->axis == 0)
        t->rows = list.length;
    else
        t->cols = list.length;
    t->deviation = gqa_family_deviation(
        plan->model->family, plan->model->config, plan->model->d_model);
    return st;
}

/* The output projection keeps its shape; each head's inputs are mixed, or come
 * to stand elsewhere. */
static enum gqa_status turn_output(struct gqa_plan *plan,
                                   const struct gqa_plan_attention *out)
{
    const struct gqa_attention *a = out->attention;
    struct gqa_plan_tensor *t = &plan->tensors[a->o.weight];
    struct segments list = {0};
    enum gqa_status st = GQA_OK;

    for (uint64_t h = 0; h < a->n_heads && st == GQA_OK; h++)
        st = append_query_head(&list, plan, out, &a->o, h);
    set_segments(t, &list);
    t->axis = a->o.axis;
    return st;
}

/* The norm of all keys together, of as many heads as there are then. Where
 * heads share, its weights are in the keys. */
static enum gqa_status regroup_norm(struct gqa_plan *plan,
                                    const struct gqa_plan_attention *out)
{
    const struct gqa_attention *a = out->attention;
    struct gqa_plan_tensor *t = &plan->tensors[a->k_norm];
    struct segments list = {0};
    enum gqa_status st = GQA_OK;

    if (!gqa_dtype_is_float(t->param->dtype))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is %s: a norm of keys is of floats",
                        t->param->name, gqa_dtype_name(t->param->dtype));
    if (out->pooled < out->source)
        st = append(&list, (struct gqa_segment){
                               .kind = GQA_SEGMENT_NORM,
                               .length = out->written * a->head_dim,
                               .attention = (size_t)(out - plan->attentions)});
    else
        for (uint64_t h = 0; h < out->written && st == GQA_OK; h++)
            st = append_copy(&list,
                             h / (out->written / out->source) * a->head_dim,
                             a->head_dim);
    set_segments(t, &list);
    t->axis = 0;
    t->shape[0] = t->rows = list.length;
    return st;
}

static enum gqa_status regroup(struct gqa_plan *plan,
                               const struct gqa_plan_attention *out)
{
    const struct gqa_attention *a = out->attention;
    const struct gqa_slice *const slices[] = {&a->k, &a->v, &a->q};
    const bool turned = gqa_plan_is_aligned(plan, out) || heads_of(plan, out);
    /* A fused weight holds both, and perhaps the queries. */
    const int n_kv = a->k.weight == a->v.weight ? 1 : 2;
    enum gqa_status st = turned ? turn_output(plan, out) : GQA_OK;

    if (st != GQA_OK)
        return st;
    for (int i = 0; i < 3; i++) {
        if (i == 2 ? !turned || a->q.weight == a->k.weight : i >= n_kv)
            continue;
        st = regroup_param(plan, out, slices[i]->weight, slices[i], false);
        if (st == GQA_OK && slices[i]->bias != GQA_NO_PARAM)
            st = regroup_param(plan, out, slices[i]->bias, slices[i], true);
        if (st != GQA_OK)
            return st;
    }
    return a->full_norms ? regroup_norm(plan, out) : GQA_OK;
}

/* A buffer or a scale that is rounded is another one. */
static bool changes_dtype(const struct gqa_plan *plan, size_t index)
{
    const struct gqa_plan_options *o = &plan->options;

    return !o->keep_dtype &&
           gqa_dtype_is_float(plan->model->params[index].dtype) &&
           (!o->roles || gqa_role_is_converted(o->roles[index]));
}

static enum gqa_status plan_tensor(struct gqa_plan *plan, size_t index)
{
    const struct gqa_param *param = &plan->model->params[index];
    struct gqa_plan_tensor *t = &plan->tensors[index];

    t->param = param;
    t->dtype = changes_dtype(plan, index) ? plan->options.dtype : param->dtype;
    t->rank = param->rank;
    memcpy(t->shape, param->shape, sizeof t->shape);
    t->rows = param->rows;
    t->cols = param->cols;
    if (gqa_dtype_bits(param->dtype) % 8 != 0 &&
        (param->n_parts > 1 || param->parts[0].transposed))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "'%s' is %s, whose elements are no whole bytes: it "
                        "cannot be transposed",
                        param->name, gqa_dtype_name(param->dtype));
    return GQA_OK;
}

static enum gqa_status fill(struct gqa_plan *plan)
{
    const struct gqa_model *model = plan->model;
    enum gqa_status st;

    if ((st = check_layers(&plan->options, model)) != GQA_OK)
        return st;
    for (size_t i = 0; i < model->n_params; i++)
        if ((st = plan_tensor(plan, i)) != GQA_OK)
            return st;
    for (size_t i = 0; i < model->n_attentions; i++) {
        struct gqa_plan_attention *out = &plan->attentions[i];

        st = plan_attention(out, &plan->options, &model->attentions[i], i);
        if (st == GQA_OK &&
            (out->pooled != out->source || out->written != out->source ||
             gqa_plan_is_aligned(plan, out)))
            st = regroup(plan, out);
        if (st != GQA_OK)
            return st;
    }
    for (size_t i = 0; i < model->n_params; i++) {
        struct gqa_plan_tensor *t = &plan->tensors[i];
        uint64_t n = t->param->n_elements;

        if (t->segments)
            n = t->rows * t->cols;
        if (!gqa_dtype_bytes(t->dtype, n, &t->n_bytes))
            return gqa_fail(GQA_ERR_FORMAT, "'%s' is too large",
                            t->param->name);
    }
    return GQA_OK;
}

enum gqa_status gqa_plan_create(struct gqa_plan **out,
                                const struct gqa_model *model,
                                const struct gqa_plan_options *options)
{
    struct gqa_plan *plan = calloc(1, sizeof *plan);
    enum gqa_status st;

    if (!plan)
        return gqa_fail_nomem();
    plan->model = model;
    plan->options = *options;
    plan->tensors = calloc(model->n_params, sizeof *plan->tensors);
    plan->attentions = calloc(model->n_attentions, sizeof *plan->attentions);
    st = plan->tensors && plan->attentions ? fill(plan) : gqa_fail_nomem();
    if (st != GQA_OK) {
        gqa_plan_free(plan);
        return st;
    }
    *out = plan;
    return GQA_OK;
}

static enum gqa_status move_table(struct gqa_plan *plan,
                                  const struct gqa_moved_table *table)
{
    const struct gqa_plan_attention *out = &plan->attentions[table->attention];
    struct gqa_plan_tensor *t = &plan->tensors[table->param];
    struct segments list = {0};
    enum gqa_status st = GQA_OK;

    for (uint64_t h = 0; h < out->attention->n_heads && st == GQA_OK; h++)
        st = append_copy(
            &list, gqa_order_query_head(heads_of(plan, out), out->attention, h),
            1);
    set_segments(t, &list);
    t->axis = 1;
    return st;
}

enum gqa_status gqa_plan_align(struct gqa_plan *plan,
                               const struct gqa_alignment *alignment)
{
    enum gqa_status st = GQA_OK;

    plan->alignment = alignment;
    for (size_t i = 0; i < alignment->n && st == GQA_OK; i++)
        if (alignment->attentions[i].heads && !alignment->attentions[i].pooled)
            st = regroup(plan, &plan->attentions[i]);
    for (size_t i = 0; i < alignment->n_tables && st == GQA_OK; i++)
        st = move_table(plan, &alignment->tables[i]);
    return st;
}

void gqa_plan_free(struct gqa_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; plan->tensors && i < plan->model->n_params; i++)
        free(plan->tensors[i].segments);
    free(plan->tensors);
    free(plan->attentions);
    free(plan);
}
