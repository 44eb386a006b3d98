#include "uptrain/loss.h"

#include <stdlib.h>

#include "common/bounds.h"
#include "runtime/values.h"

/* Logits at a time: on a processor what its caches hold of one model. */
enum { CPU_LOGITS = 1 << 20, DEVICE_LOGITS = 1 << 26, MAX_ROWS = 1 << 16 };

struct gqa_loss {
    const struct gqa_backend *backend;
    struct gqa_device *device, *beside;
    uint64_t vocab_size, n_rows; /* at a time */
    double logit_scale, soft_cap;
    size_t wide; /* bytes of an element */
    void *teacher, *student, *d_logits;
};

static uint64_t rows_at_a_time(const struct gqa_network *network,
                               const struct gqa_backend *backend)
{
    const uint64_t all = backend->in_place ? CPU_LOGITS : DEVICE_LOGITS;

    return gqa_min_u64(gqa_max_u64(all / network->vocab_size, 1), MAX_ROWS);
}

uint64_t gqa_loss_bytes(const struct gqa_network *student,
                        const struct gqa_backend *backend, enum gqa_dtype real)
{
    const uint64_t wide = gqa_wide_bytes(real);

    return rows_at_a_time(student, backend) * student->vocab_size *
           (2 * wide + gqa_dtype_bits(real) / 8);
}

enum gqa_status gqa_loss_create(struct gqa_loss **out,
                                const struct gqa_backend *backend,
                                struct gqa_device *device,
                                struct gqa_device *beside,
                                const struct gqa_network *student)
{
    struct gqa_loss *loss = calloc(1, sizeof *loss);
    struct gqa_device_info info;
    uint64_t n;
    enum gqa_status st;

    if (!loss)
        return gqa_fail_nomem();
    *loss = (struct gqa_loss){.backend = backend,
                              .device = device,
                              .beside = beside,
                              .vocab_size = student->vocab_size,
                              .logit_scale = student->logit_scale,
                              .soft_cap = student->logit_soft_cap,
                              .n_rows = rows_at_a_time(student, backend)};
    n = loss->n_rows * loss->vocab_size;
    if ((st = backend->describe(device, &info)) != GQA_OK)
        goto done;
    loss->wide = gqa_wide_bytes(info.real);
    if ((st = backend->alloc(device, &loss->teacher, n * loss->wide)) !=
            GQA_OK ||
        (st = backend->alloc(device, &loss->student, n * loss->wide)) !=
            GQA_OK ||
        (st = backend->alloc(device, &loss->d_logits,
                             n * (gqa_dtype_bits(info.real) / 8))) != GQA_OK)
        goto done;
    *out = loss;
    loss = NULL;
done:
    gqa_loss_free(loss);
    return st;
}

void gqa_loss_free(struct gqa_loss *loss)
{
    if (!loss)
        return;
    loss->backend->free(loss->device, loss->teacher);
    loss->backend->free(loss->device, loss->student);
    loss->backend->free(loss->device, loss->d_logits);
    free(loss);
}

static bool any_counts(const double *weights, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (weights[i] != 0)
            return true;
    return false;
}

/* The teacher's logits of some rows, once what was before them has been read.
 */
static enum gqa_status teacher_logits(struct gqa_loss *l,
                                      struct gqa_tape *teacher, uint64_t row,
                                      uint64_t n)
{
    enum gqa_status st =
        l->beside ? l->backend->wait_for(l->beside, l->device) : GQA_OK;

    if (st == GQA_OK)
        st = gqa_tape_logits(teacher, row, n, l->teacher);
    return st == GQA_OK && l->beside
               ? l->backend->wait_for(l->device, l->beside)
               : st;
}

enum gqa_status gqa_loss_back(struct gqa_loss *l,
                              const struct gqa_loss_mix *mix,
                              struct gqa_tape *teacher,
                              struct gqa_tape *student,
                              const struct gqa_loss_rows *rows, void *sums)
{
    const uint64_t all = gqa_tape_n_rows(student);
    enum gqa_status st = GQA_OK;

    for (uint64_t row = 0, n; row < all && st == GQA_OK; row += n) {
        struct gqa_loss_op op = {.student = l->student,
                                 .vocab_size = l->vocab_size,
                                 .labels = rows->labels + row,
                                 .weights = rows->weights + row,
                                 .kl = mix->kl,
                                 .reverse_kl = mix->reverse_kl,
                                 .cross_entropy = mix->cross_entropy,
                                 .temperature = 1,
                                 .soft_cap = l->soft_cap,
                                 .factor = l->logit_scale,
                                 .d_logits = l->d_logits,
                                 .sums = sums};

        n = gqa_min_u64(l->n_rows, all - row);
        if (!any_counts(op.weights, n))
            continue;
        op.n_rows = n;
        if (gqa_loss_wants_teacher(mix)) {
            op.teacher = l->teacher;
            st = teacher_logits(l, teacher, row, n);
        }
        if (st == GQA_OK)
            st = gqa_tape_logits(student, row, n, l->student);
        if (st == GQA_OK)
            st = l->backend->gradients->loss(l->device, &op);
        if (st == GQA_OK)
            st = gqa_tape_logits_back(student, row, n, l->d_logits);
    }
    return st;
}

/* --- For measures --------------------------------------------------------- */

enum gqa_status gqa_loss_visit(struct gqa_loss *l, struct gqa_tape *teacher,
                               struct gqa_tape *student,
                               const struct gqa_loss_rows *rows,
                               const struct gqa_loss_visit *visit)
{
    const uint64_t all = gqa_tape_n_rows(student);
    struct gqa_logit_comparison *out = calloc(l->n_rows, sizeof *out);
    enum gqa_status st = out ? GQA_OK : gqa_fail_nomem();

    for (uint64_t row = 0, n; row < all && st == GQA_OK; row += n) {
        n = gqa_min_u64(l->n_rows, all - row);
        if (!any_counts(rows->weights + row, n))
            continue;
        st = teacher_logits(l, teacher, row, n);
        if (st == GQA_OK)
            st = gqa_tape_logits(student, row, n, l->student);
        if (st == GQA_OK)
            st = l->backend->gradients->compare(l->device, out, l->teacher,
                                                l->student, n, l->vocab_size,
                                                rows->labels + row);
        if (st == GQA_OK)
            st = visit->rows(visit->ctx, row, n, out);
    }
    free(out);
    return st;
}
