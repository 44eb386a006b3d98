#include "formats/torch/reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/formats.h"
#include "formats/span.h"
#include "formats/torch/content.h"
#include "formats/torch/state_dict.h"
#include "formats/torch/strided.h"

/* Where the elements of a tensor lie. */
struct place {
    uint64_t offset; /* of the first one, in the file */
    struct gqa_strided strided;
};

struct torch {
    struct gqa_source base;
    int fd;
    struct place *places; /* [base.n_tensors] */
};

static enum gqa_status torch_read(struct gqa_source *source, size_t index,
                                  const struct gqa_span *span, void *buf)
{
    const struct torch *t = (const struct torch *)source;
    const struct place *p = &t->places[index];
    const enum gqa_status st =
        gqa_strided_is_plain(&p->strided)
            ? gqa_span_pread(t->fd, p->offset, span, buf)
            : gqa_strided_read(&p->strided, t->fd, p->offset, span, buf);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, "tensor %s", source->tensors[index].name);
    return GQA_OK;
}

static void torch_close(struct gqa_source *source)
{
    struct torch *t = (struct torch *)source;

    close(t->fd);
    free(t->places);
    gqa_source_clear(source);
    free(t);
}

static const struct gqa_source_ops torch_ops = {torch_read, torch_close};

/* A tensor and the place of its first element, to be sorted by that. */
struct found {
    const char *name;
    const struct gqa_pickle_tensor *tensor;
    uint64_t offset;
};

static int compare_offsets(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum gqa_status find_place(struct found *f,
                                  const struct gqa_pickle_values *v)
{
    const struct gqa_pickle_storage *s = &v->storages[f->tensor->storage];

    if (!s->is_found)
        return gqa_fail(GQA_ERR_FORMAT,
                        "tensor %s: its storage, %.60s, is not in the file",
                        f->name, gqa_pickle_text(v, s->key));
    f->offset =
        s->offset + f->tensor->first * (gqa_dtype_bits(f->tensor->dtype) / 8);
    return GQA_OK;
}

/* Its size was held against that of its storage, and that against the file's.
 */
static enum gqa_status add_tensor(struct torch *t, const struct found *f)
{
    struct gqa_tensor *tensor = &t->base.tensors[t->base.n_tensors];
    struct place *place = &t->places[t->base.n_tensors];
    const struct gqa_pickle_tensor *from = f->tensor;

    tensor->name = strdup(f->name);
    if (!tensor->name)
        return gqa_fail_nomem();
    t->base.n_tensors++;
    tensor->dtype = from->dtype;
    tensor->rank = from->rank;
    tensor->n_elements = 1;
    for (unsigned i = 0; i < from->rank; i++) {
        tensor->shape[i] = from->shape[i];
        tensor->n_elements *= from->shape[i];
    }
    place->offset = f->offset;
    if (!gqa_dtype_bytes(tensor->dtype, tensor->n_elements, &tensor->n_bytes))
        return gqa_fail(GQA_ERR_FORMAT, "tensor %s has too many elements",
                        f->name);
    gqa_strided_begin(&place->strided, gqa_dtype_bits(from->dtype) / 8,
                      tensor->n_elements > 0 ? from->rank : 0, from->shape,
                      from->stride);
    return GQA_OK;
}

static enum gqa_status add_tensors(struct torch *t,
                                   const struct gqa_pickle_values *v,
                                   const struct gqa_named_tensor *named,
                                   size_t n)
{
    struct found *found = calloc(n + 1, sizeof *found);
    enum gqa_status st = GQA_OK;

    t->base.tensors = calloc(n + 1, sizeof *t->base.tensors);
    t->places = calloc(n + 1, sizeof *t->places);
    if (!found || !t->base.tensors || !t->places)
        st = gqa_fail_nomem();
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        found[i].name = named[i].name;
        found[i].tensor = &v->tensors[named[i].tensor];
        st = find_place(&found[i], v);
    }
    if (st == GQA_OK)
        qsort(found, n, sizeof *found, compare_offsets);
    for (size_t i = 0; i < n && st == GQA_OK; i++)
        st = add_tensor(t, &found[i]);
    free(found);
    return st;
}

static enum gqa_status read_file(struct torch *t,
                                 const struct gqa_file_handle *file)
{
    struct gqa_torch_content content = {0};
    struct gqa_named_tensor *named = NULL;
    const uint64_t size = t->base.file_bytes;
    char start[4] = "";
    size_t n = 0;
    enum gqa_status st;

    if (size < sizeof start)
        return gqa_fail(GQA_ERR_FORMAT, "%" PRIu64 " bytes: cut off", size);
    if ((st = gqa_file_read(t->fd, start, sizeof start, 0)) != GQA_OK)
        return st;
    st = memcmp(start, "PK\3\4", sizeof start) == 0
             ? gqa_torch_read_archive(&content, t->fd, size)
             : gqa_torch_read_pickles(&content, t->fd, size);
    if (st == GQA_OK)
        st = gqa_state_dict_find(&named, &n, &content.values, content.root,
                                 file->state_dict);
    if (st == GQA_OK)
        st = add_tensors(t, &content.values, named, n);
    free(named);
    gqa_pickle_values_clear(&content.values);
    return st;
}

enum gqa_status gqa_torch_open(struct gqa_source **out,
                               const struct gqa_file_handle *file)
{
    enum gqa_status st;
    struct torch *t = calloc(1, sizeof *t);

    if (!t) {
        close(file->fd);
        return gqa_fail_nomem();
    }
    t->base.ops = &torch_ops;
    t->base.format = &gqa_format_torch;
    t->base.naming = GQA_NAMES_TORCH;
    t->base.file_bytes = t->base.content_bytes = file->size;
    t->fd = file->fd;
    t->base.path = strdup(file->path);
    st = t->base.path ? read_file(t, file) : gqa_fail_nomem();
    if (st != GQA_OK) {
        torch_close(&t->base);
        return st;
    }
    *out = &t->base;
    return GQA_OK;
}
