#include "formats/checkpoint.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/log.h"
#include "formats/detect.h"
#include "formats/folder/config_file.h"
#include "formats/folder/folder.h"
#include "formats/folder/index.h"
#include "formats/foreign/names.h"
#include "formats/formats.h"
#include "formats/model/say.h"
#include "formats/original/original.h"
#include "formats/original/parts.h"
#include "formats/span.h"
#include "formats/standard_input.h"
#include "formats/tensor_table.h"
#include "formats/transforms.h"
#include "formats/watch.h"

/* Real ones have some hundred bytes. */
enum { MAX_PARAMS_BYTES = 1 << 20 };

struct gqa_checkpoint {
    char *path;
    char *file;   /* the one that was found in the folder, or path itself; NULL
                     as the folder */
    char *folder; /* NULL: it came through standard input, or has no name */
    bool is_folder;
    bool is_sharded;     /* put together by an index */
    bool has_transforms; /* the last source is a file of them */
    bool unwraps;        /* names may be without what is before all of them */
    char *kind;
    struct gqa_source **sources; /* [n_sources] */
    size_t n_sources;
    struct gqa_tensor_table table;
    json_t *config;
    char *config_path;
    char *config_trouble;
    struct gqa_watch files; /* all that was read */
};

static enum gqa_status open_nameless(int fd, struct gqa_file_handle *file)
{
    struct stat info;

    if (fstat(fd, &info) != 0 ||
        (file->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) < 0)
        return gqa_fail_errno("%s", file->path);
    file->size = (uint64_t)info.st_size;
    return GQA_OK;
}

/* Whoever else can change the file is watched. */
static enum gqa_status open_watched(
    struct gqa_checkpoint *c, struct gqa_file_handle *file,
    const struct gqa_checkpoint_options *options)
{
    bool is_copy = options->fd != NULL;
    enum gqa_status st =
        options->fd ? open_nameless(*options->fd, file)
        : c->folder ? gqa_file_open(&file->fd, &file->size, file->path)
                    : gqa_standard_input_open(&file->fd, &file->size, &is_copy);

    if (st != GQA_OK || is_copy)
        return st;
    st = gqa_watch_add(&c->files, file->path, file->fd);
    if (st != GQA_OK)
        close(file->fd);
    return st;
}

/* A checkpoint may have more shards than a process may open files. */
static void raise_file_limit(size_t n_files)
{
    const rlim_t spare = 64;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY || n_files + spare <= limit.rlim_cur)
        return;
    /* Where this fails, opening a shard says so. */
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* What belongs to a file is read as it is. */
static enum gqa_status open_beside(void *ctx, int *fd, uint64_t *size,
                                   const char *path)
{
    struct gqa_checkpoint *c = ctx;
    enum gqa_status st;

    raise_file_limit(c->files.n + 1);
    st = gqa_file_open(fd, size, path);
    if (st != GQA_OK)
        return st;
    st = gqa_watch_add(&c->files, path, *fd);
    if (st != GQA_OK)
        close(*fd);
    return st;
}

/* What the content does not tell, or less than it, the name may. */
static enum gqa_status refuse_by_name(enum gqa_status st, const char *path)
{
    const struct gqa_foreign_name *name = gqa_foreign_name_find(path);

    if (!name || (st != GQA_ERR_FORMAT && !name->decides))
        return st;
    return gqa_fail(GQA_ERR_UNSUPPORTED, "%s", name->advice);
}

/* *format tells what the file is; an index is not opened, *out stays NULL. */
static enum gqa_status open_file(struct gqa_checkpoint *c,
                                 struct gqa_source **out,
                                 const struct gqa_format **format,
                                 const char *path,
                                 const struct gqa_checkpoint_options *options)
{
    struct gqa_file_handle file = {
        .path = path,
        .salvage = options->salvage,
        .unsafe_hdf5 = options->unsafe_hdf5,
        .dequantise = options->dequantise,
        .state_dict = options->state_dict,
        .lists = options->keep_going,
        .has_config = options->config_path != NULL,
        .open_beside = c->folder && !options->fd ? open_beside : NULL,
        .beside_ctx = c};
    enum gqa_status st;

    *out = NULL;
    if ((st = open_watched(c, &file, options)) != GQA_OK)
        return st;
    st = gqa_file_detect(format, file.fd, file.size);
    if (st == GQA_ERR_FORMAT || st == GQA_ERR_UNSUPPORTED ||
        (st == GQA_OK && (*format)->is_index))
        st = refuse_by_name(st, path);
    if (st == GQA_OK && !(*format)->is_index) {
        st = (*format)->open(out, &file);
        /* A part of something else, though a file of ours by its content. */
        if (st == GQA_ERR_UNSUPPORTED)
            st = refuse_by_name(st, path);
    } else {
        close(file.fd);
    }
    return st == GQA_OK ? GQA_OK : gqa_fail_prefix(st, "%s", path);
}

static enum gqa_status open_shard(struct gqa_checkpoint *c,
                                  struct gqa_source **out, const char *path,
                                  const struct gqa_checkpoint_options *options)
{
    const struct gqa_format *format;
    const enum gqa_status st = open_file(c, out, &format, path, options);

    if (st == GQA_OK && format->is_index)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: a JSON file, where the index promises weights",
                        path);
    return st;
}

static enum gqa_status check_alike(const struct gqa_source *a,
                                   const struct gqa_source *b)
{
    if (a->format == b->format && a->naming == b->naming)
        return GQA_OK;
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: not written like %s: the formats or the names of "
                    "tensors differ",
                    b->path, a->path);
}

static enum gqa_status open_shards(struct gqa_checkpoint *c,
                                   const struct gqa_index *index,
                                   const struct gqa_checkpoint_options *options)
{
    raise_file_limit(index->n_files);
    c->sources = calloc(index->n_files, sizeof(struct gqa_source *));
    if (!c->sources)
        return gqa_fail_nomem();
    for (size_t i = 0; i < index->n_files; i++) {
        char *path = gqa_path_join(c->folder, index->files[i]);
        enum gqa_status st;

        if (!path)
            return gqa_fail_nomem();
        st = open_shard(c, &c->sources[i], path, options);
        free(path);
        if (st != GQA_OK)
            return st;
        c->n_sources = i + 1;
        if ((st = check_alike(c->sources[0], c->sources[i])) != GQA_OK)
            return st;
    }
    return GQA_OK;
}

static enum gqa_status open_index(struct gqa_checkpoint *c, const char *path,
                                  const struct gqa_checkpoint_options *options)
{
    struct gqa_index index = {0};
    enum gqa_status st;

    if ((st = gqa_index_load(&index, path)) != GQA_OK)
        goto done;
    c->is_sharded = true;
    if ((st = open_shards(c, &index, options)) != GQA_OK)
        goto done;
    st = gqa_tensor_table_fill(
        &c->table, c->sources, c->n_sources,
        c->sources[0]->naming == GQA_NAMES_TORCH
            ? &(const struct gqa_tensor_filter){gqa_index_keeps, &index}
            : NULL);
    if (st == GQA_OK)
        st = gqa_index_check(&index, &c->table, c->sources[0]->naming);
    if (st == GQA_OK)
        gqa_index_say_left_out(&index, path);
    else
        st = gqa_fail_prefix(st, "%s", path);
done:
    gqa_index_clear(&index);
    return st;
}

static bool is_part_there(const char *first, size_t i)
{
    char *path = gqa_original_part_path(first, i);
    const bool is_there = path && access(path, F_OK) == 0;

    free(path);
    return is_there;
}

/* The other parts of a model of which *source is the first, up to one that is
 * not there; *source becomes all of it. */
static enum gqa_status join_parts(struct gqa_checkpoint *c,
                                  struct gqa_source **source,
                                  const struct gqa_checkpoint_options *options)
{
    struct gqa_source *parts[GQA_ORIGINAL_MAX_PARTS] = {*source};
    enum gqa_status st = GQA_OK;
    size_t n = 1;

    while (n < GQA_ORIGINAL_MAX_PARTS && st == GQA_OK &&
           is_part_there((*source)->path, n)) {
        char *path = gqa_original_part_path((*source)->path, n);

        st = path ? open_shard(c, &parts[n], path, options) : gqa_fail_nomem();
        free(path);
        if (st != GQA_OK)
            break;
        n++;
        st = check_alike(parts[0], parts[n - 1]);
    }
    if (st == GQA_OK && n > 1 &&
        (st = gqa_original_join(source, parts, n)) != GQA_OK)
        st = gqa_fail_prefix(st, "%s", parts[0]->path);
    while (st != GQA_OK && n > 1)
        gqa_source_close(parts[--n]);
    /* *source, and with it the parts, are the caller's by now. */
    return st == GQA_OK && n > 1 ? gqa_original_parts_differ(*source) : st;
}

/* Meta's and Mistral's own layout has another file beside the weights, which
 * says the heads, and is read with them. */
static enum gqa_status read_original(
    struct gqa_checkpoint *c, struct gqa_source **source,
    const struct gqa_checkpoint_options *options)
{
    json_t *params = NULL;
    enum gqa_status st;
    uint64_t size;
    char *path;
    int fd;

    if (!c->folder || (*source)->naming != GQA_NAMES_TORCH ||
        !gqa_original_is(*source))
        return GQA_OK;
    path = gqa_path_join(c->folder, GQA_ORIGINAL_PARAMS);
    if (!path)
        return gqa_fail_nomem();
    if (access(path, F_OK) != 0) {
        free(path);
        return GQA_OK; /* as tensors of no model that is known */
    }
    if (gqa_original_is_first_part((*source)->path) &&
        (st = join_parts(c, source, options)) != GQA_OK) {
        free(path);
        return st;
    }
    st = gqa_file_open(&fd, &size, path);
    if (st == GQA_OK) {
        st = gqa_watch_add(&c->files, path, fd);
        if (st == GQA_OK)
            st = gqa_json_load_fd(&params, fd, size, path, MAX_PARAMS_BYTES);
        close(fd);
    }
    if (st == GQA_OK) {
        st = gqa_original_wrap(source, params, options->config_path != NULL);
        if (st != GQA_OK)
            st = gqa_fail_prefix(st, "%s", (*source)->path);
    }
    json_decref(params);
    free(path);
    return st;
}

/* path: a file of weights, or an index. */
static enum gqa_status open_weights(
    struct gqa_checkpoint *c, const char *path,
    const struct gqa_checkpoint_options *options)
{
    struct gqa_source *source;
    const struct gqa_format *format;
    enum gqa_status st;

    if ((st = open_file(c, &source, &format, path, options)) != GQA_OK)
        return st;
    if (format->is_index)
        return c->folder ? open_index(c, path, options)
                         : gqa_standard_input_refuse_index();
    st = read_original(c, &source, options);
    c->sources = malloc(sizeof(struct gqa_source *));
    if (st != GQA_OK || !c->sources) {
        gqa_source_close(source);
        return st != GQA_OK ? st : gqa_fail_nomem();
    }
    c->sources[0] = source;
    c->n_sources = 1;
    st = gqa_tensor_table_fill(&c->table, c->sources, 1, NULL);
    return st == GQA_OK ? GQA_OK : gqa_fail_prefix(st, "%s", path);
}

/* --- Transforms beside the weights ---------------------------------------- */

/* Whether the weights are those of the whole folder, and of a conversion that
 * did not put any into the file. */
static bool may_have_transforms(const struct gqa_checkpoint *c)
{
    const struct gqa_source *first = c->sources[0];
    const char *slash = strrchr(first->path, '/');

    if (!c->folder || first->format != &gqa_format_safetensors ||
        !json_object_get(first->metadata, "gqa.recipe"))
        return false;
    if (!c->is_sharded &&
        strcmp(slash ? slash + 1 : first->path, "model.safetensors") != 0)
        return false;
    for (size_t i = 0; i < c->table.n; i++)
        if (gqa_is_transform(c->table.refs[i].tensor->name))
            return false;
    return true;
}

static enum gqa_status check_transforms(const struct gqa_source *source)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        if (!gqa_is_transform(source->tensors[i].name))
            return gqa_fail(GQA_ERR_FORMAT,
                            "%s: '%s' is no transform of a conversion, and "
                            "nothing else belongs into this file; bring back "
                            "the one that came with the weights, or delete it",
                            source->path, source->tensors[i].name);
    return GQA_OK;
}

/* What made them, of weights that have that in a file of its own. */
static enum gqa_status open_transforms(
    struct gqa_checkpoint *c, const struct gqa_checkpoint_options *options)
{
    struct gqa_source **grown;
    enum gqa_status st;
    char *path;

    if (!may_have_transforms(c))
        return GQA_OK;
    path = gqa_path_join(c->folder, GQA_TRANSFORMS_FILE);
    if (!path)
        return gqa_fail_nomem();
    if (access(path, F_OK) != 0) {
        free(path);
        return GQA_OK;
    }
    grown = reallocarray(c->sources, c->n_sources + 1, sizeof *grown);
    if (grown) {
        c->sources = grown;
        st = open_shard(c, &c->sources[c->n_sources], path, options);
    } else {
        st = gqa_fail_nomem();
    }
    free(path);
    if (st != GQA_OK)
        return st;
    c->has_transforms = true;
    st = check_transforms(c->sources[c->n_sources++]);
    return st == GQA_OK
               ? gqa_tensor_table_add(&c->table, c->sources, c->n_sources - 1)
               : st;
}

static enum gqa_status find_config(struct gqa_checkpoint *c,
                                   const char *config_path)
{
    if (config_path)
        return gqa_config_load(&c->config, &c->config_path, config_path);
    for (size_t i = 0; i < c->n_sources; i++)
        if (c->sources[i]->config) {
            c->config = json_incref(c->sources[i]->config);
            c->config_path = strdup(c->sources[i]->path);
            return c->config_path ? GQA_OK : gqa_fail_nomem();
        }
    return c->folder ? gqa_config_find(&c->config, &c->config_path, c->folder)
                     : GQA_OK;
}

/* A configuration beside the weights may be damaged where they are not. */
static enum gqa_status find_config_or_go_on(
    struct gqa_checkpoint *c, const struct gqa_checkpoint_options *options)
{
    const enum gqa_status st = find_config(c, options->config_path);

    if (!options->keep_going || options->config_path ||
        (st != GQA_ERR_FORMAT && st != GQA_ERR_UNSUPPORTED))
        return st;
    c->config_trouble = strdup(gqa_error_message());
    return c->config_trouble ? GQA_OK : gqa_fail_nomem();
}

/* Inside the weights it is watched with them. */
static enum gqa_status watch_config(struct gqa_checkpoint *c)
{
    enum gqa_status st;
    uint64_t size;
    int fd;

    if (!c->config_path || strcmp(c->config_path, c->sources[0]->path) == 0)
        return GQA_OK;
    if ((st = gqa_file_open(&fd, &size, c->config_path)) != GQA_OK)
        return st;
    st = gqa_watch_add(&c->files, c->config_path, fd);
    close(fd);
    return st;
}

/* Loaders of a model find nothing by such names, so that they are a state
 * dict's of what the model, or modules of it, were trained within, and in none
 * of its own. */
static enum gqa_status unwrap(struct gqa_checkpoint *c)
{
    static const char *const parts[] = {
        "_orig_mod",       "_fsdp_wrapped_module",       "_fpw_module",
        "_forward_module", "_checkpoint_wrapped_module",
    };
    enum gqa_status st = GQA_OK;
    size_t n = 0;

    if (c->n_sources == 0 || c->sources[0]->naming != GQA_NAMES_TORCH)
        return GQA_OK;
    c->unwraps = true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        st = gqa_tensor_table_take_part(&n, &c->table, c->sources, parts[i]);
        if (st != GQA_OK)
            return st;
        if (n > 0)
            gqa_info("%zu names are read without '%s.'", n, parts[i]);
    }
    while (gqa_tensor_table_take_prefix(&c->table, c->sources, "module."))
        gqa_info("names are read without 'module.' before all of them");
    return GQA_OK;
}

static enum gqa_status set_kind(struct gqa_checkpoint *c)
{
    const struct gqa_source *first = c->sources[0];
    const char *what = first->format->describe(first->naming);
    const size_t n_shards = c->n_sources - c->has_transforms;
    const int n = c->is_sharded ? asprintf(&c->kind, "%s, %zu shard%s", what,
                                           n_shards, n_shards == 1 ? "" : "s")
                                : asprintf(&c->kind, "%s", what);

    if (n < 0) {
        c->kind = NULL;
        return gqa_fail_nomem();
    }
    return GQA_OK;
}

static enum gqa_status open_path(struct gqa_checkpoint *c,
                                 const struct gqa_checkpoint_options *options)
{
    enum gqa_status st;
    struct stat info;

    if (stat(c->path, &info) != 0)
        return gqa_fail_errno("%s", c->path);
    c->is_folder = S_ISDIR(info.st_mode);
    c->folder = c->is_folder ? strdup(c->path) : gqa_path_folder(c->path);
    if (!c->folder)
        return gqa_fail_nomem();
    if (c->is_folder &&
        (st = gqa_folder_find(&c->file, c->folder, true)) != GQA_OK)
        return st;
    if (!c->file && !(c->file = strdup(c->path)))
        return gqa_fail_nomem();
    return open_weights(c, c->file, options);
}

enum gqa_status gqa_checkpoint_open(
    struct gqa_checkpoint **out, const char *path,
    const struct gqa_checkpoint_options *options)
{
    enum gqa_status st;
    struct gqa_checkpoint *c = calloc(1, sizeof *c);
    const bool is_stream =
        !options->fd && strcmp(path, GQA_STANDARD_INPUT) == 0;

    if (!c)
        return gqa_fail_nomem();
    c->path = strdup(is_stream ? GQA_STANDARD_INPUT_PATH : path);
    if (!c->path) {
        st = gqa_fail_nomem();
        goto done;
    }
    st = is_stream || options->fd ? open_weights(c, c->path, options)
                                  : open_path(c, options);
    if (st == GQA_OK && options->unwrap)
        st = unwrap(c);
    if (st == GQA_OK)
        st = open_transforms(c, options);
    if (st != GQA_OK)
        goto done;
    if ((st = find_config_or_go_on(c, options)) != GQA_OK)
        goto done;
    if ((st = watch_config(c)) != GQA_OK)
        goto done;
    if ((st = set_kind(c)) != GQA_OK)
        goto done;
    gqa_say_checkpoint(c);
    *out = c;
    c = NULL; /* now the caller's */
done:
    gqa_checkpoint_close(c);
    return st;
}

void gqa_checkpoint_close(struct gqa_checkpoint *c)
{
    if (!c)
        return;
    gqa_tensor_table_clear(&c->table);
    for (size_t i = 0; i < c->n_sources; i++)
        gqa_source_close(c->sources[i]);
    free(c->sources);
    json_decref(c->config);
    free(c->config_path);
    free(c->config_trouble);
    gqa_watch_clear(&c->files);
    free(c->kind);
    free(c->file);
    free(c->folder);
    free(c->path);
    free(c);
}

static bool has_state_dicts(const struct gqa_checkpoint *c)
{
    return c && c->n_sources > 0 && c->sources[0]->format->has_state_dicts;
}

enum gqa_status gqa_checkpoint_check_state_dict(const char *name,
                                                const struct gqa_checkpoint *a,
                                                const struct gqa_checkpoint *b)
{
    if (!name || has_state_dicts(a) || has_state_dicts(b))
        return GQA_OK;
    return gqa_fail(GQA_ERR_USAGE,
                    "option --state-dict is for PyTorch's files, which may "
                    "hold several, and not for %s%s%s",
                    a->path, b ? " and " : "", b ? b->path : "");
}

enum gqa_status gqa_checkpoint_check_unchanged(const struct gqa_checkpoint *c)
{
    enum gqa_status st = gqa_watch_check(&c->files);
    char *now = NULL;

    if (st != GQA_OK || !c->is_folder)
        return st;
    st = gqa_folder_find(&now, c->folder, false);
    if (st == GQA_OK && strcmp(now, c->file) != 0)
        st = gqa_fail(GQA_ERR_IO,
                      "%s: files came or went while it was read: a reader "
                      "would take %s now, not %s; try again when it is at rest",
                      c->folder, now, c->file);
    free(now);
    return st;
}

bool gqa_checkpoint_unwraps(const struct gqa_checkpoint *checkpoint)
{
    return checkpoint->unwraps;
}

size_t gqa_checkpoint_n_files(const struct gqa_checkpoint *c)
{
    return c->files.n;
}

const char *gqa_checkpoint_file_read(const struct gqa_checkpoint *c, size_t i)
{
    return c->files.files[i].name;
}

const char *gqa_checkpoint_config_trouble(const struct gqa_checkpoint *c)
{
    return c->config_trouble;
}

const char *gqa_checkpoint_kind(const struct gqa_checkpoint *c)
{
    return c->kind;
}

const char *gqa_checkpoint_path(const struct gqa_checkpoint *c)
{
    return c->path;
}

const char *gqa_checkpoint_file(const struct gqa_checkpoint *c)
{
    return c->file ? c->file : c->path;
}

const char *gqa_checkpoint_folder(const struct gqa_checkpoint *c)
{
    return c->folder;
}

bool gqa_checkpoint_is_folder(const struct gqa_checkpoint *c)
{
    return c->is_folder;
}

enum gqa_naming gqa_checkpoint_naming(const struct gqa_checkpoint *c)
{
    return c->sources[0]->naming;
}

size_t gqa_checkpoint_n_sources(const struct gqa_checkpoint *c)
{
    return c->n_sources;
}

const struct gqa_source *gqa_checkpoint_source(const struct gqa_checkpoint *c,
                                               size_t i)
{
    return c->sources[i];
}

size_t gqa_checkpoint_n_tensors(const struct gqa_checkpoint *c)
{
    return c->table.n;
}

const struct gqa_tensor *gqa_checkpoint_tensor(const struct gqa_checkpoint *c,
                                               size_t i)
{
    return c->table.refs[i].tensor;
}

const struct gqa_source *gqa_checkpoint_source_of(
    const struct gqa_checkpoint *checkpoint, size_t tensor)
{
    return checkpoint->sources[checkpoint->table.refs[tensor].source];
}

const json_t *gqa_checkpoint_config(const struct gqa_checkpoint *c)
{
    return c->config;
}

const char *gqa_checkpoint_config_path(const struct gqa_checkpoint *c)
{
    return c->config_path;
}

enum gqa_status gqa_checkpoint_read(struct gqa_checkpoint *c, size_t tensor,
                                    const struct gqa_span *span, void *buf)
{
    const struct gqa_tensor_ref *ref = &c->table.refs[tensor];
    struct gqa_source *source = c->sources[ref->source];
    enum gqa_status st;

    if (!gqa_span_fits(span, ref->tensor->n_bytes))
        return gqa_fail(GQA_ERR_USAGE,
                        "%s: tensor %s: %" PRIu64 " pieces of %" PRIu64
                        " bytes, %" PRIu64 " apart, from byte %" PRIu64
                        " pass the end of its %" PRIu64 " bytes",
                        source->path, ref->tensor->name, span->count,
                        span->piece, span->stride, span->offset,
                        ref->tensor->n_bytes);
    st = source->ops->read(source, ref->local, span, buf);
    return st == GQA_OK ? GQA_OK : gqa_fail_prefix(st, "%s", source->path);
}
