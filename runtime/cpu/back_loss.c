/* Losses of the CPU backend, row by row, and their sums in the order of
 * rows; and comparisons. */
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "runtime/cpu/back.h"
#include "runtime/measure/fidelity.h"

enum { KINDS = 3 };

struct losses {
    const struct gqa_device *device;
    const struct gqa_loss_op *op;
    double *losses; /* [n_rows, KINDS] */
};

static void lose_row(void *ctx, size_t r, void *scratch)
{
    const struct losses *l = ctx;
    const struct gqa_loss_op *op = l->op;
    const size_t size = l->device->real->size;
    const size_t row_bytes = (size_t)op->vocab_size * size;
    struct gqa_cpu_loss_row row = {
        .op = op,
        .student = (const char *)op->student + r * row_bytes,
        .label = op->labels ? op->labels[r] : -1,
        .weight = op->weights[r],
        .losses = l->losses + r * KINDS,
    };

    if (op->teacher)
        row.teacher = (const char *)op->teacher + r * row_bytes;
    if (op->d_logits)
        row.d_logits = (char *)op->d_logits + r * row_bytes;
    if (row.weight != 0)
        l->device->real->back->loss(&row, scratch);
    else if (row.d_logits)
        memset(row.d_logits, 0, row_bytes);
}

static void add_up(const struct losses *l, double *sums)
{
    const struct gqa_loss_op *op = l->op;

    for (uint64_t r = 0; r < op->n_rows; r++) {
        const double w = op->weights[r], *row = l->losses + r * KINDS;

        for (int i = 0; i < KINDS; i++)
            sums[i] += w * row[i];
        sums[KINDS] += w * (op->kl * row[0] + op->reverse_kl * row[1] +
                            op->cross_entropy * row[2]);
    }
}

enum gqa_status gqa_cpu_back_loss(struct gqa_device *device,
                                  const struct gqa_loss_op *op)
{
    struct losses l = {
        .device = device,
        .op = op,
        .losses = calloc((size_t)op->n_rows * KINDS + 1, sizeof *l.losses),
    };
    enum gqa_status st;

    if (!l.losses)
        return gqa_fail_nomem();
    st = gqa_cpu_pool_run(device->pool, (size_t)op->n_rows,
                          3 * (size_t)op->vocab_size * device->real->size,
                          lose_row, &l);
    if (st == GQA_OK && op->sums)
        add_up(&l, op->sums);
    if (st == GQA_OK && op->losses)
        memcpy(op->losses, l.losses,
               (size_t)op->n_rows * KINDS * sizeof *l.losses);
    free(l.losses);
    return st;
}

/* --- Comparisons ---------------------------------------------------------- */

struct comparing {
    struct gqa_logit_comparison *out;
    const char *logits[GQA_N_MODELS];
    enum gqa_dtype dtype;
    size_t vocab_size;
    const int32_t *labels;
};

static void compare_row(void *ctx, size_t r, void *scratch)
{
    const struct comparing *c = ctx;
    const size_t row_bytes = c->vocab_size * gqa_dtype_bits(c->dtype) / 8;
    double *values = scratch;

    for (int m = 0; m < GQA_N_MODELS; m++)
        gqa_load_f64(values + (size_t)m * c->vocab_size,
                     c->logits[m] + r * row_bytes, c->dtype, c->vocab_size);
    gqa_compare_logits(&c->out[r], values, values + c->vocab_size,
                       c->vocab_size, c->labels[r]);
}

enum gqa_status gqa_cpu_compare(struct gqa_device *device,
                                struct gqa_logit_comparison *out,
                                const void *original, const void *converted,
                                uint64_t n_rows, uint64_t vocab_size,
                                const int32_t *labels)
{
    struct comparing c = {.out = out,
                          .logits = {original, converted},
                          .dtype = device->dtype,
                          .vocab_size = (size_t)vocab_size,
                          .labels = labels};

    return gqa_cpu_pool_run(device->pool, (size_t)n_rows,
                            GQA_N_MODELS * (size_t)vocab_size * sizeof(double),
                            compare_row, &c);
}
