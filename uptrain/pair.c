#include "uptrain/pair.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/workers.h"
#include "formats/recorded.h"
#include "runtime/uses.h"

enum { READ_BYTES = 4 << 20 };

static enum gqa_status open_side(struct gqa_side *side, const char *path,
                                 const struct gqa_pair_options *o,
                                 const struct gqa_family_file *family)
{
    const struct gqa_checkpoint_options open = {.unsafe_hdf5 = o->unsafe_hdf5};
    const struct gqa_model_hints hints = {.family = family};
    enum gqa_status st = gqa_checkpoint_open(&side->checkpoint, path, &open);

    side->path = path;
    if (st != GQA_OK)
        return st; /* which says the path */
    st = gqa_model_create(&side->model, side->checkpoint, &hints);
    if (st == GQA_OK)
        st = gqa_network_create(&side->network, side->model);
    side->weights = (struct gqa_checkpoint_weights){
        .checkpoint = side->checkpoint, .model = side->model};
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", path);
}

static void close_side(struct gqa_side *side)
{
    gqa_network_free(side->network);
    gqa_model_free(side->model);
    gqa_checkpoint_close(side->checkpoint);
    free(side->digests);
}

/* Heads that were written several times would come apart. */
static enum gqa_status check_expanded(const struct gqa_side *student)
{
    json_t *recipe = gqa_recorded_recipe(student->checkpoint);
    const bool expanded = json_is_true(json_object_get(recipe, "expanded"));

    json_decref(recipe);
    return expanded
               ? gqa_fail(GQA_ERR_USAGE,
                          "%s: its heads are expanded, and would come to "
                          "differ: convert without --expand, and expand what "
                          "comes of it",
                          student->path)
               : GQA_OK;
}

static enum gqa_status check_kinds(const struct gqa_pair *p)
{
    const struct gqa_network *t = p->teacher.network, *s = p->student.network;

    if (t->n_stacks != s->n_stacks)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s has %s encoder, %s has %s: they are not one model",
                        p->teacher.path, t->n_stacks > 1 ? "an" : "no",
                        p->student.path, s->n_stacks > 1 ? "one" : "none");
    if (t->vocab_size != s->vocab_size)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s has a vocabulary of %llu, %s one of %llu: they "
                        "are not one model",
                        p->teacher.path, (unsigned long long)t->vocab_size,
                        p->student.path, (unsigned long long)s->vocab_size);
    return GQA_OK;
}

static bool same_shape(const struct gqa_param *a, const struct gqa_param *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0 &&
           a->rows == b->rows && a->cols == b->cols;
}

/* --- Values --------------------------------------------------------------- */

/* Parameters of both, the teacher's first. */
struct digesting {
    struct gqa_side *sides[2];
    atomic_size_t next;
};

struct buffers {
    char *values, *scratch; /* [READ_BYTES] each */
};

static enum gqa_status digest_param(struct gqa_side *side, size_t i,
                                    struct gqa_content_digest *digest,
                                    const struct buffers *b)
{
    const struct gqa_param *p = &side->model->params[i];
    const uint64_t width = gqa_dtype_bits(p->dtype) / 8;
    const uint64_t columns = gqa_min_u64(p->cols, READ_BYTES / width);
    const uint64_t rows = gqa_max_u64(
        gqa_min_u64(p->rows, READ_BYTES / gqa_max_u64(columns * width, 1)), 1);

    for (uint64_t r = 0; r < p->rows; r += rows)
        for (uint64_t c = 0; c < p->cols; c += columns) {
            const uint64_t nr = gqa_min_u64(rows, p->rows - r);
            const uint64_t nc = gqa_min_u64(columns, p->cols - c);
            enum gqa_status st;

            if (gqa_interrupt_pending())
                return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
            st = gqa_param_read(side->checkpoint, p, r, nr, c, nc, b->values,
                                nc, b->scratch);
            if (st != GQA_OK)
                return st;
            gqa_content_digest_update(digest, b->values,
                                      (size_t)(nr * nc * width));
        }
    return GQA_OK;
}

static enum gqa_status digest_one(struct gqa_side *side, size_t i,
                                  const struct buffers *b)
{
    struct gqa_content_digest *digest = NULL;
    enum gqa_status st = GQA_OK;

    if (gqa_dtype_bits(side->model->params[i].dtype) % 8 != 0)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: '%s': %s cannot be read",
                        side->path, side->model->params[i].name,
                        gqa_dtype_name(side->model->params[i].dtype));
    st = gqa_content_digest_create(&digest);
    if (st == GQA_OK)
        st = digest_param(side, i, digest, b);
    if (st == GQA_OK)
        gqa_content_digest_format(side->digests[i], digest);
    gqa_content_digest_free(digest);
    return st;
}

static enum gqa_status digest_some(void *ctx, unsigned worker)
{
    struct digesting *d = ctx;
    struct buffers b = {malloc(READ_BYTES), malloc(READ_BYTES)};
    enum gqa_status st = b.values && b.scratch ? GQA_OK : gqa_fail_nomem();

    (void)worker;
    while (st == GQA_OK) {
        size_t i = atomic_fetch_add(&d->next, 1);
        int which = 0;

        if (i >= d->sides[0]->model->n_params) {
            i -= d->sides[0]->model->n_params;
            which = 1;
        }
        if (i >= d->sides[which]->model->n_params)
            break;
        st = digest_one(d->sides[which], i, &b);
    }
    free(b.values);
    free(b.scratch);
    return st;
}

static enum gqa_status digest_all(struct gqa_side *side)
{
    struct gqa_content_digest *digest = NULL;
    const enum gqa_status st = gqa_content_digest_create(&digest);

    for (size_t i = 0; i < side->model->n_params && st == GQA_OK; i++) {
        const char *name = side->model->params[i].name;

        gqa_content_digest_update(digest, name, strlen(name) + 1);
        gqa_content_digest_update(digest, side->digests[i], GQA_CONTENT_DIGITS);
    }
    if (st == GQA_OK)
        gqa_content_digest_format(side->digest, digest);
    gqa_content_digest_free(digest);
    return st;
}

static enum gqa_status digest_both(struct gqa_pair *p, unsigned n_threads)
{
    struct digesting d = {.sides = {&p->teacher, &p->student}};
    enum gqa_status st = GQA_OK;

    for (int i = 0; i < 2; i++) {
        struct gqa_side *side = d.sides[i];

        side->digests =
            calloc(side->model->n_params + 1, sizeof *side->digests);
        if (!side->digests)
            return gqa_fail_nomem();
    }
    st = gqa_workers_run(n_threads, digest_some, &d);
    if (st == GQA_OK)
        st = digest_all(&p->teacher);
    return st == GQA_OK ? digest_all(&p->student) : st;
}

static enum gqa_status compare(struct gqa_pair *p, unsigned n_threads)
{
    const struct gqa_model *t = p->teacher.model, *s = p->student.model;
    const size_t n = s->n_params;
    enum gqa_use *uses = calloc(n + 1, sizeof *uses);
    enum gqa_status st;

    p->partner = calloc(n + 1, sizeof *p->partner);
    p->differs = calloc(n + 1, sizeof *p->differs);
    p->used = calloc(n + 1, sizeof *p->used);
    st = uses && p->partner && p->differs && p->used ? digest_both(p, n_threads)
                                                     : gqa_fail_nomem();
    if (st == GQA_OK)
        gqa_use_all(uses, p->student.network);
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        p->used[i] = uses[i] != GQA_USE_NONE;
        if (!gqa_model_find(t, s->params[i].name, &p->partner[i]) ||
            !same_shape(&t->params[p->partner[i]], &s->params[i]))
            p->partner[i] = GQA_NO_PARAM;
        p->differs[i] =
            p->partner[i] == GQA_NO_PARAM ||
            strcmp(p->teacher.digests[p->partner[i]], p->student.digests[i]);
    }
    free(uses);
    return st;
}

enum gqa_status gqa_pair_open(struct gqa_pair *out,
                              const struct gqa_pair_options *o)
{
    enum gqa_status st = GQA_OK;

    if (o->family_path)
        st = gqa_family_file_open(&out->family, o->family_path);
    if (st == GQA_OK)
        st = open_side(&out->teacher, o->teacher, o, out->family);
    if (st == GQA_OK)
        st = open_side(&out->student, o->student, o, out->family);
    if (st == GQA_OK)
        st = check_kinds(out);
    if (st == GQA_OK)
        st = check_expanded(&out->student);
    return st == GQA_OK ? compare(out, o->n_threads) : st;
}

void gqa_pair_close(struct gqa_pair *pair)
{
    close_side(&pair->student);
    close_side(&pair->teacher);
    gqa_family_file_free(pair->family);
    free(pair->partner);
    free(pair->differs);
    free(pair->used);
}
