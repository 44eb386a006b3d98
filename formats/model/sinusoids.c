#include "formats/model/sinusoids.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/families/family.h"

/* Angles were made in float32 by some, in float64 by others. */
static const double tolerance = 2e-3;

void gqa_sinusoids_row(double *row, enum gqa_sinusoids kind, uint64_t half,
                       uint64_t position)
{
    const double last =
        (double)(kind == GQA_SINUSOIDS_MARIAN ? half : half - 1);
    const bool turned = kind == GQA_SINUSOIDS_MUSICGEN;

    for (uint64_t i = 0; i < half; i++) {
        const double angle = (double)position * pow(10000, -(double)i / last);

        row[i] = turned ? cos(angle) : sin(angle);
        row[half + i] = turned ? sin(angle) : cos(angle);
    }
}

/* Under one of the family's prefixes. */
static bool is_of(const struct gqa_family *family, const char *name,
                  const char *positions)
{
    for (gqa_texts prefix = family->names.prefixes; *prefix; prefix++) {
        char whole[2 * GQA_MAX_NAME];

        snprintf(whole, sizeof whole, "%s%s.weight", *prefix, positions);
        if (strcmp(name, whole) == 0)
            return true;
    }
    return false;
}

static const struct gqa_embedding_rule *find_rule(const struct gqa_model *model,
                                                  const char *name)
{
    const struct gqa_family *family = model->family;

    if (family->positions.sinusoids == GQA_SINUSOIDS_NONE)
        return NULL;
    for (size_t s = 0; s < 2; s++) {
        const struct gqa_embedding_rule *rule = &family->stacks[s].embedding;

        if (rule->positions && is_of(family, name, rule->positions))
            return rule;
    }
    return NULL;
}

static bool is_row(const double *row, const double *made, uint64_t n,
                   bool is_zero)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(fabs(row[i] - (is_zero ? 0 : made[i])) <= tolerance))
            return false;
    return true;
}

/* room: of three rows of doubles. */
static enum gqa_status compare_rows(bool *out,
                                    struct gqa_checkpoint *checkpoint,
                                    const struct gqa_param *p,
                                    enum gqa_sinusoids kind, uint64_t zero_row,
                                    double *room)
{
    double *row = room, *made = room + p->cols, *bytes = room + 2 * p->cols;
    enum gqa_status st = GQA_OK;

    for (uint64_t r = 0; r < p->rows && *out && st == GQA_OK; r++) {
        st = gqa_param_read(checkpoint, p, r, 1, 0, p->cols, bytes, p->cols,
                            row);
        if (st != GQA_OK)
            return st;
        gqa_load_f64(row, bytes, p->dtype, (size_t)p->cols);
        gqa_sinusoids_row(made, kind, p->cols / 2, r);
        *out = is_row(row, made, p->cols, r == zero_row);
    }
    return st;
}

enum gqa_status gqa_param_is_sinusoids(bool *out,
                                       struct gqa_checkpoint *checkpoint,
                                       const struct gqa_model *model,
                                       size_t index)
{
    const struct gqa_param *p = &model->params[index];
    const struct gqa_embedding_rule *rule = find_rule(model, p->name);
    uint64_t zero_row = UINT64_MAX;
    double *room;
    enum gqa_status st;

    *out = rule && gqa_dtype_is_float(p->dtype) && p->cols >= 4 &&
           p->cols % 2 == 0;
    if (!*out)
        return GQA_OK;
    if ((st = gqa_setting_count(&zero_row, &rule->zero_row, model->config)) !=
        GQA_OK)
        return st;
    if (!(room = calloc((size_t)p->cols, 3 * sizeof *room)))
        return gqa_fail_nomem();
    st = compare_rows(out, checkpoint, p, model->family->positions.sinusoids,
                      zero_row, room);
    free(room);
    return st;
}
