/*
 * HDF5 checkpoints: the parser's process finds the tensors (child.h),
 * this one reads their bytes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "common/strings.h"
#include "formats/families/keras.h"
#include "formats/formats.h"
#include "formats/hdf5/budget.h"
#include "formats/hdf5/cache.h"
#include "formats/hdf5/child.h"
#include "formats/hdf5/chunks.h"
#include "formats/hdf5/filters.h"
#include "formats/hdf5/maps.h"
#include "formats/hdf5/reader.h"
#include "formats/hdf5/table.h"
#include "formats/span.h"

enum {
    CACHE_BYTES = 48 << 20,
    WINDOW_BYTES = 256 << 10,
};

struct hdf5 {
    struct gqa_source base;
    int fd;
    struct gqa_h5_table table; /* variables[i] is base.tensors[i] */
    struct gqa_h5_child child;
    struct gqa_h5_maps *maps;   /* NULL where nothing is chunked */
    struct gqa_h5_cache *cache; /* likewise */
};

/* Reading */

static enum gqa_status read_chunked(struct hdf5 *h, size_t dataset,
                                    const struct gqa_span *span,
                                    unsigned char *buf)
{
    struct gqa_h5_chunked source = {
        .fd = h->fd,
        .dataset = &h->table.datasets[dataset],
        .index = dataset,
        .cache = h->cache,
    };
    enum gqa_status st = gqa_h5_maps_get(h->maps, &source.chunks, dataset);

    if (st != GQA_OK)
        return st;
    st = gqa_h5_chunked_read(&source, span, buf);
    gqa_h5_maps_give_back(h->maps, dataset);
    return st;
}

/* Bytes [at, at + n) of big-endian content, which may cut elements. */
static enum gqa_status read_swapped(const struct hdf5 *h,
                                    const struct gqa_h5_dataset *d, uint64_t at,
                                    size_t n, unsigned char *buf,
                                    unsigned char *window)
{
    const unsigned size = gqa_dtype_bits(d->dtype) / 8;

    while (n > 0) {
        const uint64_t start = at - at % size;
        const size_t head = (size_t)(at - start);
        const size_t part =
            n < WINDOW_BYTES - head ? n : (size_t)WINDOW_BYTES - head;
        const size_t whole = (head + part + size - 1) / size * size;
        const enum gqa_status st =
            gqa_file_read(h->fd, window, whole, d->offset + start);

        if (st != GQA_OK)
            return st;
        gqa_h5_swap(window, whole, size);
        memcpy(buf, window + head, part);
        buf += part;
        at += part;
        n -= part;
    }
    return GQA_OK;
}

static enum gqa_status read_contiguous(const struct hdf5 *h,
                                       const struct gqa_h5_dataset *d,
                                       const struct gqa_span *span,
                                       unsigned char *buf)
{
    enum gqa_status st = GQA_OK;
    unsigned char *window;

    if (!d->big_endian)
        return gqa_span_pread(h->fd, d->offset, span, buf);
    window = malloc(WINDOW_BYTES);
    if (!window)
        return gqa_fail_nomem();
    for (uint64_t i = 0; i < span->count && st == GQA_OK; i++)
        st = read_swapped(h, d, span->offset + i * span->stride,
                          (size_t)span->piece, buf + i * span->piece, window);
    free(window);
    return st;
}

/* Never written: the fill value everywhere. */
static void read_fill(const struct gqa_h5_dataset *d,
                      const struct gqa_span *span, unsigned char *buf)
{
    for (uint64_t i = 0; i < span->count; i++)
        gqa_h5_fill(d, buf + i * span->piece, span->offset + i * span->stride,
                    (size_t)span->piece);
}

static enum gqa_status read_dataset(struct hdf5 *h, size_t index,
                                    const struct gqa_span *span,
                                    unsigned char *buf)
{
    const struct gqa_h5_dataset *d = &h->table.datasets[index];
    enum gqa_status st = GQA_OK;

    switch (d->layout) {
    case GQA_H5_CONTIGUOUS:
        st = read_contiguous(h, d, span, buf);
        break;
    case GQA_H5_CHUNKED:
        st = read_chunked(h, index, span, buf);
        break;
    case GQA_H5_ABSENT:
        read_fill(d, span, buf);
        break;
    }
    return st == GQA_OK ? st : gqa_fail_prefix(st, "%s", d->path);
}

/* As much of a span as fits the window: pieces, or a part of one. */
static struct gqa_span next_part(const struct gqa_span *span, uint64_t done)
{
    const uint64_t piece = done / span->piece, in_piece = done % span->piece;
    struct gqa_span part = {
        .offset = span->offset + piece * span->stride + in_piece,
        .piece = span->piece - in_piece,
        .stride = span->stride,
        .count = 1,
    };

    if (part.piece > WINDOW_BYTES) {
        part.piece = WINDOW_BYTES;
    } else if (in_piece == 0) {
        part.count = WINDOW_BYTES / span->piece;
        if (part.count > span->count - piece)
            part.count = span->count - piece;
    }
    return part;
}

/*
 * Encoder and decoder may each have a copy of one table. Only one of them
 * goes on, so that the others have to be the same; looking at what is read
 * anyway keeps opening a file cheap.
 */
static enum gqa_status compare_copy(struct hdf5 *h, size_t first, size_t copy,
                                    const struct gqa_span *span,
                                    const unsigned char *buf)
{
    const uint64_t total = span->piece * span->count;
    unsigned char *window = malloc(WINDOW_BYTES);
    enum gqa_status st = GQA_OK;
    uint64_t n;

    if (!window)
        return gqa_fail_nomem();
    for (uint64_t done = 0; done < total && st == GQA_OK; done += n) {
        const struct gqa_span part = next_part(span, done);

        n = part.piece * part.count;
        st = read_dataset(h, copy, &part, window);
        if (st == GQA_OK && memcmp(window, buf + done, (size_t)n) != 0)
            st = gqa_fail(GQA_ERR_FORMAT,
                          "%s and %s are one variable, but hold different "
                          "values",
                          h->table.datasets[first].path,
                          h->table.datasets[copy].path);
    }
    free(window);
    return st;
}

static enum gqa_status hdf5_read(struct gqa_source *source, size_t index,
                                 const struct gqa_span *span, void *buf)
{
    struct hdf5 *h = (struct hdf5 *)source;
    const struct gqa_h5_variable *v = &h->table.variables[index];
    const struct gqa_span s = gqa_span_simplify(*span);
    enum gqa_status st = read_dataset(h, v->first, &s, buf);

    for (size_t i = 1; i < v->n_copies && st == GQA_OK; i++)
        st = compare_copy(h, v->first, v->first + i, &s, buf);
    return st;
}

static void hdf5_close(struct gqa_source *source)
{
    struct hdf5 *h = (struct hdf5 *)source;

    gqa_h5_child_end(&h->child);
    gqa_h5_maps_free(h->maps);
    gqa_h5_cache_free(h->cache);
    gqa_h5_table_clear(&h->table);
    close(h->fd);
    gqa_source_clear(source);
    free(h);
}

static const struct gqa_source_ops hdf5_ops = {hdf5_read, hdf5_close};

/* Opening */

/* The signature is at 0 or, behind a user block, at 512, 1024, 2048, ... */
static enum gqa_status check_signature(int fd, uint64_t size)
{
    static const unsigned char signature[] = "\211HDF\r\n\032\n";
    unsigned char found[sizeof signature - 1];

    for (uint64_t at = 0; at + sizeof found <= size && at < UINT64_MAX / 4;
         at = at == 0 ? 512 : 2 * at) {
        const enum gqa_status st = gqa_file_read(fd, found, sizeof found, at);

        if (st != GQA_OK)
            return st;
        if (memcmp(found, signature, sizeof found) == 0)
            return GQA_OK;
    }
    return gqa_fail(GQA_ERR_FORMAT, "not an HDF5 file (no signature)");
}

/* Names from a file must not steer a terminal. */
static void log_notes(char *notes, const char *path)
{
    char *line, *rest = notes;

    while (rest && (line = strsep(&rest, "\n")) != NULL) {
        for (char *c = line; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = '?';
        if (*line)
            gqa_info("%s: %s", path, line);
    }
}

static enum gqa_status take_tensors(struct hdf5 *h)
{
    const struct gqa_h5_table *table = &h->table;

    h->base.tensors = calloc(table->n_variables + 1, sizeof *h->base.tensors);
    if (!h->base.tensors)
        return gqa_fail_nomem();
    for (size_t i = 0; i < table->n_variables; i++) {
        const struct gqa_h5_variable *v = &table->variables[i];
        const struct gqa_h5_dataset *d = &table->datasets[v->first];
        struct gqa_tensor *t = &h->base.tensors[i];

        t->name = strdup(v->name);
        if (!t->name)
            return gqa_fail_nomem();
        h->base.n_tensors++;
        t->dtype = d->dtype;
        t->rank = d->rank;
        memcpy(t->shape, d->shape, sizeof t->shape);
        t->n_elements = d->n_elements;
        t->n_bytes = d->n_bytes;
        t->n_parts = gqa_h5_n_parts(d);
        t->n_unwritten = gqa_h5_n_unwritten(d);
    }
    return GQA_OK;
}

/* The survey gives unique names; but who knows who answered for it. */
static enum gqa_status check_names(const struct gqa_h5_table *table)
{
    const char **names = calloc(table->n_variables + 1, sizeof *names);
    enum gqa_status st = GQA_OK;

    if (!names)
        return gqa_fail_nomem();
    for (size_t i = 0; i < table->n_variables && st == GQA_OK; i++) {
        json_t *text = json_string(table->variables[i].name);

        names[i] = table->variables[i].name;
        st = gqa_tensor_name_check(names[i]);
        if (!text && st == GQA_OK)
            st = gqa_fail(GQA_ERR_FORMAT, "the name %s is not UTF-8", names[i]);
        json_decref(text);
    }
    if (st == GQA_OK)
        qsort(names, table->n_variables, sizeof *names, gqa_compare_strings);
    for (size_t i = 1; i < table->n_variables && st == GQA_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            st = gqa_fail(GQA_ERR_FORMAT, "two tensors are named %s", names[i]);
    free(names);
    return st;
}

/*
 * Only a backbone's configuration says how its heads lie. That of a model
 * that was put together from layers, none of them a backbone, would hide a
 * config.json beside the file.
 */
static void take_config(struct hdf5 *h)
{
    const char *text = h->table.config;

    if (!text)
        return;
    if (gqa_json_parse(&h->base.config, text, strlen(text), "model_config") !=
        GQA_OK) {
        gqa_info("%s: %s; ignored", h->base.path, gqa_error_message());
    } else if (!gqa_config_backbone(h->base.config, NULL)) {
        gqa_info("%s: the configuration inside is that of layers, not of a "
                 "backbone; ignored",
                 h->base.path);
        json_decref(h->base.config);
        h->base.config = NULL;
    }
}

/* Sum up the content; look for what needs the parser. */
static bool prepare_datasets(struct hdf5 *h)
{
    bool filtered = false, chunked = false;
    uint64_t content_bytes = 0;

    for (size_t i = 0; i < h->table.n_datasets; i++) {
        const struct gqa_h5_dataset *d = &h->table.datasets[i];

        content_bytes += d->n_bytes;
        if (d->layout == GQA_H5_CHUNKED) {
            chunked = true;
            filtered = filtered || d->n_filters > 0;
        }
    }
    if (filtered)
        h->base.content_bytes = content_bytes;
    return chunked;
}

static enum gqa_status survey(struct hdf5 *h, bool unconfined)
{
    const uint64_t size = h->base.file_bytes;
    enum gqa_status st;

    if ((st = check_signature(h->fd, size)) != GQA_OK ||
        (st = gqa_h5_child_start(&h->child, h->fd, size, gqa_h5_budget_ms(size),
                                 unconfined)) != GQA_OK ||
        (st = gqa_h5_child_table(&h->child, &h->table, size)) != GQA_OK ||
        (st = check_names(&h->table)) != GQA_OK ||
        (st = take_tensors(h)) != GQA_OK)
        return st;
    h->base.naming = h->table.naming;
    log_notes(h->table.notes, h->base.path);
    take_config(h);
    if (!prepare_datasets(h)) {
        gqa_h5_child_end(&h->child);
        return GQA_OK;
    }
    if ((st = gqa_h5_cache_create(&h->cache, CACHE_BYTES)) != GQA_OK)
        return st;
    return gqa_h5_maps_create(&h->maps, &h->child, &h->table, size);
}

enum gqa_status gqa_hdf5_open(struct gqa_source **out,
                              const struct gqa_file_handle *file)
{
    struct hdf5 *h = calloc(1, sizeof *h);
    enum gqa_status st;

    if (!h) {
        close(file->fd);
        return gqa_fail_nomem();
    }
    h->base.ops = &hdf5_ops;
    h->base.format = &gqa_format_hdf5;
    h->base.file_bytes = h->base.content_bytes = file->size;
    h->fd = file->fd;
    h->base.path = strdup(file->path);
    st = h->base.path ? survey(h, file->unsafe_hdf5) : gqa_fail_nomem();
    if (st != GQA_OK) {
        hdf5_close(&h->base);
        return st;
    }
    *out = &h->base;
    return GQA_OK;
}
