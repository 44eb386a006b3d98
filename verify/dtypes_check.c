/*
 * The types of parameters. By a recipe each is what it says; without one a
 * type is right if it holds every value as it was, or if the whole model was
 * converted to it.
 */
#include "verify/comparison.h"

static const struct gqa_param *partner_of(const struct gqa_comparison *c,
                                          size_t i)
{
    return c->pairing.partner[i] == GQA_NO_PARAM
               ? NULL
               : &c->original->model->params[c->pairing.partner[i]];
}

static bool are_floats(const struct gqa_param *a, const struct gqa_param *b)
{
    return gqa_dtype_is_float(a->dtype) && gqa_dtype_is_float(b->dtype);
}

static bool is_said(const struct gqa_comparison *c)
{
    return c->converted->recipe &&
           (c->recipe.is_whole || c->recipe.n_dtypes > 0);
}

/* Keys and values were pooled, so that none of their values is another's. */
static bool lost_values(const struct gqa_comparison *c, size_t i)
{
    return c->is_kv[i] || c->changed[i];
}

/* GGUF files have norms, biases and routers in float32, and so has what is made
 * of one; that holds all of a half type, and is compared as it is. */
static bool may_be_wide(const struct gqa_comparison *c, size_t i)
{
    return c->converted->model->params[i].rank == 1 || !lost_values(c, i);
}

static void must_be(struct gqa_comparison *c, size_t i, enum gqa_dtype wanted)
{
    const struct gqa_param *p = &c->converted->model->params[i];

    if (p->dtype == GQA_F32 && gqa_dtype_is_half(wanted) && may_be_wide(c, i))
        return;
    if (p->dtype != wanted)
        gqa_note(&c->pairing.finding, "'%.300s' is %s, but must be %s", p->name,
                 gqa_dtype_name(p->dtype), gqa_dtype_name(wanted));
}

/* Whether some value of `from` is none of `to`. */
static bool is_narrowing(enum gqa_dtype from, enum gqa_dtype to)
{
    if (from == to || to == GQA_F64)
        return false;
    return !(to == GQA_F32 && gqa_dtype_bits(from) == 16);
}

/* Of the parameters that the type could not hold, whether at least half have
 * it: then the model was converted to it. */
static bool is_of_the_model(const struct gqa_comparison *c, enum gqa_dtype to)
{
    size_t n = 0, n_have = 0;

    for (size_t i = 0; i < c->converted->model->n_params; i++) {
        const struct gqa_param *a = partner_of(c, i);
        const struct gqa_param *b = &c->converted->model->params[i];

        if (!a || !are_floats(a, b) || !is_narrowing(a->dtype, to))
            continue;
        n++;
        n_have += b->dtype == to;
    }
    return 2 * n_have >= n;
}

static void check_unsaid(struct gqa_comparison *c)
{
    const char *first = NULL;
    enum gqa_dtype from = GQA_F32, to = GQA_F32;
    size_t n = 0;

    for (size_t i = 0; i < c->converted->model->n_params; i++) {
        const struct gqa_param *a = partner_of(c, i);
        const struct gqa_param *b = &c->converted->model->params[i];

        if (!a || !are_floats(a, b) || a->dtype == b->dtype)
            continue;
        if (is_narrowing(a->dtype, b->dtype) && lost_values(c, i) &&
            !is_of_the_model(c, b->dtype)) {
            gqa_note(&c->pairing.finding,
                     "'%.300s' was rounded from %s to %s, unlike most others, "
                     "and no recipe says so",
                     b->name, gqa_dtype_name(a->dtype),
                     gqa_dtype_name(b->dtype));
            continue;
        }
        if (n++ == 0) {
            first = b->name;
            from = a->dtype;
            to = b->dtype;
        }
    }
    if (n > 0)
        gqa_note_more(&c->pairing.remark,
                      "%zu are of another type than in the original, the "
                      "first '%.200s' (%s, was %s)",
                      n, first, gqa_dtype_name(to), gqa_dtype_name(from));
}

void gqa_compare_dtypes(struct gqa_comparison *c)
{
    for (size_t i = 0; i < c->converted->model->n_params; i++) {
        const struct gqa_param *a = partner_of(c, i);
        const struct gqa_param *b = &c->converted->model->params[i];

        if (!a)
            continue;
        if (!are_floats(a, b))
            must_be(c, i, a->dtype);
        else if (gqa_subject_keeps_dtype(c->converted, i) &&
                 a->dtype == b->dtype)
            continue; /* what --dtype leaves alone; it did not always */
        else if (is_said(c) && !c->options.trained)
            must_be(c, i,
                    c->recipe.n_dtypes > 0
                        ? c->recipe.dtypes[c->recipe.n_dtypes - 1]
                        : a->dtype);
    }
    if (!is_said(c) && !c->options.trained)
        check_unsaid(c);
}
