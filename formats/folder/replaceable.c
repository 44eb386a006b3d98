#include "formats/folder/replaceable.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/interrupt.h"
#include "common/json.h"
#include "formats/folder/manifest.h"

enum {
    PIECE_BYTES = 1 << 20,
    MAX_CONFIG_BYTES = 16 << 20,
    MAX_INDEX_BYTES = 100000000,
};

/* What the folder says of what it holds. */
struct judge {
    int folder_fd;
    const struct gqa_entries *entries;
    const struct gqa_companions *companions;
    struct gqa_folder_manifest manifest;
    bool has_manifest, has_config;
    json_t *shards; /* keys: the files that the index names; NULL: no index */
    unsigned char *piece;
    /* Lent. Lack of memory, or a disk that does not work; what cannot be read
     * for other reasons is not ours. Nothing is read after it. */
    enum gqa_status *failure;
};

static void note(const struct judge *j, enum gqa_status st, const char *name)
{
    if (st == GQA_ERR_NOMEM)
        *j->failure = st;
    else if (st == GQA_ERR_IO)
        *j->failure = gqa_fail_prefix(st, "%s", name);
}

/* By errno. One that we may not read is somebody's. */
static void note_unopened(const struct judge *j, const char *name)
{
    if (errno != EACCES && errno != EPERM && errno != ENOENT && errno != ELOOP)
        *j->failure = gqa_fail_errno("%s", name);
}

/* For reading, if it is still the file that was listed; else -1. */
static int open_entry(const struct judge *j, const struct gqa_entry *e)
{
    struct stat info;
    int fd;

    if (!S_ISREG(e->info.st_mode) || *j->failure != GQA_OK)
        return -1;
    fd = openat(j->folder_fd, e->name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        note_unopened(j, e->name);
    else if (gqa_is_untouched(&e->info, &info))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* NULL where there is none, or none that is sound. */
static json_t *load(const struct judge *j, const char *name, size_t max_bytes)
{
    const struct gqa_entry *e = gqa_entries_find(j->entries, name);
    const int fd = e ? open_entry(j, e) : -1;
    json_t *root = NULL;

    if (fd < 0)
        return NULL;
    note(
        j,
        gqa_json_load_fd(&root, fd, (uint64_t)e->info.st_size, name, max_bytes),
        name);
    close(fd);
    return root;
}

/* A model's, and no other program's that happens to have a key of it. */
static bool is_config(const json_t *root)
{
    static const char *const widths[] = {"hidden_size", "d_model", "n_embd"};
    bool has_more = json_is_array(json_object_get(root, "architectures"));

    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        has_more =
            has_more || json_is_integer(json_object_get(root, widths[i]));
    return json_is_string(json_object_get(root, "model_type")) && has_more;
}

/* NULL: there is no index. */
static json_t *read_index(const struct judge *j)
{
    json_t *root = load(j, "model.safetensors.index.json", MAX_INDEX_BYTES);
    json_t *map = json_object_get(root, "weight_map");
    json_t *shards = json_is_object(map) ? json_object() : NULL;

    for (void *it = shards ? json_object_iter(map) : NULL; it;
         it = json_object_iter_next(map, it)) {
        const char *name = json_string_value(json_object_iter_value(it));

        if (name)
            json_object_set_new(shards, name, json_true());
    }
    json_decref(root);
    return shards;
}

static void read_folder(struct judge *j)
{
    json_t *root =
        load(j, GQA_FOLDER_MANIFEST_NAME, GQA_FOLDER_MANIFEST_MAX_BYTES);

    note(j, gqa_folder_manifest_parse(&j->has_manifest, &j->manifest, root),
         GQA_FOLDER_MANIFEST_NAME);
    json_decref(root);
    root = load(j, "config.json", MAX_CONFIG_BYTES);
    j->has_config = is_config(root);
    json_decref(root);
    j->shards = read_index(j);
}

static bool is_named_by_index(const struct judge *j, const char *name)
{
    static const char suffix[] = ".safetensors";
    const size_t n = strlen(name), n_suffix = strlen(suffix);

    return n >= n_suffix && strcmp(name + n - n_suffix, suffix) == 0 &&
           json_object_get(j->shards, name) != NULL;
}

static bool is_part_of_checkpoint(const struct judge *j, const char *name)
{
    if (strcmp(name, GQA_FOLDER_MANIFEST_NAME) == 0)
        return j->has_manifest;
    if (strcmp(name, "config.json") == 0)
        return j->has_config;
    if (strcmp(name, "model.safetensors.index.json") == 0)
        return j->shards != NULL;
    if (strcmp(name, "model.safetensors") == 0 && j->has_config)
        return true;
    return is_named_by_index(j, name);
}

/* Of a file, either digest. */
struct digests {
    struct gqa_content_digest *content; /* or NULL */
    struct gqa_sha256 *sha256;
};

static enum gqa_status update(const struct digests *d,
                              const unsigned char *bytes, size_t n)
{
    if (!d->content)
        return gqa_sha256_update(d->sha256, bytes, n);
    gqa_content_digest_update(d->content, bytes, n);
    return GQA_OK;
}

static enum gqa_status read_through(const struct judge *j, int fd,
                                    uint64_t n_bytes, const struct digests *d)
{
    enum gqa_status st = GQA_OK;

    for (uint64_t at = 0; at < n_bytes && st == GQA_OK;) {
        const size_t n =
            n_bytes - at < PIECE_BYTES ? (size_t)(n_bytes - at) : PIECE_BYTES;

        if (gqa_interrupt_pending())
            return GQA_ERR_INTERRUPTED;
        st = gqa_file_read(fd, j->piece, n, at);
        if (st == GQA_OK)
            st = update(d, j->piece, n);
        at += n;
    }
    return st;
}

static enum gqa_status compare_digest(bool *is_same, const struct judge *j,
                                      int fd,
                                      const struct gqa_listed_file *file)
{
    unsigned char sha256[GQA_SHA256_BYTES] = {0};
    char content[GQA_CONTENT_DIGITS + 1];
    struct digests d = {0};
    enum gqa_status st = file->is_weights
                             ? gqa_content_digest_create(&d.content)
                             : gqa_sha256_create(&d.sha256);

    if (st == GQA_OK)
        st = read_through(j, fd, file->n_bytes, &d);
    if (st == GQA_OK && file->is_weights) {
        gqa_content_digest_format(content, d.content);
        *is_same = strcmp(content, file->xxh3_128) == 0;
    } else if (st == GQA_OK &&
               (st = gqa_sha256_finish(d.sha256, sha256)) == GQA_OK) {
        *is_same = memcmp(sha256, file->sha256, sizeof sha256) == 0;
    }
    gqa_content_digest_free(d.content);
    gqa_sha256_free(d.sha256);
    return st;
}

static bool is_as_listed(const struct judge *j, const struct gqa_entry *e,
                         const struct gqa_listed_file *file)
{
    bool is_same = false;
    int fd;

    if ((uint64_t)e->info.st_size != file->n_bytes ||
        (fd = open_entry(j, e)) < 0)
        return false;
    note(j, compare_digest(&is_same, j, fd, file), e->name);
    close(fd);
    return is_same;
}

static bool is_written_again(const struct judge *j, const struct gqa_entry *e)
{
    const int fd = open_entry(j, e);
    bool is_same;

    if (fd < 0)
        return false;
    is_same = gqa_companions_equal(j->companions, e->name, fd,
                                   (uint64_t)e->info.st_size);
    close(fd);
    return is_same;
}

static enum gqa_entry_verdict judge_one(const struct judge *j,
                                        const struct gqa_entry *e)
{
    const struct gqa_listed_file *file =
        gqa_folder_manifest_find(&j->manifest, e->name);

    if (!S_ISREG(e->info.st_mode))
        return GQA_VERDICT_FOREIGN;
    if (is_part_of_checkpoint(j, e->name) ||
        (file && is_as_listed(j, e, file)) || is_written_again(j, e))
        return GQA_VERDICT_OURS;
    return file ? GQA_VERDICT_CHANGED : GQA_VERDICT_FOREIGN;
}

enum gqa_status gqa_replaceable_judge(void *companions, int folder_fd,
                                      struct gqa_entries *entries)
{
    enum gqa_status failure = GQA_OK;
    struct judge j = {
        .failure = &failure,
        .folder_fd = folder_fd,
        .entries = entries,
        .companions = companions,
        .piece = malloc(PIECE_BYTES),
    };

    if (!j.piece)
        return gqa_fail_nomem();
    read_folder(&j);
    for (size_t i = 0;
         i < entries->n && failure == GQA_OK && !gqa_interrupt_pending(); i++)
        entries->list[i].verdict = judge_one(&j, &entries->list[i]);
    gqa_folder_manifest_clear(&j.manifest);
    json_decref(j.shards);
    free(j.piece);
    if (gqa_interrupt_pending())
        return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
    return failure == GQA_OK ? gqa_json_check() : failure;
}
