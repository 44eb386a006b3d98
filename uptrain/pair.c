#include "uptrain/pair.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/bounds.h"
#include "common/interrupt.h"
#include "common/workers.h"
#include "formats/recorded.h"
#include "runtime/uses.h"
#include "uptrain/alike.h"

/* Read at a time. */
enum { ELEMENTS = 1 << 18 };

static enum gqa_status open_side(struct gqa_side *side, const char *path,
                                 const int *fd,
                                 const struct gqa_pair_options *o,
                                 const struct gqa_family_file *family)
{
    const struct gqa_checkpoint_options open = {.unsafe_hdf5 = o->unsafe_hdf5,
                                                .dequantise = o->dequantise,
                                                .state_dict = o->state_dict,
                                                .unwrap = true,
                                                .fd = fd};
    const struct gqa_model_hints hints = {.family = family};
    enum gqa_status st = gqa_checkpoint_open(&side->checkpoint, path, &open);

    side->path = path;
    if (st != GQA_OK)
        return st; /* which says the path */
    st = gqa_model_create(&side->model, side->checkpoint, &hints);
    if (st == GQA_OK)
        st = gqa_network_create(&side->network, side->model);
    if (st == GQA_OK && !side->network->has_logits)
        st =
            gqa_fail(GQA_ERR_UNSUPPORTED,
                     "the model makes no logits of tokens, which training "
                     "here goes by: as a folder that transformers loads it can "
                     "be trained there for what its head makes");
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
    free(side->n_nonfinite);
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

/* What grouping changes is the number of KV heads, which only falls. */
static enum gqa_status check_attentions(const struct gqa_pair *p)
{
    const struct gqa_model *t = p->teacher.model, *s = p->student.model;

    if (t->n_attentions != s->n_attentions)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s has %zu attentions, %s has %zu: they are not one "
                        "model",
                        p->teacher.path, t->n_attentions, p->student.path,
                        s->n_attentions);
    for (size_t i = 0; i < s->n_attentions; i++) {
        const struct gqa_attention *a = &t->attentions[i];
        const struct gqa_attention *b = &s->attentions[i];

        if (a->n_heads != b->n_heads || a->head_dim != b->head_dim)
            return gqa_fail(
                GQA_ERR_USAGE,
                "attention %zu has %llu heads of %llu in %s, %llu of %llu in "
                "%s: they are not one model",
                i, (unsigned long long)a->n_heads,
                (unsigned long long)a->head_dim, p->teacher.path,
                (unsigned long long)b->n_heads, (unsigned long long)b->head_dim,
                p->student.path);
        if (b->n_kv_heads > a->n_kv_heads)
            return gqa_fail(
                GQA_ERR_USAGE,
                "attention %zu has %llu KV heads in %s, and fewer, %llu, in "
                "the original %s: is the one the other?",
                i, (unsigned long long)b->n_kv_heads, p->student.path,
                (unsigned long long)a->n_kv_heads, p->teacher.path);
    }
    return GQA_OK;
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
    if (t->d_model != s->d_model)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s has a d_model of %llu, %s one of %llu: they are "
                        "not one model",
                        p->teacher.path, (unsigned long long)t->d_model,
                        p->student.path, (unsigned long long)s->d_model);
    return check_attentions(p);
}

/* The teacher's parameter of the same name and shape; GQA_NO_PARAM: none. */
static size_t find_partner(const struct gqa_pair *p, size_t i)
{
    const struct gqa_param *b = &p->student.model->params[i], *a;
    size_t k;

    if (!gqa_model_find(p->teacher.model, b->name, &k))
        return GQA_NO_PARAM;
    a = &p->teacher.model->params[k];
    return a->rank == b->rank &&
                   memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) ==
                       0 &&
                   a->rows == b->rows && a->cols == b->cols
               ? k
               : GQA_NO_PARAM;
}

/* --- Values --------------------------------------------------------------- */

/* Parameters of both, the teacher's first. */
struct digesting {
    struct gqa_pair *pair;
    atomic_size_t next;
};

struct buffers {
    /* [ELEMENTS] each, of any type, the widest of which it is. */
    double *values, *scratch;
};

static enum gqa_status digest_param(const struct gqa_side *side, size_t i,
                                    struct gqa_content_digest *digest,
                                    const struct buffers *b)
{
    const struct gqa_param *p = &side->model->params[i];
    const uint64_t columns = gqa_min_u64(p->cols, ELEMENTS);
    const uint64_t rows = ELEMENTS / gqa_max_u64(columns, 1);

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
            if (gqa_dtype_is_float(p->dtype))
                gqa_count_nonfinite(b->values, p->dtype, (size_t)(nr * nc),
                                    &side->n_nonfinite[i][0],
                                    &side->n_nonfinite[i][1]);
            gqa_content_digest_update(digest, b->values,
                                      (size_t)(nr * nc) *
                                          (gqa_dtype_bits(p->dtype) / 8));
        }
    return GQA_OK;
}

static enum gqa_status digest_values(const struct gqa_side *side, size_t i,
                                     const struct buffers *b)
{
    struct gqa_content_digest *digest = NULL;
    enum gqa_status st;

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
    struct gqa_pair *p = d->pair;
    const size_t n_teacher = p->teacher.model->n_params;
    const size_t n_student = p->student.model->n_params;
    struct buffers b = {malloc(ELEMENTS * sizeof(double)),
                        malloc(ELEMENTS * sizeof(double))};
    enum gqa_status st = b.values && b.scratch ? GQA_OK : gqa_fail_nomem();

    (void)worker;
    while (st == GQA_OK) {
        const size_t i = atomic_fetch_add(&d->next, 1);

        if (i >= n_teacher + n_student)
            break;
        st = i < n_teacher ? digest_values(&p->teacher, i, &b)
                           : digest_values(&p->student, i - n_teacher, &b);
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
    const size_t n_teacher = p->teacher.model->n_params;
    const size_t n_student = p->student.model->n_params;
    struct digesting d = {.pair = p};
    enum gqa_status st;

    p->teacher.digests = calloc(n_teacher + 1, sizeof *p->teacher.digests);
    p->student.digests = calloc(n_student + 1, sizeof *p->student.digests);
    p->teacher.n_nonfinite =
        calloc(n_teacher + 1, sizeof *p->teacher.n_nonfinite);
    p->student.n_nonfinite =
        calloc(n_student + 1, sizeof *p->student.n_nonfinite);
    if (!p->teacher.digests || !p->student.digests || !p->teacher.n_nonfinite ||
        !p->student.n_nonfinite)
        return gqa_fail_nomem();
    st = gqa_workers_run(n_threads, digest_some, &d);
    if (st == GQA_OK)
        st = digest_all(&p->teacher);
    return st == GQA_OK ? digest_all(&p->student) : st;
}

static void compare_param(struct gqa_pair *p, size_t i, bool shapes_alone)
{
    const size_t k = find_partner(p, i);
    const bool same_type =
        k != GQA_NO_PARAM &&
        p->teacher.model->params[k].dtype == p->student.model->params[i].dtype;
    const bool same = shapes_alone
                          ? same_type
                          : same_type && strcmp(p->teacher.digests[k],
                                                p->student.digests[i]) == 0;

    p->partners[i] = k;
    p->same[i] = same ? k : GQA_NO_PARAM;
    p->differs[i] = shapes_alone ? k == GQA_NO_PARAM : !same;
}

static enum gqa_status find_used(bool **out, const struct gqa_network *network)
{
    const size_t n = network->model->n_params;
    enum gqa_use *uses = calloc(n + 1, sizeof *uses);

    *out = calloc(n + 1, sizeof **out);
    if (uses && *out) {
        gqa_use_all(uses, network);
        for (size_t i = 0; i < n; i++)
            (*out)[i] = gqa_use_is_trainable(uses[i]);
    }
    free(uses);
    return uses && *out ? GQA_OK : gqa_fail_nomem();
}

static enum gqa_status compare(struct gqa_pair *p,
                               const struct gqa_pair_options *o)
{
    const size_t n = p->student.model->n_params;
    enum gqa_status st = find_used(&p->used, p->student.network);

    p->same = calloc(n + 1, sizeof *p->same);
    p->partners = calloc(n + 1, sizeof *p->partners);
    p->differs = calloc(n + 1, sizeof *p->differs);
    p->differences = calloc(n + 1, sizeof *p->differences);
    if (st == GQA_OK)
        st = find_used(&p->teacher_used, p->teacher.network);
    if (st == GQA_OK &&
        !(p->same && p->partners && p->differs && p->differences))
        st = gqa_fail_nomem();
    if (st == GQA_OK && !o->shapes_alone)
        st = digest_both(p, o->n_threads);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        compare_param(p, i, o->shapes_alone);
    if (st != GQA_OK || o->shapes_alone)
        return st;
    st = gqa_alike_compare(p, o->n_threads);
    return st == GQA_OK ? gqa_alike_check(p, o->may_differ) : st;
}

static enum gqa_status open_family(struct gqa_pair *p, const char *path)
{
    struct gqa_content_digest *digest = NULL;
    const char *text;
    size_t n;
    enum gqa_status st = gqa_family_file_open(&p->family, path);

    if (st == GQA_OK)
        st = gqa_content_digest_create(&digest);
    if (st != GQA_OK)
        return st;
    text = gqa_family_file_text(p->family, &n);
    gqa_content_digest_update(digest, text, n);
    gqa_content_digest_format(p->family_digest, digest);
    gqa_content_digest_free(digest);
    return GQA_OK;
}

enum gqa_status gqa_pair_open(struct gqa_pair *out,
                              const struct gqa_pair_options *o)
{
    enum gqa_status st = GQA_OK;

    if (o->family_path)
        st = open_family(out, o->family_path);
    if (st == GQA_OK)
        st = open_side(&out->teacher, o->teacher, NULL, o, out->family);
    if (st == GQA_OK)
        st =
            open_side(&out->student, o->student, o->student_fd, o, out->family);
    if (st == GQA_OK)
        st = gqa_checkpoint_check_state_dict(
            o->state_dict, out->teacher.checkpoint, out->student.checkpoint);
    if (st == GQA_OK)
        st = check_kinds(out);
    if (st == GQA_OK)
        st = check_expanded(&out->student);
    return st == GQA_OK ? compare(out, o) : st;
}

void gqa_pair_close(struct gqa_pair *pair)
{
    close_side(&pair->student);
    close_side(&pair->teacher);
    gqa_family_file_free(pair->family);
    free(pair->same);
    free(pair->partners);
    free(pair->differs);
    free(pair->differences);
    free(pair->used);
    free(pair->teacher_used);
    *pair = (struct gqa_pair){.family = NULL};
}
