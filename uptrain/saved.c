#include "uptrain/saved.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/whole_file.h"
#include "formats/checkpoint.h"
#include "formats/content_digest.h"
#include "formats/detect.h"
#include "formats/formats.h"
#include "formats/safetensors/header_write.h"

static const char file_name[] = "uptrain-state.safetensors";
static const char key[] = "gqa.uptrain";

/* A tensor of the file: memory of the device, or of the host. */
struct part {
    char *name; /* owned */
    void *device, *host;
    enum gqa_dtype dtype;
    uint64_t shape[1];
    uint64_t n_bytes;
    char digest[GQA_CONTENT_DIGITS + 1];
};

struct parts {
    struct part *items; /* the last is `sum` */
    size_t n;
    char sum[GQA_CONTENT_DIGITS + 1]; /* over what all others hold */
};

static enum gqa_status path_of(char **out, const struct gqa_saved *s)
{
    return asprintf(out, "%s/%s", s->folder, file_name) < 0 ? gqa_fail_nomem()
                                                            : GQA_OK;
}

enum gqa_status gqa_saved_prepare(const struct gqa_saved *s)
{
    char *path = NULL;
    enum gqa_status st;

    if (mkdir(s->folder, 0777) != 0 && errno != EEXIST)
        return gqa_fail_errno("%s", s->folder);
    st = path_of(&path, s);
    if (st == GQA_OK)
        st = gqa_atomic_try_file(path, true);
    free(path);
    return st;
}

/* --- What it is made of --------------------------------------------------- */

static void clear_parts(struct parts *p)
{
    for (size_t i = 0; p->items && i < p->n; i++)
        free(p->items[i].name);
    free(p->items);
}

static enum gqa_status add(struct parts *p, const char *what, const char *name,
                           void *device, void *host, uint64_t n,
                           enum gqa_dtype dtype)
{
    struct part *part = &p->items[p->n];

    if (asprintf(&part->name, "%s.%s", what, name) < 0)
        return gqa_fail_nomem();
    part->device = device;
    part->host = host;
    part->dtype = dtype;
    part->shape[0] = n;
    part->n_bytes = n * (gqa_dtype_bits(dtype) / 8);
    p->n++;
    return GQA_OK;
}

/* weights, best: as gqa_trainer_get() gives them. */
static enum gqa_status list_parts(struct parts *p, struct gqa_trainer *t,
                                  const struct gqa_history *h, void *weights,
                                  void *best)
{
    const enum gqa_dtype wide =
        gqa_trainer_wide(t) == sizeof(double) ? GQA_F64 : GQA_F32;
    const struct gqa_optimiser *o = gqa_trainer_optimiser(t);
    size_t at = 0;
    enum gqa_status st = GQA_OK;

    p->items = calloc(2 * gqa_trainer_n(t) + gqa_optimiser_n_moments(o) + 2,
                      sizeof *p->items);
    if (!p->items)
        return gqa_fail_nomem();
    for (size_t i = 0; i < gqa_trainer_n(t) && st == GQA_OK; i++) {
        const struct gqa_trainee *w = gqa_trainer_trainee(t, i);
        const uint64_t n = w->n_rows * w->n_cols;

        st = add(p, "weights", gqa_trainer_name(t, i), NULL,
                 (char *)weights + at, n, wide);
        if (st == GQA_OK)
            st = add(p, "best", gqa_trainer_name(t, i), NULL, (char *)best + at,
                     n, wide);
        at += n * gqa_trainer_wide(t);
    }
    for (size_t i = 0; i < gqa_optimiser_n_moments(o) && st == GQA_OK; i++) {
        const struct gqa_moment m = gqa_optimiser_moment(o, i);

        if (m.n > 0)
            st = add(p, m.name, gqa_trainer_name(t, m.trainee), m.data, NULL,
                     m.n, wide);
    }
    if (st == GQA_OK)
        st = add(p, "run", "losses", NULL, h->losses, h->room, GQA_F64);
    return st == GQA_OK ? add(p, "run", "digest", NULL, p->sum,
                              GQA_CONTENT_DIGITS, GQA_U8)
                        : st;
}

/* --- Digests -------------------------------------------------------------- */

static enum gqa_status digest_part(struct part *part, const void *bytes)
{
    struct gqa_content_digest *digest = NULL;
    const enum gqa_status st = gqa_content_digest_create(&digest);

    if (st != GQA_OK)
        return st;
    gqa_content_digest_update(digest, bytes, (size_t)part->n_bytes);
    gqa_content_digest_format(part->digest, digest);
    gqa_content_digest_free(digest);
    return GQA_OK;
}

/* Over what is told of the run, and all parts but the last by their names. */
static enum gqa_status add_up(char sum[GQA_CONTENT_DIGITS + 1],
                              const struct parts *p, const char *told)
{
    struct gqa_content_digest *digest = NULL;
    const enum gqa_status st = gqa_content_digest_create(&digest);

    if (st != GQA_OK)
        return st;
    gqa_content_digest_update(digest, told, strlen(told) + 1);
    for (size_t i = 0; i + 1 < p->n; i++) {
        const struct part *part = &p->items[i];

        gqa_content_digest_update(digest, part->name, strlen(part->name) + 1);
        gqa_content_digest_update(digest, part->digest, GQA_CONTENT_DIGITS);
    }
    gqa_content_digest_format(sum, digest);
    gqa_content_digest_free(digest);
    return GQA_OK;
}

/* --- Writing -------------------------------------------------------------- */

static enum gqa_status put_part(FILE *out, struct gqa_trainer *t,
                                struct part *part, void *room)
{
    const void *bytes = part->host;
    enum gqa_status st = GQA_OK;

    if (part->device) {
        st = gqa_trainer_read(t, room, part->device, part->n_bytes);
        bytes = room;
    }
    if (st == GQA_OK)
        st = digest_part(part, bytes);
    if (st == GQA_OK && part->n_bytes > 0 &&
        fwrite(bytes, part->n_bytes, 1, out) != 1)
        st = gqa_fail_errno("%s", file_name);
    return st;
}

/* Tensors of narrow types come last: the digest does, which is over all. */
static enum gqa_status put_all(FILE *out, struct gqa_trainer *t,
                               struct parts *p, const json_t *metadata)
{
    const char *told = json_string_value(json_object_get(metadata, key));
    struct gqa_output_tensor *list = calloc(p->n + 1, sizeof *list);
    size_t *order = calloc(p->n + 1, sizeof *order);
    struct gqa_st_text text = {.bytes = NULL};
    uint64_t most = 0;
    void *room = NULL;
    enum gqa_status st = list && order ? GQA_OK : gqa_fail_nomem();

    for (size_t i = 0; i < p->n && st == GQA_OK; i++) {
        list[i] = (struct gqa_output_tensor){.name = p->items[i].name,
                                             .dtype = p->items[i].dtype,
                                             .rank = 1,
                                             .shape = p->items[i].shape,
                                             .n_bytes = p->items[i].n_bytes};
        order[i] = i;
        most = most > list[i].n_bytes ? most : list[i].n_bytes;
    }
    if (st == GQA_OK && !(room = malloc(most + 1)))
        st = gqa_fail_nomem();
    if (st == GQA_OK) {
        gqa_st_sort(order, p->n, list);
        st = gqa_st_text_create(&text, list, order, p->n, metadata);
    }
    if (st == GQA_OK && fwrite(text.bytes, text.n_bytes, 1, out) != 1)
        st = gqa_fail_errno("%s", file_name);
    assert(st != GQA_OK || order[p->n - 1] == p->n - 1);
    for (size_t i = 0; i < p->n && st == GQA_OK; i++) {
        if (i + 1 == p->n)
            st = add_up(p->sum, p, told);
        if (st == GQA_OK)
            st = put_part(out, t, &p->items[order[i]], room);
    }
    gqa_st_text_free(&text);
    free(room);
    free(order);
    free(list);
    return st;
}

static enum gqa_status describe(json_t **out, const struct gqa_saved *s,
                                const struct gqa_history *h)
{
    json_t *all = json_pack("{s:i, s:O, s:o}", "version", 1, "what", s->what,
                            "history", gqa_history_describe(h));
    char *text = NULL;
    const enum gqa_status st =
        gqa_json_dump(&text, all, JSON_COMPACT | JSON_REAL_PRECISION(17));

    if (st == GQA_OK)
        *out = json_pack("{s:s}", key, text);
    free(text);
    json_decref(all);
    return st == GQA_OK ? gqa_json_check() : st;
}

enum gqa_status gqa_saved_write(const struct gqa_saved *s,
                                struct gqa_trainer *trainer,
                                const struct gqa_history *history,
                                const void *best)
{
    struct gqa_whole_file file = {.path = NULL};
    struct parts parts = {.items = NULL};
    void *weights = malloc(gqa_trainer_bytes(trainer) + 1);
    json_t *metadata = NULL;
    char *path = NULL;
    enum gqa_status st = weights ? path_of(&path, s) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = gqa_trainer_get(trainer, weights);
    if (st == GQA_OK)
        st = describe(&metadata, s, history);
    if (st == GQA_OK)
        st = list_parts(&parts, trainer, history, weights, (void *)best);
    if (st == GQA_OK)
        st = gqa_whole_file_begin(&file, path, true);
    if (st == GQA_OK) {
        st = put_all(file.stream, trainer, &parts, metadata);
        if (st == GQA_ERR_IO)
            st = gqa_fail_prefix(st, "%s", s->folder);
        st = gqa_whole_file_end(&file, st);
    }
    clear_parts(&parts);
    json_decref(metadata);
    free(weights);
    free(path);
    return st;
}

/* --- Reading -------------------------------------------------------------- */

static enum gqa_status read_part(struct gqa_checkpoint *c, size_t tensor,
                                 struct gqa_trainer *t, struct part *part)
{
    const struct gqa_span span = {0, part->n_bytes, part->n_bytes, 1};
    void *room = part->host ? NULL : malloc(part->n_bytes + 1);
    enum gqa_status st = GQA_OK;

    if (!part->host && !room)
        return gqa_fail_nomem();
    if (part->n_bytes > 0)
        st = gqa_checkpoint_read(c, tensor, &span, room ? room : part->host);
    if (st == GQA_OK)
        st = digest_part(part, room ? room : part->host);
    if (st == GQA_OK && room)
        st = gqa_trainer_write(t, part->device, room, part->n_bytes);
    free(room);
    return st;
}

/* Index of the tensor that a part is; false: there is none such. */
static bool find_part(size_t *index, const struct gqa_checkpoint *c,
                      const struct part *part)
{
    for (size_t k = 0; k < gqa_checkpoint_n_tensors(c); k++) {
        const struct gqa_tensor *t = gqa_checkpoint_tensor(c, k);

        if (strcmp(t->name, part->name) != 0)
            continue;
        *index = k;
        return t->n_bytes == part->n_bytes && t->dtype == part->dtype;
    }
    return false;
}

static enum gqa_status read_parts(struct gqa_checkpoint *c,
                                  struct gqa_trainer *t, struct parts *p,
                                  const char *told)
{
    char sum[GQA_CONTENT_DIGITS + 1] = "";
    enum gqa_status st = GQA_OK;
    size_t tensor = 0;

    for (size_t i = 0; i < p->n && st == GQA_OK; i++)
        st = find_part(&tensor, c, &p->items[i])
                 ? read_part(c, tensor, t, &p->items[i])
                 : gqa_fail(GQA_ERR_FORMAT,
                            "'%s' is missing, or not of its size",
                            p->items[i].name);
    if (st == GQA_OK)
        st = add_up(sum, p, told);
    return st == GQA_OK && memcmp(sum, p->sum, GQA_CONTENT_DIGITS) != 0
               ? gqa_fail(GQA_ERR_FORMAT,
                          "it is damaged: its digest is not that of what it "
                          "holds; take it away to begin anew")
               : st;
}

static char *show(const json_t *value)
{
    return value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT)
                 : strdup("nothing");
}

static enum gqa_status refuse(const char *name, const json_t *was,
                              const json_t *is)
{
    char *then = show(was), *now = show(is);
    const enum gqa_status st = gqa_fail(
        GQA_ERR_USAGE,
        "it is of a run with another %s: %s, here %s; give what that run was "
        "given, or another folder",
        name, then ? then : "", now ? now : "");

    free(then);
    free(now);
    return st;
}

/* The first of what the run depends on that is not what it was. */
static enum gqa_status check_same(const json_t *saved, const json_t *now)
{
    const json_t *value;
    const char *name;

    json_object_foreach((json_t *)now, name, value)
    {
        const json_t *was = json_object_get(saved, name);

        if (!was || !json_equal(was, value))
            return refuse(name, was, value);
    }
    json_object_foreach((json_t *)saved, name, value)
    {
        if (!json_object_get(now, name))
            return refuse(name, value, NULL);
    }
    return GQA_OK;
}

/* *text: as it stands there, lent by the checkpoint. */
static enum gqa_status read_json(json_t **out, const char **text,
                                 struct gqa_checkpoint *c)
{
    *text = json_string_value(
        json_object_get(gqa_checkpoint_source(c, 0)->metadata, key));
    return *text ? gqa_json_parse(out, *text, strlen(*text), key)
                 : gqa_fail(GQA_ERR_FORMAT, "it has no '%s'", key);
}

static enum gqa_status read_all(struct gqa_checkpoint *c,
                                const struct gqa_saved *s,
                                struct gqa_trainer *t, struct gqa_history *h,
                                void *best)
{
    void *weights = malloc(gqa_trainer_bytes(t) + 1);
    struct parts parts = {.items = NULL};
    const char *told = NULL;
    json_t *json = NULL;
    enum gqa_status st =
        weights ? read_json(&json, &told, c) : gqa_fail_nomem();

    if (st == GQA_OK)
        st = check_same(json_object_get(json, "what"), s->what);
    if (st == GQA_OK && !gqa_history_read(h, json_object_get(json, "history")))
        st = gqa_fail(GQA_ERR_FORMAT, "what it tells of a run is not whole");
    if (st == GQA_OK)
        st = list_parts(&parts, t, h, weights, best);
    if (st == GQA_OK)
        st = read_parts(c, t, &parts, told);
    if (st == GQA_OK)
        st = gqa_trainer_set(t, weights);
    clear_parts(&parts);
    free(weights);
    json_decref(json);
    return st;
}

/* No reader but the one of what we write gets to see it. */
static enum gqa_status check_kind(const char *path)
{
    const struct gqa_format *format = NULL;
    uint64_t size;
    int fd;
    enum gqa_status st = gqa_file_open(&fd, &size, path);

    if (st != GQA_OK)
        return st; /* which says the path */
    st = gqa_file_detect(&format, fd, size);
    close(fd);
    if (st != GQA_OK)
        return gqa_fail_prefix(st, "%s", path);
    return format == &gqa_format_safetensors
               ? GQA_OK
               : gqa_fail(GQA_ERR_FORMAT, "%s: no state of a run", path);
}

enum gqa_status gqa_saved_read(bool *found, const struct gqa_saved *s,
                               struct gqa_trainer *trainer,
                               struct gqa_history *history, void *best)
{
    const struct gqa_checkpoint_options options = {.config_path = NULL};
    struct gqa_checkpoint *c = NULL;
    struct stat status;
    char *path = NULL;
    enum gqa_status st = path_of(&path, s);

    *found = false;
    if (st != GQA_OK)
        return st;
    if (stat(path, &status) != 0) {
        st = errno == ENOENT ? GQA_OK : gqa_fail_errno("%s", path);
        free(path);
        return st;
    }
    *found = true;
    st = check_kind(path);
    if (st == GQA_OK)
        st = gqa_checkpoint_open(&c, path, &options);
    if (st == GQA_OK) {
        st = read_all(c, s, trainer, history, best);
        st = st == GQA_OK ? st : gqa_fail_prefix(st, "%s", path);
    }
    if (st != GQA_OK)
        history->best = 0; /* nothing of it counts */
    gqa_checkpoint_close(c);
    free(path);
    return st;
}
