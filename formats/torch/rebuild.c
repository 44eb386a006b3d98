#include "formats/torch/rebuild.h"

#include <inttypes.h>
#include <string.h>

#include "common/checked.h"
#include "formats/torch/globals.h"

static const struct gqa_pickle_global *global_of(
    const struct gqa_pickle_values *v, uint32_t value)
{
    return gqa_pickle_kind_of(v, value) == GQA_PICKLE_GLOBAL
               ? &gqa_pickle_globals[v->values[value].is.at]
               : NULL;
}

static enum gqa_status refuse_arguments(const struct gqa_pickle_global *g)
{
    return gqa_fail(GQA_ERR_FORMAT, "%s.%s is not called as PyTorch calls it",
                    g->module, g->name);
}

/* --- Tensors -------------------------------------------------------------- */

static enum gqa_status read_shape(struct gqa_pickle_tensor *t,
                                  const struct gqa_pickle_values *v,
                                  const struct gqa_pickle_global *g,
                                  uint32_t sizes, uint32_t strides)
{
    uint32_t size[GQA_MAX_RANK], stride[GQA_MAX_RANK];

    if (gqa_pickle_kind_of(v, sizes) != GQA_PICKLE_TUPLE ||
        gqa_pickle_kind_of(v, strides) != GQA_PICKLE_TUPLE ||
        v->values[sizes].n != v->values[strides].n)
        return refuse_arguments(g);
    if (v->values[sizes].n > GQA_MAX_RANK)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a tensor of %" PRIu32
                        " dimensions; at most %d are read",
                        v->values[sizes].n, GQA_MAX_RANK);
    t->rank = v->values[sizes].n;
    if (!gqa_pickle_items(v, sizes, size, t->rank) ||
        !gqa_pickle_items(v, strides, stride, t->rank))
        return refuse_arguments(g);
    for (unsigned i = 0; i < t->rank; i++)
        if (!gqa_pickle_u64(v, size[i], &t->shape[i]) ||
            !gqa_pickle_u64(v, stride[i], &t->stride[i]))
            return refuse_arguments(g);
    return GQA_OK;
}

/* Whether all elements lie within the storage. */
static bool fits(const struct gqa_pickle_tensor *t, uint64_t n_elements)
{
    uint64_t last = t->first, reach;

    for (unsigned i = 0; i < t->rank; i++)
        if (t->shape[i] == 0)
            return true;
    for (unsigned i = 0; i < t->rank; i++)
        if (!gqa_mul_u64(t->shape[i] - 1, t->stride[i], &reach) ||
            !gqa_add_u64(last, reach, &last))
            return false;
    return last < n_elements;
}

/* Elements of the tensor; false: they cannot be counted. */
static bool count_elements(const struct gqa_pickle_tensor *t, uint64_t *n)
{
    *n = 1;
    for (unsigned i = 0; i < t->rank; i++)
        if (t->shape[i] == 0)
            *n = 0;
    for (unsigned i = 0; i < t->rank; i++)
        if (!gqa_mul_u64(*n, t->shape[i], n))
            return false;
    return true;
}

/* One that repeats what is there (expand()) might have any size. */
static enum gqa_status check_reach(const struct gqa_pickle_tensor *t,
                                   const struct gqa_pickle_storage *s)
{
    uint64_t n = s->n_elements, n_tensor;

    /* The storage is of bytes. */
    if (!s->has_dtype)
        n /= gqa_dtype_bits(t->dtype) / 8;
    if (!count_elements(t, &n_tensor) || n_tensor > n)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a tensor of more elements than its storage, which "
                        "has %" PRIu64 " of them; save it made contiguous",
                        n);
    if (fits(t, n))
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "a tensor that begins with element %" PRIu64
                    " reaches beyond its storage of %" PRIu64,
                    t->first, n);
}

static enum gqa_status refuse_elements(const struct gqa_pickle_global *g)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "elements of %s.%s, which are not read", g->module,
                    g->name);
}

/*
 * What PyTorch says of a tensor beside its elements, behind the n arguments
 * that all have: one that stands for the negative of what is stored
 * (the imaginary part of a conjugate) is marked there and nowhere else.
 */
static enum gqa_status check_marks(const struct gqa_pickle_values *v,
                                   const struct gqa_pickle_global *g,
                                   uint32_t arguments, size_t n)
{
    uint32_t args[8], at;

    if (!gqa_pickle_items(v, arguments, args, n + 1))
        return GQA_OK;
    if (gqa_pickle_kind_of(v, args[n]) != GQA_PICKLE_DICT)
        return refuse_arguments(g);
    at = v->values[args[n]].n > 0 ? v->values[args[n]].is.items.first : 0;
    while (at != 0) {
        const struct gqa_pickle_item *key = &v->items[at];
        const struct gqa_pickle_item *value = &v->items[key->next];

        if ((gqa_pickle_says(v, key->value, "neg") ||
             gqa_pickle_says(v, key->value, "conj")) &&
            (gqa_pickle_kind_of(v, value->value) != GQA_PICKLE_BOOL ||
             v->values[value->value].is.integer != 0))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "a tensor that stands for the %s of what is "
                            "stored; save its clone()",
                            gqa_pickle_says(v, key->value, "neg")
                                ? "negative"
                                : "conjugate");
        at = value->next;
    }
    return GQA_OK;
}

static enum gqa_status rebuild(uint32_t *out, struct gqa_pickle_values *v,
                               const struct gqa_pickle_global *g,
                               uint32_t arguments)
{
    struct gqa_pickle_tensor t = {0};
    const struct gqa_pickle_storage *s;
    const struct gqa_pickle_global *dtype = NULL;
    uint32_t args[7] = {0};
    const size_t n = g->role == GQA_PICKLE_IS_REBUILD_3 ? 7 : 4;
    enum gqa_status st;

    if (!gqa_pickle_items(v, arguments, args, n) ||
        gqa_pickle_kind_of(v, args[0]) != GQA_PICKLE_STORAGE ||
        !gqa_pickle_u64(v, args[1], &t.first))
        return refuse_arguments(g);
    if ((st = read_shape(&t, v, g, args[2], args[3])) != GQA_OK ||
        (st = check_marks(v, g, arguments, n == 7 ? 7 : 6)) != GQA_OK)
        return st;
    t.storage = (uint32_t)v->values[args[0]].is.at;
    s = &v->storages[t.storage];
    if (n == 7) {
        dtype = global_of(v, args[6]);
        if (!dtype || dtype->role != GQA_PICKLE_IS_DTYPE)
            return refuse_arguments(g);
        if (!dtype->has_dtype)
            return refuse_elements(dtype);
        if (!s->is_bytes && (!s->has_dtype || s->dtype != dtype->dtype))
            return refuse_arguments(g);
        t.dtype = dtype->dtype;
    } else if (s->has_dtype) {
        t.dtype = s->dtype;
    } else {
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a tensor of elements that are not read (complex128 "
                        "or quantised)");
    }
    if ((st = check_reach(&t, s)) != GQA_OK)
        return st;
    return gqa_pickle_make_tensor(out, v, &t);
}

/* A parameter is its tensor. */
static enum gqa_status rebuild_parameter(uint32_t *out,
                                         struct gqa_pickle_values *v,
                                         const struct gqa_pickle_global *g,
                                         uint32_t arguments)
{
    if (!gqa_pickle_items(v, arguments, out, 1) ||
        gqa_pickle_kind_of(v, *out) != GQA_PICKLE_TENSOR)
        return refuse_arguments(g);
    return GQA_OK;
}

/* The call that it stands for is one of those above. */
static enum gqa_status rebuild_from_type(uint32_t *out,
                                         struct gqa_pickle_values *v,
                                         const struct gqa_pickle_global *g,
                                         uint32_t arguments)
{
    const struct gqa_pickle_global *function, *class;
    uint32_t args[3];

    if (!gqa_pickle_items(v, arguments, args, 3))
        return refuse_arguments(g);
    function = global_of(v, args[0]);
    class = global_of(v, args[1]);
    if (!function || !class || class->role != GQA_PICKLE_IS_TENSOR)
        return refuse_arguments(g);
    switch (function->role) {
    case GQA_PICKLE_IS_REBUILD:
    case GQA_PICKLE_IS_REBUILD_3:
        return rebuild(out, v, function, args[2]);
    case GQA_PICKLE_IS_PARAMETER:
        return rebuild_parameter(out, v, function, args[2]);
    default:
        return refuse_arguments(g);
    }
}

/* --- Plain values --------------------------------------------------------- */

/* Of pairs, as Python 2 writes an ordered dictionary; or of nothing. */
static enum gqa_status make_dict(uint32_t *out, struct gqa_pickle_values *v,
                                 const struct gqa_pickle_global *g,
                                 uint32_t arguments)
{
    enum gqa_status st = gqa_pickle_make(out, v, GQA_PICKLE_DICT);
    uint32_t pairs, pair[2], at;

    if (st != GQA_OK || g->role == GQA_PICKLE_IS_DEFAULT ||
        !gqa_pickle_items(v, arguments, &pairs, 1))
        return st;
    if (gqa_pickle_kind_of(v, pairs) == GQA_PICKLE_DICT) {
        *out = pairs;
        return GQA_OK;
    }
    if (!gqa_pickle_items(v, pairs, pair, 0))
        return refuse_arguments(g);
    at = v->values[pairs].n > 0 ? v->values[pairs].is.items.first : 0;
    for (; at != 0 && st == GQA_OK; at = v->items[at].next) {
        const uint32_t item = v->items[at].value;

        if (!gqa_pickle_items(v, item, pair, 2))
            return refuse_arguments(g);
        st = gqa_pickle_append(v, *out, pair[0]);
        if (st == GQA_OK)
            st = gqa_pickle_append(v, *out, pair[1]);
    }
    return st;
}

static enum gqa_status make_size(uint32_t *out, struct gqa_pickle_values *v,
                                 const struct gqa_pickle_global *g,
                                 uint32_t arguments)
{
    if (!gqa_pickle_items(v, arguments, out, 1) ||
        gqa_pickle_kind_of(v, *out) != GQA_PICKLE_TUPLE)
        return refuse_arguments(g);
    return GQA_OK;
}

enum gqa_status gqa_pickle_call(uint32_t *out, struct gqa_pickle_values *v,
                                uint32_t callable, uint32_t arguments)
{
    const struct gqa_pickle_global *g = global_of(v, callable);

    if (gqa_pickle_kind_of(v, arguments) != GQA_PICKLE_TUPLE)
        return gqa_fail(GQA_ERR_FORMAT, "a call whose arguments are no tuple");
    if (!g)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a call of what is no function by name");
    switch (g->role) {
    case GQA_PICKLE_IS_DICT:
    case GQA_PICKLE_IS_DEFAULT:
        return make_dict(out, v, g, arguments);
    case GQA_PICKLE_IS_SIZE:
        return make_size(out, v, g, arguments);
    case GQA_PICKLE_IS_SET:
        return gqa_pickle_make(out, v, GQA_PICKLE_SET);
    case GQA_PICKLE_IS_REBUILD:
    case GQA_PICKLE_IS_REBUILD_3:
        return rebuild(out, v, g, arguments);
    case GQA_PICKLE_IS_PARAMETER:
        return rebuild_parameter(out, v, g, arguments);
    case GQA_PICKLE_IS_FROM_TYPE:
        return rebuild_from_type(out, v, g, arguments);
    case GQA_PICKLE_IS_OBJECT:
        return gqa_pickle_make(out, v, GQA_PICKLE_OBJECT);
    case GQA_PICKLE_IS_TENSOR:
    case GQA_PICKLE_IS_STORAGE:
    case GQA_PICKLE_IS_DTYPE:
        break;
    }
    return refuse_arguments(g);
}

/* --- Storages ------------------------------------------------------------- */

static enum gqa_status refuse_id(void)
{
    return gqa_fail(GQA_ERR_FORMAT,
                    "a reference to a storage that is not as PyTorch makes it");
}

/* A part of another, in old files: (its own key, first element, elements). */
static bool read_view(struct gqa_pickle_storage *s,
                      const struct gqa_pickle_values *v, uint32_t view)
{
    uint32_t items[3];
    uint64_t end;

    if (gqa_pickle_kind_of(v, view) == GQA_PICKLE_NONE)
        return true;
    return gqa_pickle_items(v, view, items, 3) &&
           gqa_pickle_u64(v, items[1], &s->first) &&
           gqa_pickle_u64(v, items[2], &s->n_elements) &&
           gqa_add_u64(s->first, s->n_elements, &end) && end <= s->n_root;
}

enum gqa_status gqa_pickle_find_storage(uint32_t *out,
                                        struct gqa_pickle_values *v,
                                        uint32_t id)
{
    struct gqa_pickle_storage s = {0};
    const struct gqa_pickle_global *type;
    uint32_t items[6];
    size_t n;

    if (gqa_pickle_kind_of(v, id) != GQA_PICKLE_TUPLE)
        return refuse_id();
    n = v->values[id].n;
    if (n > 0 && gqa_pickle_items(v, id, items, 1) &&
        gqa_pickle_says(v, items[0], "module"))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a whole model with its code, of which nothing is "
                        "run; save its state_dict() where it was made");
    if ((n != 5 && n != 6) || !gqa_pickle_items(v, id, items, n) ||
        !gqa_pickle_says(v, items[0], "storage"))
        return refuse_id();
    type = global_of(v, items[1]);
    if (!type || type->role != GQA_PICKLE_IS_STORAGE ||
        gqa_pickle_kind_of(v, items[2]) != GQA_PICKLE_TEXT ||
        !gqa_pickle_u64(v, items[4], &s.n_elements))
        return refuse_id();
    s.key = items[2];
    s.has_dtype = type->has_dtype;
    s.dtype = type->dtype;
    s.element_bytes = type->element_bytes;
    s.is_bytes = strcmp(type->name, "UntypedStorage") == 0;
    s.n_root = s.n_elements;
    if (n == 6 && !read_view(&s, v, items[5]))
        return refuse_id();
    return gqa_pickle_make_storage(out, v, &s);
}
