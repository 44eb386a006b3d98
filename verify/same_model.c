#include <inttypes.h>
#include <string.h>

#include "verify/comparison.h"

/* A size that is 0 is not known: the tensor that tells it is missing, which
 * is a failure of `parameters`. */
static enum gqa_status compare_number(const struct gqa_comparison *c,
                                      const char *what, uint64_t a, uint64_t b)
{
    if (a == b || a == 0 || b == 0)
        return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE,
                    "%s: not made from %s: %s is %" PRIu64 " here and %" PRIu64
                    " there",
                    gqa_checkpoint_path(c->converted->checkpoint),
                    gqa_checkpoint_path(c->original->checkpoint), what, b, a);
}

static enum gqa_status compare_attentions(const struct gqa_comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    enum gqa_status st = compare_number(c, "the number of attentions",
                                        a->n_attentions, b->n_attentions);

    for (size_t i = 0; i < a->n_attentions && st == GQA_OK; i++) {
        const struct gqa_attention *x = &a->attentions[i];
        const struct gqa_attention *y = &b->attentions[i];

        st = compare_number(c, "the number of query heads", x->n_heads,
                            y->n_heads);
        if (st == GQA_OK)
            st = compare_number(c, "the size of a head", x->head_dim,
                                y->head_dim);
        if (st == GQA_OK &&
            (x->stack != y->stack || x->kind != y->kind ||
             x->layer != y->layer || x->layout != y->layout ||
             !gqa_dtype_is_float(a->params[x->k.weight].dtype) ||
             !gqa_dtype_is_float(b->params[y->k.weight].dtype)))
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "%s: the attentions cannot be compared with those "
                          "of %s",
                          gqa_checkpoint_path(c->converted->checkpoint),
                          gqa_checkpoint_path(c->original->checkpoint));
    }
    return st;
}

enum gqa_status gqa_compare_models(const struct gqa_comparison *c)
{
    const struct gqa_model *a = c->original->model, *b = c->converted->model;
    enum gqa_status st;

    if (strcmp(gqa_family_name(a->family), gqa_family_name(b->family)) != 0)
        return gqa_fail(GQA_ERR_USAGE, "%s: a %s, while %s is a %s",
                        gqa_checkpoint_path(c->converted->checkpoint),
                        gqa_family_name(b->family),
                        gqa_checkpoint_path(c->original->checkpoint),
                        gqa_family_name(a->family));
    st = compare_number(c, "the number of layers", a->n_layers, b->n_layers);
    if (st == GQA_OK)
        st = compare_number(c, "the number of decoder layers",
                            a->n_decoder_layers, b->n_decoder_layers);
    if (st == GQA_OK)
        st = compare_number(c, "d_model", a->d_model, b->d_model);
    if (st == GQA_OK)
        st = compare_number(c, "the vocabulary", a->vocab_size, b->vocab_size);
    return st == GQA_OK ? compare_attentions(c) : st;
}
