/* Source: tie_weights() of transformers 4.57 and 5. */
#include "formats/model/tied.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "formats/families/nested.h"

enum {
    N_SOME = 64, /* rows; of a matrix trained by itself nearly all differ */
    PIECE_BYTES = 1024 * 1024,
    MAX_TEXT = 3 * GQA_MAX_NAME,
};

/* --- Which ---------------------------------------------------------------- */

/* "prefix" "module" ".weight" */
static bool find_module(size_t *index, const struct gqa_model *model,
                        const char *module)
{
    for (gqa_texts p = model->family->names.prefixes; *p; p++) {
        char name[2 * GQA_MAX_NAME];

        snprintf(name, sizeof name, "%s%s.weight", *p, module);
        if (gqa_model_find(model, name, index))
            return true;
    }
    return false;
}

bool gqa_find_embedding(size_t *index, const struct gqa_model *model)
{
    const char *module = gqa_written_embedding(model->family, model->config);

    return module && find_module(index, model, module);
}

bool gqa_name_is_unembedding(const struct gqa_model *model, const char *name)
{
    for (gqa_texts stem = model->family->names.unembedding; stem && *stem;
         stem++) {
        const size_t n = strlen(*stem);

        if (strncmp(name, *stem, n) == 0 && strcmp(name + n, ".weight") == 0)
            return true;
    }
    return false;
}

/* --- What configurations say ---------------------------------------------- */

/* What the whole says beside the language model, or stands for there. */
static bool is_tied_outside(bool *is_said, const struct gqa_nested *nested,
                            const json_t *whole)
{
    static const char name[] = "tie_word_embeddings";
    const json_t *said = json_object_get(whole, name);
    json_t *silent = nested->silent ? gqa_json_own(nested->silent) : NULL;
    const bool tied = json_is_true(said ? said : json_object_get(silent, name));

    *is_said = said != NULL;
    json_decref(silent);
    return tied;
}

enum gqa_status gqa_model_tied(struct gqa_tied *out,
                               const struct gqa_model *model)
{
    const struct gqa_nested *nested = gqa_model_nested(model);
    const enum gqa_nested_tied by = nested ? nested->tied : GQA_TIED_INSIDE;
    const json_t *value = NULL;
    bool outside = false, is_said = false;
    enum gqa_status st;

    *out = (struct gqa_tied){0};
    st = gqa_setting_get(&value, &out->key, &model->family->logits.tied,
                         model->config);
    if (st != GQA_OK)
        return st;
    out->in_4 = out->in_5 = json_is_true(value);
    if (by == GQA_TIED_INSIDE)
        return GQA_OK;
    outside = is_tied_outside(&is_said, nested, model->outer_config);
    out->in_5 = by == GQA_TIED_EITHER_IN_5 ? out->in_4 || outside : outside;
    if (by == GQA_TIED_OUTSIDE) {
        out->in_4 = outside;
        out->key = is_said ? "tie_word_embeddings" : NULL;
    }
    return gqa_json_check();
}

/* --- Whether they are the same -------------------------------------------- */

/* Memory of one comparison: a piece of each, as stored and as numbers. */
struct pieces {
    char *a, *b, *scratch;
    double *x, *y;
    uint64_t cols; /* of a row, at a time */
    uint64_t rows; /* at a time */
};

static void pieces_free(struct pieces *p)
{
    free(p->a);
    free(p->b);
    free(p->scratch);
    free(p->x);
    free(p->y);
}

static enum gqa_status pieces_create(struct pieces *p,
                                     const struct gqa_param *param,
                                     enum gqa_tied_rows rows)
{
    const uint64_t max = PIECE_BYTES / sizeof(double);
    const size_t n = PIECE_BYTES;

    p->cols = param->cols < max ? param->cols : max;
    p->rows = rows == GQA_TIED_SOME ? 1 : max / p->cols;
    p->a = malloc(n);
    p->b = malloc(n);
    p->scratch = malloc(n);
    p->x = malloc(n);
    p->y = malloc(n);
    return p->a && p->b && p->scratch && p->x && p->y ? GQA_OK
                                                      : gqa_fail_nomem();
}

static bool are_same(const struct pieces *p, const struct gqa_param *a,
                     const struct gqa_param *b, size_t n)
{
    if (a->dtype == b->dtype)
        return memcmp(p->a, p->b, n * gqa_dtype_bits(a->dtype) / 8) == 0;
    gqa_load_f64(p->x, p->a, a->dtype, n);
    gqa_load_f64(p->y, p->b, b->dtype, n);
    for (size_t i = 0; i < n; i++)
        if (p->x[i] != p->y[i])
            return false;
    return true;
}

/* All columns of some rows. */
static enum gqa_status compare_rows(bool *out, const struct pieces *p,
                                    struct gqa_checkpoint *checkpoint,
                                    const struct gqa_param *a,
                                    const struct gqa_param *b, uint64_t row,
                                    uint64_t n_rows)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t c = 0; c < a->cols && *out && st == GQA_OK; c += p->cols) {
        const uint64_t n = a->cols - c < p->cols ? a->cols - c : p->cols;

        st = gqa_param_read(checkpoint, a, row, n_rows, c, n, p->a, n,
                            p->scratch);
        if (st == GQA_OK)
            st = gqa_param_read(checkpoint, b, row, n_rows, c, n, p->b, n,
                                p->scratch);
        if (st == GQA_OK)
            *out = are_same(p, a, b, (size_t)(n_rows * n));
    }
    return st;
}

enum gqa_status gqa_params_agree(bool *out, struct gqa_checkpoint *checkpoint,
                                 const struct gqa_param *a,
                                 const struct gqa_param *b,
                                 enum gqa_tied_rows rows)
{
    struct pieces p = {0};
    uint64_t step;
    enum gqa_status st;

    *out = a->rows == b->rows && a->cols == b->cols &&
           gqa_dtype_is_float(a->dtype) && gqa_dtype_is_float(b->dtype);
    if (!*out || a->n_elements == 0)
        return GQA_OK;
    st = pieces_create(&p, a, rows);
    step = rows == GQA_TIED_ALL ? p.rows : (a->rows + N_SOME - 1) / N_SOME;
    for (uint64_t r = 0; r < a->rows && *out && st == GQA_OK; r += step) {
        const uint64_t n = a->rows - r < p.rows ? a->rows - r : p.rows;

        st = compare_rows(out, &p, checkpoint, a, b, r, n);
    }
    pieces_free(&p);
    return st;
}

/* --- What is said ----------------------------------------------------------
 */

/* Parameter index of the one that is to be a copy and is none; GQA_NO_PARAM:
 * all are. */
static enum gqa_status find_other(size_t *out,
                                  struct gqa_checkpoint *checkpoint,
                                  const struct gqa_model *model,
                                  size_t embedding, size_t candidate,
                                  enum gqa_tied_rows rows)
{
    const struct gqa_param *a = &model->params[embedding];
    const struct gqa_param *b = &model->params[candidate];
    bool same = true;
    enum gqa_status st;

    *out = GQA_NO_PARAM;
    /* Of another shape it is another fault; what is quantised is none of the
     * two by itself. */
    if (candidate == embedding || a->rows != b->rows || a->cols != b->cols ||
        !gqa_dtype_is_float(a->dtype) || !gqa_dtype_is_float(b->dtype))
        return GQA_OK;
    st = gqa_params_agree(&same, checkpoint, a, b, rows);
    if (st == GQA_OK && !same)
        *out = candidate;
    return st;
}

/* Without a matrix for logits of its own, a version draws one. */
static void say_levels(char *text, const struct gqa_model *model,
                       const struct gqa_tied *tied)
{
    snprintf(text, MAX_TEXT,
             "'%.200s.weight' is not there, and tie_word_embeddings is true %s "
             "%s alone: transformers %s draws it afresh, transformers %s and "
             "these tools make logits with the embedding",
             model->family->names.unembedding[0], tied->in_4 ? "in" : "beside",
             model->within, tied->in_4 ? "5" : "4", tied->in_4 ? "4" : "5");
}

static enum gqa_status say_unembedding(char *text,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       size_t embedding,
                                       enum gqa_tied_rows rows)
{
    bool is_there = false;
    struct gqa_tied tied;
    size_t other = GQA_NO_PARAM, index;
    enum gqa_status st = gqa_model_tied(&tied, model);

    for (gqa_texts stem = model->family->names.unembedding;
         st == GQA_OK && stem && *stem && other == GQA_NO_PARAM; stem++) {
        char name[GQA_MAX_NAME + 8];

        snprintf(name, sizeof name, "%s.weight", *stem);
        if (!gqa_model_find(model, name, &index))
            continue;
        is_there = true;
        if (tied.in_4)
            st = find_other(&other, checkpoint, model, embedding, index, rows);
    }
    if (st == GQA_OK && !is_there && tied.in_4 != tied.in_5)
        say_levels(text, model, &tied);
    if (st == GQA_OK && other != GQA_NO_PARAM)
        snprintf(text, MAX_TEXT,
                 "'%.200s' is not '%.200s', though tie_word_embeddings %s: "
                 "transformers 4 makes logits with the embedding, transformers "
                 "5 and these tools with what is there, as false would say",
                 model->params[other].name, model->params[embedding].name,
                 tied.key ? "is true" : "is absent, which stands for true");
    return st;
}

/* What a stack has for itself is no copy. */
static bool is_own_table(const struct gqa_model *model, const char *module)
{
    for (int s = 0; s < 2; s++)
        if (model->family->stacks[s].embedding.table.json &&
            strcmp(module, gqa_embedding_of(model->family, (enum gqa_stack)s,
                                            model->config)) == 0)
            return true;
    return false;
}

static enum gqa_status say_copies(char *text, struct gqa_checkpoint *checkpoint,
                                  const struct gqa_model *model,
                                  size_t embedding, enum gqa_tied_rows rows)
{
    size_t other = GQA_NO_PARAM, index;
    enum gqa_status st = GQA_OK;

    for (gqa_texts copy = model->family->names.copies;
         copy && *copy && st == GQA_OK && other == GQA_NO_PARAM; copy++)
        if (!is_own_table(model, *copy) && find_module(&index, model, *copy))
            st = find_other(&other, checkpoint, model, embedding, index, rows);
    if (st == GQA_OK && other != GQA_NO_PARAM)
        snprintf(text, MAX_TEXT,
                 "'%.200s' is not '%.200s': transformers 5 embeds tokens with "
                 "what is there, these tools and, where embeddings are tied, "
                 "transformers 4 with the latter",
                 model->params[other].name, model->params[embedding].name);
    return st;
}

enum gqa_status gqa_tied_text(char **out, struct gqa_checkpoint *checkpoint,
                              const struct gqa_model *model,
                              enum gqa_tied_rows rows)
{
    char text[MAX_TEXT] = "";
    size_t embedding;
    enum gqa_status st;

    *out = NULL;
    if (!gqa_find_embedding(&embedding, model))
        return GQA_OK;
    st = say_unembedding(text, checkpoint, model, embedding, rows);
    if (st == GQA_OK && !*text)
        st = say_copies(text, checkpoint, model, embedding, rows);
    /* What cannot be read is told by who reads all of it. */
    if (st == GQA_ERR_FORMAT)
        return GQA_OK;
    if (st == GQA_OK && *text && !(*out = strdup(text)))
        return gqa_fail_nomem();
    return st;
}
