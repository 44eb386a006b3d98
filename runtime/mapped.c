#include "runtime/mapped.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/checked.h"
#include "common/random.h"
#include "formats/families/family.h"
#include "formats/model/regroup.h"

/* Heads of noise in a parameter: indices [start, start + n) of its axis. */
struct noise {
    uint64_t start, n, key;
    double deviation;
};

/* Where index i of a parameter's axis comes from. */
struct mapping {
    uint64_t *from; /* [length of the axis], NULL: everything is as it was */
    unsigned axis;
    /* [length]: from one head of a group to the next, where index i is the mean
     * of n_heads of them; 0: it is no mean. NULL: none is. */
    uint64_t *strides;
    uint64_t n_heads;
    struct noise noise[2]; /* of keys, of values */
    unsigned n_noise;
};

struct gqa_mapped {
    struct gqa_model model;
    const struct gqa_model *source;
    struct gqa_weight_source weights; /* of the source */
    struct mapping *mappings;         /* [n_params] */
};

void gqa_mapped_free(struct gqa_mapped *m)
{
    if (!m)
        return;
    for (size_t i = 0; m->mappings && i < m->model.n_params; i++) {
        free(m->mappings[i].from);
        free(m->mappings[i].strides);
    }
    free(m->mappings);
    free(m->model.params);
    free(m->model.attentions);
    json_decref(m->model.config);
    free(m);
}

const struct gqa_model *gqa_mapped_model(const struct gqa_mapped *m)
{
    return &m->model;
}

/* A copy of n elements, at least one of them allocated. */
static void *copy_of(const void *src, size_t n, size_t size)
{
    void *copy = calloc(n ? n : 1, size);

    if (copy && n > 0)
        memcpy(copy, src, n * size);
    return copy;
}

static enum gqa_status copy_model(struct gqa_mapped **out,
                                  const struct gqa_model *model,
                                  const struct gqa_weight_source *weights)
{
    struct gqa_mapped *m = calloc(1, sizeof *m);

    if (!m)
        return gqa_fail_nomem();
    m->source = model;
    m->weights = *weights;
    m->model = *model;
    m->model.config = model->config ? json_deep_copy(model->config) : NULL;
    m->model.params =
        copy_of(model->params, model->n_params, sizeof *model->params);
    m->model.attentions = copy_of(model->attentions, model->n_attentions,
                                  sizeof *model->attentions);
    m->mappings =
        calloc(model->n_params ? model->n_params : 1, sizeof *m->mappings);
    if (!m->model.params || !m->model.attentions || !m->mappings ||
        (model->config && !m->model.config)) {
        gqa_mapped_free(m);
        return gqa_fail_nomem();
    }
    for (size_t i = 0; i < model->n_params; i++) {
        m->model.params[i].parts = NULL;
        m->model.params[i].n_parts = 0;
    }
    *out = m;
    return GQA_OK;
}

/* The mapping of a parameter, made on first use, and its new shape. */
static enum gqa_status open_mapping(struct gqa_mapped *m, size_t param,
                                    unsigned axis, uint64_t length)
{
    struct mapping *mapping = &m->mappings[param];
    struct gqa_param *p = &m->model.params[param];
    uint64_t n_bytes;

    if (mapping->from)
        return GQA_OK;
    if (!gqa_mul_u64(length, sizeof *mapping->from, &n_bytes) ||
        n_bytes > SIZE_MAX || !(mapping->from = calloc(1, n_bytes)))
        return gqa_fail_nomem();
    mapping->axis = axis;
    p->shape[axis] = length;
    if (axis == 0)
        p->rows = length;
    else
        p->cols = length;
    if (!gqa_mul_u64(p->rows, p->cols, &p->n_elements) ||
        !gqa_dtype_bytes(p->dtype, p->n_elements, &p->n_bytes))
        return gqa_fail_nomem();
    return GQA_OK;
}

/* Heads `to` come from heads `from`: head h of to from h / spread * step. */
static enum gqa_status map_heads(struct gqa_mapped *m, size_t param,
                                 unsigned axis, uint64_t length,
                                 const struct gqa_slice *to,
                                 const struct gqa_slice *from,
                                 uint64_t head_dim, uint64_t spread,
                                 uint64_t step)
{
    enum gqa_status st;

    if (param == GQA_NO_PARAM)
        return GQA_OK;
    if ((st = open_mapping(m, param, axis, length)) != GQA_OK)
        return st;
    for (uint64_t h = 0; h < to->n_heads; h++) {
        const uint64_t dst = gqa_slice_head(to, head_dim, h);
        const uint64_t src = gqa_slice_head(from, head_dim, h / spread * step);

        for (uint64_t i = 0; i < head_dim; i++)
            m->mappings[param].from[dst + i] = src + i;
    }
    return GQA_OK;
}

static enum gqa_status map_slice(struct gqa_mapped *m,
                                 const struct gqa_attention *a,
                                 const struct gqa_slice *to,
                                 const struct gqa_slice *from, uint64_t spread,
                                 uint64_t step)
{
    const uint64_t d = a->head_dim;
    const uint64_t length = gqa_attention_length(a, to);
    enum gqa_status st;

    st = map_heads(m, to->weight, to->axis, length, to, from, d, spread, step);
    if (st == GQA_OK)
        st = map_heads(m, to->bias, 0, length, to, from, d, spread, step);
    return st;
}

/* KV head h of n comes from head h / spread * step of those there are. */
static enum gqa_status map_attention(struct gqa_mapped *m, size_t i, uint64_t n,
                                     uint64_t spread, uint64_t step)
{
    const struct gqa_attention *old = &m->source->attentions[i];
    struct gqa_attention *a = &m->model.attentions[i];
    enum gqa_status st = GQA_OK;

    *a = gqa_attention_regrouped(old, n);
    if (a->q.weight == a->k.weight)
        st = map_slice(m, a, &a->q, &old->q, 1, 1);
    if (st == GQA_OK)
        st = map_slice(m, a, &a->k, &old->k, spread, step);
    if (st == GQA_OK)
        st = map_slice(m, a, &a->v, &old->v, spread, step);
    /* A norm of all keys together lies as they do. */
    if (st == GQA_OK && a->full_norms)
        st = map_heads(m, a->k_norm, 0, gqa_attention_length(a, &a->k), &a->k,
                       &old->k, a->head_dim, spread, step);
    return st;
}

/* The configuration, where it says how many there are. */
static enum gqa_status set_config(struct gqa_mapped *m, uint64_t n_kv_heads)
{
    json_t *config = m->model.config;
    const char *key;

    if (!config)
        return GQA_OK;
    key = gqa_config_key(config, m->model.family->keys.n_kv_heads);
    if (key && json_is_integer(json_object_get(config, key)) &&
        json_object_set_new(config, key,
                            json_integer((json_int_t)n_kv_heads)) != 0)
        return gqa_fail_nomem();
    return GQA_OK;
}

enum gqa_status gqa_expand(struct gqa_mapped **out,
                           const struct gqa_model *model,
                           const struct gqa_weight_source *weights)
{
    struct gqa_mapped *m = NULL;
    enum gqa_status st = copy_model(&m, model, weights);

    for (size_t i = 0; st == GQA_OK && i < model->n_attentions; i++) {
        const struct gqa_attention *a = &model->attentions[i];

        st = map_attention(m, i, a->n_heads, a->n_heads / a->n_kv_heads, 1);
        if (st == GQA_OK)
            st = set_config(m, a->n_heads);
    }
    if (st == GQA_OK)
        *out = m;
    else
        gqa_mapped_free(m);
    return st;
}

/* Root of the mean square of all heads of a slice of the source. */
static enum gqa_status measure(double *deviation, const struct gqa_mapped *m,
                               const struct gqa_attention *a,
                               const struct gqa_slice *s)
{
    const struct gqa_param *p = &m->source->params[s->weight];
    const uint64_t width = gqa_dtype_bits(p->dtype) / 8;
    unsigned char *row = malloc(p->cols * width);
    double *values = calloc(p->cols, sizeof *values);
    enum gqa_status st = row && values ? GQA_OK : gqa_fail_nomem();
    const uint64_t rows = s->axis == 0 ? s->n_heads * a->head_dim : p->rows;
    double sum = 0;
    uint64_t n = 0;

    for (uint64_t r = 0; r < rows && st == GQA_OK; r++) {
        const uint64_t d = a->head_dim;
        const uint64_t at =
            s->axis == 0 ? gqa_slice_head(s, d, r / d) + r % d : r;

        st = m->weights.read(m->weights.ctx, s->weight, at, 1, row);
        if (st != GQA_OK)
            break;
        gqa_load_f64(values, row, p->dtype, p->cols);
        for (uint64_t h = 0; h < (s->axis == 0 ? 1 : s->n_heads); h++) {
            const uint64_t c0 = s->axis == 0 ? 0 : gqa_slice_head(s, d, h);
            const uint64_t c1 = s->axis == 0 ? p->cols : c0 + d;

            for (uint64_t c = c0; c < c1; c++, n++)
                sum += values[c] * values[c];
        }
    }
    *deviation = n > 0 ? sqrt(sum / (double)n) : 0;
    free(row);
    free(values);
    return st;
}

/* What is mapped to the first heads of groups of n_heads becomes their mean. */
static enum gqa_status average_slice(struct gqa_mapped *m, size_t param,
                                     const struct gqa_slice *to,
                                     const struct gqa_slice *from,
                                     uint64_t head_dim, uint64_t length,
                                     uint64_t n_heads)
{
    struct mapping *mapping = &m->mappings[param];

    if (!gqa_dtype_is_float(m->source->params[param].dtype))
        return gqa_fail(GQA_ERR_UNSUPPORTED, "'%s' is %s, which has no mean",
                        m->source->params[param].name,
                        gqa_dtype_name(m->source->params[param].dtype));
    if (!mapping->strides &&
        !(mapping->strides = calloc(length, sizeof *mapping->strides)))
        return gqa_fail_nomem();
    mapping->n_heads = n_heads;
    for (uint64_t h = 0; h < to->n_heads; h++)
        for (uint64_t i = 0; i < head_dim; i++)
            mapping->strides[gqa_slice_head(to, head_dim, h) + i] =
                gqa_slice_stride(from, head_dim);
    return GQA_OK;
}

static enum gqa_status average_heads(struct gqa_mapped *m, size_t attention,
                                     bool is_value)
{
    const struct gqa_attention *old = &m->source->attentions[attention];
    const struct gqa_attention *a = &m->model.attentions[attention];
    const struct gqa_slice *from = is_value ? &old->v : &old->k;
    const struct gqa_slice *to = is_value ? &a->v : &a->k;
    const uint64_t n = old->n_kv_heads / a->n_kv_heads;
    const uint64_t length = gqa_attention_length(a, to);
    enum gqa_status st =
        average_slice(m, to->weight, to, from, a->head_dim, length, n);

    return st == GQA_OK && to->bias != GQA_NO_PARAM
               ? average_slice(m, to->bias, to, from, a->head_dim, length, n)
               : st;
}

static enum gqa_status add_noise(struct gqa_mapped *m, size_t attention,
                                 bool is_value, uint64_t seed)
{
    const struct gqa_attention *old = &m->source->attentions[attention];
    const struct gqa_attention *a = &m->model.attentions[attention];
    const struct gqa_slice *from = is_value ? &old->v : &old->k;
    const struct gqa_slice *to = is_value ? &a->v : &a->k;
    struct mapping *mapping = &m->mappings[to->weight];
    struct noise *noise = &mapping->noise[mapping->n_noise];
    const bool blocks = a->layout == GQA_HEADS_FUSED_GROUP ||
                        a->layout == GQA_HEADS_FUSED_BLOCKS;

    if (blocks && to->n_heads > 1)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "random heads are not made where keys and values of "
                        "each group lie together");
    mapping->n_noise++;
    noise->start = gqa_slice_head(to, a->head_dim, 0);
    noise->n = to->n_heads * a->head_dim;
    noise->key = gqa_random_key(seed, m->source->params[from->weight].name,
                                is_value ? 1 : 0);
    return measure(&noise->deviation, m, old, from);
}

enum gqa_status gqa_regroup(struct gqa_mapped **out,
                            const struct gqa_model *model,
                            const struct gqa_weight_source *weights,
                            const struct gqa_model *like,
                            enum gqa_regrouping regrouping, uint64_t seed)
{
    struct gqa_mapped *m = NULL;
    enum gqa_status st;

    if (model->n_attentions != like->n_attentions)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%zu attentions cannot be grouped as %zu are",
                        model->n_attentions, like->n_attentions);
    st = copy_model(&m, model, weights);
    for (size_t i = 0; st == GQA_OK && i < model->n_attentions; i++) {
        const uint64_t had = model->attentions[i].n_kv_heads;
        const uint64_t n = like->attentions[i].n_kv_heads;

        if (n == 0 || had % n != 0) {
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "%llu KV heads cannot be grouped into %llu",
                          (unsigned long long)had, (unsigned long long)n);
            break;
        }
        if (had == n)
            continue;
        st = map_attention(m, i, n, 1, had / n);
        for (int v = 0; v < 2 && st == GQA_OK; v++)
            if (regrouping == GQA_REGROUP_RANDOM)
                st = add_noise(m, i, v == 1, seed);
            else if (regrouping == GQA_REGROUP_MEAN)
                st = average_heads(m, i, v == 1);
        if (st == GQA_OK)
            st = set_config(m, n);
    }
    if (st == GQA_OK)
        *out = m;
    else
        gqa_mapped_free(m);
    return st;
}

/* Rows that lie one after another in the source are read together. */
static enum gqa_status read_rows(const struct gqa_mapped *m, size_t param,
                                 uint64_t row, uint64_t n_rows, char *buf)
{
    const struct gqa_param *p = &m->model.params[param];
    const uint64_t pitch = p->cols * (gqa_dtype_bits(p->dtype) / 8);
    const uint64_t *from = m->mappings[param].from + row;
    enum gqa_status st = GQA_OK;

    for (uint64_t r = 0, run; r < n_rows && st == GQA_OK; r += run) {
        for (run = 1; r + run < n_rows && from[r + run] == from[r] + run;)
            run++;
        st = m->weights.read(m->weights.ctx, param, from[r], run,
                             buf + r * pitch);
    }
    return st;
}

static enum gqa_status read_columns(const struct gqa_mapped *m, size_t param,
                                    uint64_t row, uint64_t n_rows, char *buf)
{
    const struct gqa_param *p = &m->model.params[param];
    const uint64_t width = gqa_dtype_bits(p->dtype) / 8;
    const uint64_t had = m->source->params[param].cols;
    const uint64_t *from = m->mappings[param].from;
    char *whole = malloc(had * width);
    enum gqa_status st = whole ? GQA_OK : gqa_fail_nomem();

    for (uint64_t r = 0; r < n_rows && st == GQA_OK; r++) {
        st = m->weights.read(m->weights.ctx, param, row + r, 1, whole);
        for (uint64_t c = 0; c < p->cols && st == GQA_OK; c++, buf += width)
            memcpy(buf, whole + from[c] * width, width);
    }
    free(whole);
    return st;
}

/* Each number belongs to its element, whichever rows are read. */
static enum gqa_status make_noise(const struct gqa_mapped *m, size_t param,
                                  const struct noise *noise, uint64_t row,
                                  uint64_t n_rows, char *buf)
{
    const struct gqa_param *p = &m->model.params[param];
    const bool in_rows = m->mappings[param].axis == 0;
    const uint64_t width = gqa_dtype_bits(p->dtype) / 8;
    const uint64_t n = in_rows ? p->cols : noise->n;
    const uint64_t first = in_rows ? 0 : noise->start;
    double *values = calloc(n, sizeof *values);

    if (!values)
        return gqa_fail_nomem();
    for (uint64_t r = row; r < row + n_rows; r++) {
        if (in_rows && (r < noise->start || r - noise->start >= noise->n))
            continue;
        gqa_random_normal(values, n, noise->key, r * p->cols + first,
                          noise->deviation);
        gqa_store_f64(buf + ((r - row) * p->cols + first) * width, p->dtype,
                      values, n);
    }
    free(values);
    return GQA_OK;
}

/* The mean of rows of the source, `stride` apart. */
static enum gqa_status average_rows(const struct gqa_mapped *m, size_t param,
                                    uint64_t row, uint64_t stride, char *raw,
                                    double *sum, char *out)
{
    const struct gqa_param *p = &m->model.params[param];
    const uint64_t n = m->mappings[param].n_heads;
    double *next = sum + p->cols;

    for (uint64_t j = 0; j < n; j++) {
        const enum gqa_status st =
            m->weights.read(m->weights.ctx, param, row + j * stride, 1, raw);

        if (st != GQA_OK)
            return st;
        gqa_load_f64(j == 0 ? sum : next, raw, p->dtype, p->cols);
        for (uint64_t c = 0; j > 0 && c < p->cols; c++)
            sum[c] += next[c];
    }
    for (uint64_t c = 0; c < p->cols; c++)
        sum[c] /= (double)n;
    gqa_store_f64(out, p->dtype, sum, p->cols);
    return GQA_OK;
}

/* Means along one row, whose columns lie `from` and strides on in the
 * source's. */
static enum gqa_status average_columns(const struct gqa_mapped *m, size_t param,
                                       uint64_t row, char *raw, double *source,
                                       char *out)
{
    const struct gqa_param *p = &m->model.params[param];
    const struct mapping *mapping = &m->mappings[param];
    const uint64_t width = gqa_dtype_bits(p->dtype) / 8;
    const enum gqa_status st =
        m->weights.read(m->weights.ctx, param, row, 1, raw);

    if (st != GQA_OK)
        return st;
    gqa_load_f64(source, raw, p->dtype, m->source->params[param].cols);
    for (uint64_t c = 0; c < p->cols; c++) {
        double sum = 0;

        if (mapping->strides[c] == 0)
            continue;
        for (uint64_t j = 0; j < mapping->n_heads; j++)
            sum += source[mapping->from[c] + j * mapping->strides[c]];
        sum /= (double)mapping->n_heads;
        gqa_store_f64(out + c * width, p->dtype, &sum, 1);
    }
    return GQA_OK;
}

static enum gqa_status make_means(const struct gqa_mapped *m, size_t param,
                                  uint64_t row, uint64_t n_rows, char *buf)
{
    const struct gqa_param *p = &m->model.params[param];
    const struct mapping *mapping = &m->mappings[param];
    const uint64_t cols = m->source->params[param].cols;
    const uint64_t width = gqa_dtype_bits(p->dtype) / 8;
    const uint64_t pitch = p->cols * width;
    double *values = calloc(2 * cols, sizeof *values);
    char *raw = malloc(cols * width);
    enum gqa_status st = values && raw ? GQA_OK : gqa_fail_nomem();

    for (uint64_t r = 0; r < n_rows && st == GQA_OK; r++, buf += pitch)
        if (mapping->axis == 1)
            st = average_columns(m, param, row + r, raw, values, buf);
        else if (mapping->strides[row + r] > 0)
            st = average_rows(m, param, mapping->from[row + r],
                              mapping->strides[row + r], raw, values, buf);
    free(values);
    free(raw);
    return st;
}

static enum gqa_status read_mapped(void *ctx, size_t param, uint64_t row,
                                   uint64_t n_rows, void *buf)
{
    const struct gqa_mapped *m = ctx;
    const struct mapping *mapping = &m->mappings[param];
    enum gqa_status st;

    if (!mapping->from)
        return m->weights.read(m->weights.ctx, param, row, n_rows, buf);
    st = mapping->axis == 0 ? read_rows(m, param, row, n_rows, buf)
                            : read_columns(m, param, row, n_rows, buf);
    if (st == GQA_OK && mapping->strides)
        st = make_means(m, param, row, n_rows, buf);
    for (unsigned i = 0; i < mapping->n_noise && st == GQA_OK; i++)
        st = make_noise(m, param, &mapping->noise[i], row, n_rows, buf);
    return st;
}

struct gqa_weight_source gqa_mapped_weights(struct gqa_mapped *m)
{
    return (struct gqa_weight_source){read_mapped, m};
}
