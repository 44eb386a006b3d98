#include "verify/pairing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strings.h"
#include "formats/families/family.h"
#include "formats/model/buffers.h"
#include "formats/model/sinusoids.h"
#include "formats/model/tied.h"

/* Under prefix `to` what `name` is under `from`. */
static bool find_under(size_t *found, const struct gqa_model *model,
                       const char *name, const char *from, const char *to)
{
    const size_t n = strlen(from);
    char other[2 * GQA_MAX_NAME];

    if (strncmp(name, from, n) != 0)
        return false;
    snprintf(other, sizeof other, "%s%s", to, name + n);
    return gqa_model_find(model, other, found);
}

/* A part beside a language model: what is saved has no "model." before it, and
 * what the class itself calls it has. */
static bool find_part(size_t *found, const struct gqa_model *model,
                      const char *name)
{
    return gqa_model_nested(model) &&
           (find_under(found, model, name, "model.", "") ||
            find_under(found, model, name, "", "model."));
}

/* Of another prefix of the family's than `name` has; none is one, too. */
static bool find_renamed(size_t *found, const struct gqa_model *model,
                         const char *name)
{
    const gqa_texts prefixes = model->family->names.prefixes;

    if (find_part(found, model, name))
        return true;
    for (gqa_texts from = prefixes; *from; from++) {
        if (find_under(found, model, name, *from, "") ||
            find_under(found, model, name, "", *from))
            return true;
        for (gqa_texts to = prefixes; *to; to++)
            if (find_under(found, model, name, *from, *to))
                return true;
    }
    return false;
}

/* T5's encoder.embed_tokens and decoder.embed_tokens. */
static bool is_embedding_of_stack(const char *name)
{
    return gqa_has_ending(name, ".embed_tokens.weight");
}

/* Whether a model without the parameter takes the embedding for it. */
static enum gqa_status is_shared(bool *shared, const struct gqa_model *without,
                                 const char *name)
{
    struct gqa_tied tied;
    enum gqa_status st;

    *shared = false;
    if (!gqa_name_is_unembedding(without, name)) {
        *shared = is_embedding_of_stack(name);
        return GQA_OK;
    }
    st = gqa_model_tied(&tied, without);
    *shared = st == GQA_OK && tied.in_4 && tied.in_5;
    return st;
}

/* Whether parameter i, which the other side lacks, is a copy of the
 * embedding on its own side. */
static enum gqa_status is_copy(bool *copy, const struct gqa_subject *has,
                               size_t i)
{
    const struct gqa_param *params = has->model->params;
    size_t embedding;

    *copy = false;
    if (!gqa_find_embedding(&embedding, has->model) || embedding == i ||
        params[embedding].dtype != params[i].dtype)
        return GQA_OK;
    return gqa_params_agree(copy, has->checkpoint, &params[embedding],
                            &params[i], GQA_TIED_ALL);
}

/* A parameter that one side alone has: whether nothing depends on it. */
static enum gqa_status judge_lone(struct gqa_pairing *p, bool *harmless,
                                  const struct gqa_subject *has, size_t i,
                                  const struct gqa_subject *lacks,
                                  const char *where)
{
    const char *name = has->model->params[i].name;
    bool shared;
    enum gqa_status st;

    *harmless = gqa_model_is_buffer(has->model, name);
    if (*harmless) {
        gqa_note(&p->remark, "'%.200s', a buffer that nothing reads, is in %s",
                 name, where);
        return GQA_OK;
    }
    st = gqa_param_is_sinusoids(harmless, has->checkpoint, has->model, i);
    if (st == GQA_OK && *harmless)
        gqa_note(&p->remark, "'%.200s', sinusoids that are computed, is in %s",
                 name, where);
    if (st != GQA_OK || *harmless)
        return st;
    st = is_shared(&shared, lacks->model, name);
    if (st == GQA_OK && shared)
        st = is_copy(harmless, has, i);
    if (st == GQA_OK && *harmless)
        gqa_note(&p->remark,
                 "'%.200s', a copy of the embedding, is in %s; the other "
                 "shares it",
                 name, where);
    return st;
}

/* "transformer." of "transformer.h.0" and "h.0", where the model is all. */
static void note_prefix(struct gqa_pairing *p, const struct gqa_model *model,
                        const char *from, const char *to)
{
    const bool lack = strlen(to) < strlen(from);
    const char *longer = lack ? from : to;
    const char *shorter = lack ? to : from;

    if (!gqa_model_nested(model) && gqa_has_ending(longer, shorter))
        gqa_note_more(
            &p->remark, "names %s the prefix '%.*s', as of a model %s",
            lack ? "lack" : "have", (int)(strlen(longer) - strlen(shorter)),
            longer, lack ? "without its head" : "with its head");
    else
        gqa_note_more(&p->remark,
                      "names have another prefix: '%.200s' is '%.200s' in the "
                      "original",
                      to, from);
}

enum gqa_status gqa_pairing_make(struct gqa_pairing *out,
                                 const struct gqa_subject *original,
                                 const struct gqa_subject *converted)
{
    const struct gqa_model *a = original->model, *b = converted->model;
    bool *taken = calloc(a->n_params + 1, sizeof *taken);
    bool renamed = false, harmless;
    enum gqa_status st = GQA_OK;

    memset(out, 0, sizeof *out);
    out->partner = calloc(b->n_params + 1, sizeof *out->partner);
    if (!taken || !out->partner) {
        free(taken);
        return gqa_fail_nomem();
    }
    for (size_t i = 0; i < b->n_params && st == GQA_OK; i++) {
        const char *name = b->params[i].name;
        size_t found;

        out->partner[i] = GQA_NO_PARAM;
        if (!gqa_model_find(a, name, &found)) {
            if (!find_renamed(&found, a, name) || taken[found]) {
                st = judge_lone(out, &harmless, converted, i, original,
                                "the converted one alone");
                if (st == GQA_OK && !harmless)
                    gqa_note(&out->finding, "'%.300s' is not in the original",
                             name);
                continue;
            }
            if (!renamed)
                note_prefix(out, a, a->params[found].name, name);
            renamed = true;
        }
        taken[found] = true;
        out->partner[i] = found;
    }
    for (size_t i = 0; i < a->n_params && st == GQA_OK; i++) {
        if (taken[i])
            continue;
        st = judge_lone(out, &harmless, original, i, converted,
                        "the original alone");
        if (st == GQA_OK && !harmless)
            gqa_note(&out->finding, "'%.300s' of the original is missing",
                     a->params[i].name);
    }
    free(taken);
    return st;
}

void gqa_pairing_free(struct gqa_pairing *pairing)
{
    free(pairing->partner);
    memset(pairing, 0, sizeof *pairing);
}
