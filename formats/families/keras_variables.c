#include "formats/families/keras_variables.h"

#include <stdio.h>
#include <string.h>

#include "common/strings.h"
#include "common/ull.h"

/* More heads or experts than any model has. */
enum { MAX_BLOCKS = 4096 };

/* The pattern with the layer's number for its first '%' and the block's for
 * its second. */
static void expand_name(char *out, size_t size, const char *pattern,
                        uint64_t layer, uint64_t block)
{
    uint64_t number = layer;
    size_t n = 0;

    for (; *pattern && n < size; pattern++) {
        if (*pattern != '%') {
            out[n++] = *pattern;
            continue;
        }
        n += (size_t)snprintf(out + n, size - n, "%llu",
                              (unsigned long long)number);
        number = block;
    }
    out[n < size ? n : size - 1] = '\0';
}

/* Where in a variable a matrix lies. */
struct place {
    uint64_t block;
    unsigned half; /* of the outputs; 1 is of the parameter that is `then` */
};

/* The variable, or a place in it, as a matrix in Hugging Face orientation. */
static struct gqa_view make_view(const struct gqa_keras_rule *rule,
                                 const struct gqa_tensor *tensor, size_t index,
                                 struct place place)
{
    struct gqa_view view = {
        .tensor = index, .rows = 1, .cols = 1, .transposed = rule->turned};
    const unsigned first_axis = rule->blocks ? 1 : 0;
    uint64_t in = 1;
    uint64_t out = 1;

    if (tensor->rank < 2 || !rule->turned)
        view.transposed = false;
    /* A bias has no input axes: (H, d) is one row of H * d. */
    if (tensor->rank == 1 || gqa_ends_with(rule->is, ".bias")) {
        view.rows = tensor->n_elements;
        return view;
    }
    for (unsigned i = first_axis; i < tensor->rank; i++)
        if (i < first_axis + rule->input_axes)
            in *= tensor->shape[i];
        else
            out *= tensor->shape[i];
    view.first = place.block * in * out;
    if (rule->then) {
        view.pitch = out;
        out /= 2;
        view.first += place.half * out;
    }
    view.rows = view.transposed ? out : in;
    view.cols = view.transposed ? in : out;
    view.places = rule->convolution ? tensor->shape[0] : 0;
    return view;
}

static enum gqa_status refuse_parts(const char *name)
{
    return gqa_fail(GQA_ERR_FORMAT,
                    "the parts of the parameter '%s' do not fit together",
                    name);
}

/* Of a kernel (inputs, heads, head_dim) or its bias (heads, head_dim). */
static enum gqa_status count_heads(uint64_t *n_heads,
                                   const struct gqa_keras_rule *rule,
                                   const struct gqa_tensor *tensor)
{
    const bool is_bias = gqa_ends_with(rule->is, ".bias");
    const unsigned axis = is_bias ? 0 : 1;

    if (tensor->rank != axis + 2 || tensor->shape[axis] == 0)
        return gqa_fail(
            GQA_ERR_FORMAT, "variable '%s' is not of shape %s", tensor->name,
            is_bias ? "(heads, head_dim)" : "(inputs, heads, head_dim)");
    *n_heads = tensor->shape[axis];
    if (*n_heads > GQA_MAX_HEADS)
        return gqa_fail(GQA_ERR_FORMAT,
                        "variable '%s' has %llu heads, which are more than "
                        "the %d that we take for possible",
                        tensor->name, ULL(*n_heads), GQA_MAX_HEADS);
    return GQA_OK;
}

/*
 * The parts of its parameter that a variable is, *n of them, at *step from one
 * another: one, or one a head, or the rows that nobody reads and all of them.
 */
static enum gqa_status count_parts(size_t *n, size_t *step,
                                   const struct gqa_keras_rule *rule,
                                   const struct gqa_tensor *tensor)
{
    uint64_t n_heads = 0;
    enum gqa_status st;

    *n = rule->unused_rows ? 2 : 1;
    *step = rule->parts;
    if (!rule->by_head)
        return GQA_OK;
    if ((st = count_heads(&n_heads, rule, tensor)) != GQA_OK)
        return st;
    *n = (size_t)n_heads;
    return GQA_OK;
}

/* Part i of the n that a variable is, of which `whole` is all. */
static struct gqa_view make_part(const struct gqa_keras_rule *rule,
                                 const struct gqa_view *whole, size_t i,
                                 size_t n)
{
    struct gqa_view part = *whole;

    if (rule->by_head) {
        part.rows = whole->rows / n;
        part.first = i * part.rows;
        part.pitch = whole->transposed ? whole->rows : 0;
    } else if (rule->unused_rows && i == 0) {
        part.rows = rule->unused_rows;
    }
    return part;
}

/* How many matrices its first axis counts. */
static enum gqa_status count_blocks(uint64_t *out,
                                    const struct gqa_keras_rule *rule,
                                    const struct gqa_tensor *tensor)
{
    const uint64_t last = tensor->rank ? tensor->shape[tensor->rank - 1] : 0;

    *out = 1;
    if (rule->blocks) {
        if (tensor->rank != 3 || tensor->shape[0] < 1 ||
            tensor->shape[0] > MAX_BLOCKS)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor '%s' is none of 1 to %d matrices",
                            tensor->name, MAX_BLOCKS);
        *out = tensor->shape[0];
    }
    if (rule->then && (last == 0 || last % 2 != 0))
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor '%s' has %llu outputs, which are no two "
                        "halves",
                        tensor->name, (unsigned long long)last);
    return GQA_OK;
}

/*
 * The parameter of this name, which is a new one unless other variables may be
 * parts of it too.
 */
static enum gqa_status get_param(struct gqa_param **out,
                                 struct gqa_params *params, const char *name,
                                 const struct gqa_keras_rule *rule,
                                 const struct gqa_tensor *tensor,
                                 size_t n_parts)
{
    struct gqa_param *param = NULL;

    for (size_t i = 0; rule->parts > 1 && i < params->n && !param; i++)
        if (strcmp(params->items[i].name, name) == 0)
            param = &params->items[i];
    if (!param) {
        param = gqa_params_add(params, name, n_parts);
        if (!param)
            return gqa_fail_nomem();
        param->dtype = tensor->dtype;
        param->axis = (unsigned)rule->axis;
    }
    if (param->dtype != tensor->dtype)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor '%s' is %s, but others of '%s' are %s",
                        tensor->name, gqa_dtype_name(tensor->dtype), name,
                        gqa_dtype_name(param->dtype));
    *out = param;
    return GQA_OK;
}

/* One parameter of a variable that holds several matrices: one of its blocks,
 * or all of them above one another. */
static enum gqa_status add_matrices(struct gqa_params *params,
                                    const struct gqa_keras_rule *rule,
                                    uint64_t layer,
                                    const struct gqa_tensor *tensor,
                                    size_t index, struct place place,
                                    size_t n_parts)
{
    char name[GQA_MAX_NAME];
    struct gqa_param *param = NULL;
    enum gqa_status st;

    expand_name(name, sizeof name, place.half ? rule->then : rule->is, layer,
                place.block);
    st = get_param(&param, params, name, rule, tensor, n_parts);
    for (size_t i = 0; st == GQA_OK && i < n_parts; i++) {
        param->parts[i] = make_view(rule, tensor, index, place);
        place.block++;
    }
    return st;
}

static enum gqa_status add_blocks(struct gqa_params *params,
                                  const struct gqa_keras_rule *rule,
                                  uint64_t layer,
                                  const struct gqa_tensor *tensor, size_t index)
{
    const char *number = strchr(rule->is, '%');
    const bool apart = number && strchr(number + 1, '%');
    const unsigned n_halves = rule->then ? 2 : 1;
    uint64_t n_blocks;
    enum gqa_status st = count_blocks(&n_blocks, rule, tensor);

    for (uint64_t i = 0; st == GQA_OK && i < (apart ? n_blocks : 1); i++)
        for (unsigned half = 0; st == GQA_OK && half < n_halves; half++)
            st = add_matrices(params, rule, layer, tensor, index,
                              (struct place){i, half}, apart ? 1 : n_blocks);
    return st;
}

enum gqa_status gqa_keras_add_variable(struct gqa_params *params,
                                       const struct gqa_keras_rule *rule,
                                       uint64_t layer,
                                       const struct gqa_tensor *tensor,
                                       size_t index)
{
    char name[GQA_MAX_NAME];
    struct gqa_param *param;
    struct gqa_view whole;
    size_t n, step;
    enum gqa_status st;

    if (rule->blocks || rule->then)
        return add_blocks(params, rule, layer, tensor, index);
    expand_name(name, sizeof name, rule->is, layer, 0);
    if ((st = count_parts(&n, &step, rule, tensor)) != GQA_OK ||
        (st = get_param(&param, params, name, rule, tensor, n * step)) !=
            GQA_OK)
        return st;
    if (rule->convolution && tensor->rank != 3)
        return gqa_fail(GQA_ERR_FORMAT,
                        "variable '%s' is not of shape (places, inputs, "
                        "outputs)",
                        tensor->name);
    if (param->n_parts != n * step)
        return refuse_parts(name);
    if (param->parts[rule->part].rows)
        return gqa_fail(GQA_ERR_FORMAT,
                        "two tensors stand for the parameter '%s'", name);
    whole = make_view(rule, tensor, index, (struct place){0, 0});
    if (rule->unused_rows > whole.rows)
        return gqa_fail(GQA_ERR_FORMAT,
                        "variable '%s' has %llu rows, fewer than the %llu "
                        "that '%s' has before them",
                        tensor->name, ULL(whole.rows), ULL(rule->unused_rows),
                        name);
    for (size_t i = 0; i < n; i++)
        param->parts[i * step + rule->part] = make_part(rule, &whole, i, n);
    return GQA_OK;
}

enum gqa_status gqa_keras_finish_param(struct gqa_param *param)
{
    bool vector = gqa_ends_with(param->name, ".bias");

    param->rows = param->parts[0].rows;
    param->cols = param->parts[0].cols;
    for (size_t i = 0; i < param->n_parts; i++) {
        const struct gqa_view *part = &param->parts[i];

        if (part->rows == 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "part %zu of %zu of the parameter '%s' is missing",
                            i + 1, param->n_parts, param->name);
        if (i == 0)
            continue;
        if (param->axis == 0 ? part->cols != param->cols
                             : part->rows != param->rows)
            return refuse_parts(param->name);
        if (param->axis == 0)
            param->rows += part->rows;
        else
            param->cols += part->cols;
    }
    vector = vector || (param->cols == 1 && !param->parts[0].transposed);
    param->rank = vector ? 1 : 2;
    param->shape[0] = param->rows;
    param->shape[1] = vector ? 0 : param->cols;
    if (param->parts[0].places) {
        param->rank = 3;
        param->shape[1] = param->cols / param->parts[0].places;
        param->shape[2] = param->parts[0].places;
    }
    param->n_elements = param->rows * param->cols;
    if (!gqa_dtype_bytes(param->dtype, param->n_elements, &param->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "the parameter '%s' is too large",
                        param->name);
    return GQA_OK;
}
