#include "verify/replay_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/model/network.h"

/* --- Which tables --------------------------------------------------------- */

/* The block of an attention that may read tables; NULL: it does not. */
static const struct gqa_attention_block *block_of(
    const struct gqa_network *network, const struct gqa_attention *a)
{
    for (size_t i = 0; i < network->n_stacks; i++) {
        const struct gqa_network_stack *s = &network->stacks[i];

        if (s->stack != a->stack || a->layer >= s->n_blocks)
            continue;
        return a->kind == GQA_ATTENTION_SELF ? &s->blocks[a->layer].self : NULL;
    }
    return NULL;
}

static const struct gqa_pool_step *steps_of(const struct gqa_recipe *recipe,
                                            size_t attention)
{
    return recipe->steps + attention * recipe->n_steps;
}

static bool is_moved(const struct gqa_recipe *recipe, size_t attention)
{
    for (size_t k = 0; k < recipe->n_steps; k++)
        if (steps_of(recipe, attention)[k].heads)
            return true;
    return false;
}

static bool same_order(const struct gqa_recipe *recipe, size_t a, size_t b)
{
    for (size_t k = 0; k < recipe->n_steps; k++) {
        const json_t *x = steps_of(recipe, a)[k].heads;
        const json_t *y = steps_of(recipe, b)[k].heads;

        if ((x || y) && !json_equal(x, y))
            return false;
    }
    return true;
}

/* Attention i reads the table; GQA_NO_PARAM: it reads none. */
static void follow_table(size_t *follows, struct gqa_finding *finding,
                         const struct gqa_model *m,
                         const struct gqa_recipe *recipe, size_t table,
                         size_t i)
{
    if (table == GQA_NO_PARAM)
        return;
    if (follows[table] == GQA_FOLLOWS_NONE)
        follows[table] = i;
    else if (!same_order(recipe, follows[table], i))
        gqa_note(finding,
                 "attentions that read '%.300s' are told to have their "
                 "heads in different orders",
                 m->params[table].name);
}

static void follow(size_t *follows, struct gqa_finding *finding,
                   const struct gqa_network *network,
                   const struct gqa_recipe *recipe)
{
    const struct gqa_model *m = network->model;

    for (size_t i = 0; i < m->n_attentions; i++) {
        const struct gqa_attention_block *b =
            block_of(network, &m->attentions[i]);

        if (!b || !recipe->fits[i])
            continue;
        follow_table(follows, finding, m, recipe, b->bias.table, i);
        if (b->summaries.size)
            follow_table(follows, finding, m, recipe, b->summaries.bias.table,
                         i);
    }
    for (size_t p = 0; p < m->n_params; p++)
        if (follows[p] != GQA_FOLLOWS_NONE && !is_moved(recipe, follows[p]))
            follows[p] = GQA_FOLLOWS_NONE;
}

enum gqa_status gqa_tables_find(size_t *follows, struct gqa_finding *finding,
                                const struct gqa_model *converted,
                                const struct gqa_recipe *recipe)
{
    struct gqa_network *network = NULL;
    bool any = false;
    enum gqa_status st;

    for (size_t p = 0; p < converted->n_params; p++)
        follows[p] = GQA_FOLLOWS_NONE;
    for (size_t i = 0; i < converted->n_attentions; i++)
        any = any || (recipe->fits[i] && is_moved(recipe, i));
    if (!any)
        return GQA_OK;
    st = gqa_network_create(&network, converted);
    if (st == GQA_OK)
        follow(follows, finding, network, recipe);
    gqa_network_free(network);
    /* What cannot be run has no table that is known, and was not aligned. */
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}

/* --- One ------------------------------------------------------------------ */

/* Column of the original that comes to stand at a place, through all steps. */
static uint64_t source_column(const struct gqa_table_pair *pair, uint64_t place)
{
    const struct gqa_pool_step *steps = steps_of(pair->recipe, pair->attention);
    const uint64_t n = pair->model->attentions[pair->attention].n_heads;

    for (size_t k = pair->recipe->n_steps; k > 0; k--) {
        const uint64_t per = n / steps[k - 1].source;
        uint64_t head = place / per;

        if (!steps[k - 1].heads)
            continue;
        (void)gqa_json_u64(json_array_get(steps[k - 1].heads, (size_t)head),
                           &head);
        place = head * per + place % per;
    }
    return place;
}

static double rounded(double x, enum gqa_dtype dtype)
{
    double out;
    char stored[sizeof out];

    gqa_store_f64(stored, dtype, &x, 1);
    gqa_load_f64(&out, stored, dtype, 1);
    return out;
}

static void compare_row(struct gqa_finding *finding,
                        const struct gqa_table_pair *pair, uint64_t row,
                        const double *from, const double *to)
{
    const struct gqa_recipe *r = pair->recipe;

    for (uint64_t c = 0; c < pair->to->cols; c++) {
        const uint64_t column = source_column(pair, c);
        double must = from[column];

        for (size_t k = 0; k < r->n_dtypes; k++)
            must = rounded(must, r->dtypes[k]);
        must = rounded(must, pair->to->dtype);
        if (to[c] == must || (isnan(to[c]) && isnan(must)))
            continue;
        gqa_note(finding,
                 "'%.300s', row %" PRIu64 ", column %" PRIu64
                 ": %.9g, in column %" PRIu64 " of the original %.9g",
                 pair->to->name, row, c, to[c], column, must);
        return;
    }
}

enum gqa_status gqa_table_replay(struct gqa_finding *finding,
                                 const struct gqa_table_pair *pair)
{
    const uint64_t n = pair->model->attentions[pair->attention].n_heads;
    double *memory;
    enum gqa_status st = GQA_OK;

    if (pair->from->rows != pair->to->rows || pair->from->cols != n ||
        pair->to->cols != n || !gqa_dtype_is_float(pair->from->dtype) ||
        !gqa_dtype_is_float(pair->to->dtype)) {
        gqa_note(finding, "'%.300s' is no table of %" PRIu64 " heads",
                 pair->to->name, n);
        return GQA_OK;
    }
    memory = malloc(4 * n * sizeof *memory);
    if (!memory)
        return gqa_fail_nomem();
    for (uint64_t row = 0; row < pair->to->rows && st == GQA_OK; row++) {
        double *from = memory, *to = memory + n, *raw = memory + 2 * n;

        st = gqa_param_read(pair->original, pair->from, row, 1, 0, n, raw, n,
                            raw + n);
        if (st != GQA_OK)
            break;
        gqa_load_f64(from, raw, pair->from->dtype, (size_t)n);
        st = gqa_param_read(pair->converted, pair->to, row, 1, 0, n, raw, n,
                            raw + n);
        if (st != GQA_OK)
            break;
        gqa_load_f64(to, raw, pair->to->dtype, (size_t)n);
        compare_row(finding, pair, row, from, to);
    }
    free(memory);
    return st;
}
