/* Outputs that are several files of weights beside each other. */
#include <stdlib.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/checked.h"
#include "formats/write/weights.h"

struct files {
    const struct gqa_weights *const *weights; /* [n] */
    struct gqa_atomic **targets;              /* [n], NULL: not begun */
    size_t n;
};

/* All have a place before anything is written. */
static enum gqa_status begin(const struct files *f,
                             const struct gqa_weights_form *form)
{
    uint64_t all = 0;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < f->n && st == GQA_OK; i++) {
        st = gqa_atomic_create_file(&f->targets[i], f->weights[i]->path, false);
        if (!gqa_add_u64(all, form->file_bytes(f->weights[i]), &all))
            all = UINT64_MAX;
    }
    return st == GQA_OK ? gqa_atomic_check_space(f->targets[0], all) : st;
}

static enum gqa_status write_each(struct gqa_output_summary *summary,
                                  const struct files *f,
                                  const struct gqa_weights_form *form)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < f->n && st == GQA_OK; i++) {
        uint64_t bytes = 0;

        st = gqa_weights_write(f->weights[i], form,
                               gqa_atomic_fd(f->targets[i]), &bytes);
        summary->file_bytes += bytes;
        summary->n_files++;
    }
    return st;
}

/* From the last to the first. Nothing had their names, so that those which
 * appeared before one failed are ours to remove. */
static enum gqa_status commit(const struct files *f)
{
    size_t left = f->n;
    enum gqa_status st = GQA_OK;

    while (left > 0 && (st = gqa_atomic_commit(f->targets[left - 1])) == GQA_OK)
        left--;
    for (size_t i = left; st != GQA_OK && i < f->n; i++)
        unlink(f->weights[i]->path);
    return st;
}

enum gqa_status gqa_several_files_put(struct gqa_output_summary *summary,
                                      const struct gqa_weights *const *weights,
                                      size_t n,
                                      const struct gqa_weights_form *form)
{
    const struct gqa_output_options *options = weights[0]->output->options;
    struct files f = {weights, calloc(n, sizeof *f.targets), n};
    enum gqa_status st = f.targets ? begin(&f, form) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = write_each(summary, &f, form);
    if (st == GQA_OK && options->ready)
        st = options->ready(options->ready_ctx, summary);
    if (st == GQA_OK)
        st = commit(&f);
    for (size_t i = 0; f.targets && i < n; i++)
        gqa_atomic_free(f.targets[i]);
    free(f.targets);
    return st;
}
