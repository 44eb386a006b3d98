/*
 * A Hugging Face folder: weights in shards with an index, config.json, and
 * the other files of the source's folder.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/json.h"
#include "common/units.h"
#include "formats/folder/companions.h"
#include "formats/folder/folder.h"
#include "formats/folder/manifest.h"
#include "formats/folder/replaceable.h"
#include "formats/safetensors/write.h"
#include "formats/transforms.h"
#include "formats/writers.h"

enum { SHARD_NAME_BYTES = 64 };

static const char index_name[] = "model.safetensors.index.json";
static const char config_name[] = "config.json";
static const char card_name[] = "README.md";

struct shard {
    char name[SHARD_NAME_BYTES];
    size_t first, n; /* in folder.order */
    struct gqa_st_text header;
};

struct folder {
    const struct gqa_output *out;
    size_t *order; /* [out->n_tensors], shard after shard */
    struct shard *shards;
    size_t n_shards;
    struct shard aside; /* of transforms; n 0: there are none */
    char *index;        /* text, or NULL where there is one shard */
    char *config;
    struct gqa_companions *companions;
    struct gqa_folder_manifest manifest;
    struct gqa_atomic *target;
};

/* As Hugging Face's writers do it. */
#define DEFAULT_SHARD_BYTES UINT64_C(5000000000)

static uint64_t shard_bytes(const struct gqa_output_settings *settings)
{
    return settings->shard_bytes ? settings->shard_bytes : DEFAULT_SHARD_BYTES;
}

/*
 * Cut the tensors, in the caller's order, into shards of at most
 * shard_bytes; a longer tensor is a shard of its own.
 */
static enum gqa_status cut(struct folder *f)
{
    const uint64_t limit = shard_bytes(&f->out->options->settings);
    uint64_t filled = 0;
    size_t n = 0; /* in order */

    f->order =
        calloc(f->out->n_tensors ? f->out->n_tensors : 1, sizeof *f->order);
    f->shards =
        calloc(f->out->n_tensors ? f->out->n_tensors : 1, sizeof *f->shards);
    if (!f->order || !f->shards)
        return gqa_fail_nomem();
    f->n_shards = 1;
    for (size_t i = 0; i < f->out->n_tensors; i++) {
        const uint64_t n_bytes = f->out->tensors[i].n_bytes;
        struct shard *shard = &f->shards[f->n_shards - 1];

        if (f->out->tensors[i].part == GQA_OUTPUT_TRANSFORM)
            continue;
        if (shard->n > 0 && (filled > limit || n_bytes > limit - filled)) {
            shard = &f->shards[f->n_shards++];
            shard->first = n;
            filled = 0;
        }
        f->order[n++] = i;
        shard->n++;
        filled += n_bytes;
    }
    f->aside.first = n;
    for (size_t i = 0; i < f->out->n_tensors; i++)
        if (f->out->tensors[i].part == GQA_OUTPUT_TRANSFORM)
            f->order[n++] = i;
    f->aside.n = n - f->aside.first;
    return GQA_OK;
}

static enum gqa_status make_aside(struct folder *f)
{
    size_t *order = f->order + f->aside.first;
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    enum gqa_status st = gqa_json_check();

    strcpy(f->aside.name, GQA_TRANSFORMS_FILE);
    gqa_st_sort(order, f->aside.n, f->out->tensors);
    if (st == GQA_OK)
        st = gqa_st_text_create(&f->aside.header, f->out->tensors, order,
                                f->aside.n, metadata);
    json_decref(metadata);
    return st;
}

static enum gqa_status make_headers(struct folder *f)
{
    const json_t *given = f->out->options->metadata;
    json_t *metadata =
        given ? json_deep_copy(given) : json_pack("{s:s}", "format", "pt");
    enum gqa_status st = gqa_json_check();

    for (size_t i = 0; i < f->n_shards && st == GQA_OK; i++) {
        struct shard *shard = &f->shards[i];
        size_t *order = f->order + shard->first;

        if (f->n_shards == 1)
            strcpy(shard->name, "model.safetensors");
        else
            snprintf(shard->name, sizeof shard->name,
                     "model-%05zu-of-%05zu.safetensors", i + 1, f->n_shards);
        gqa_st_sort(order, shard->n, f->out->tensors);
        st = gqa_st_text_create(&shard->header, f->out->tensors, order,
                                shard->n, metadata);
    }
    json_decref(metadata);
    return st == GQA_OK && f->aside.n > 0 ? make_aside(f) : st;
}

/* As json.dumps(indent=2) + "\n" of Hugging Face's writers. */
static enum gqa_status dump_pretty(char **out, const json_t *value,
                                   size_t flags)
{
    char *text, *line;
    enum gqa_status st;

    if ((st = gqa_json_dump(&text, value, JSON_INDENT(2) | flags)) != GQA_OK)
        return st;
    line = realloc(text, strlen(text) + 2);
    if (!line) {
        free(text);
        return gqa_fail_nomem();
    }
    strcat(line, "\n");
    *out = line;
    return GQA_OK;
}

static json_t *map_weights(const struct folder *f, uint64_t *total)
{
    json_t *map = json_object();

    for (size_t i = 0; i < f->n_shards; i++)
        for (size_t j = 0; j < f->shards[i].n; j++) {
            const struct gqa_output_tensor *t =
                &f->out->tensors[f->order[f->shards[i].first + j]];

            *total += t->n_bytes;
            json_object_set_new(map, t->name, json_string(f->shards[i].name));
        }
    return map;
}

static enum gqa_status make_index(struct folder *f)
{
    uint64_t total = 0;
    json_t *map = map_weights(f, &total);
    json_t *root = json_pack("{s:{s:I}, s:O}", "metadata", "total_size",
                             (json_int_t)total, "weight_map", map);
    enum gqa_status st = gqa_json_check();

    if (st == GQA_OK && json_object_size(map) != f->aside.first)
        st = gqa_fail(GQA_ERR_FORMAT, "two tensors have the same name");
    if (st == GQA_OK && f->n_shards > 1)
        st = dump_pretty(&f->index, root, JSON_SORT_KEYS);
    json_decref(root);
    json_decref(map);
    return st;
}

static enum gqa_status make_config(struct folder *f)
{
    const json_t *config = f->out->options->config;

    return config ? dump_pretty(&f->config, config, gqa_json_real_flags(config))
                  : GQA_OK;
}

/* Bytes of the manifest, or a few more. */
static uint64_t manifest_bytes(const struct folder *f)
{
    size_t n_files = f->n_shards + f->companions->n;
    uint64_t name_bytes = f->companions->name_bytes;

    for (size_t i = 0; i < f->n_shards; i++)
        name_bytes += strlen(f->shards[i].name);
    n_files += f->aside.n > 0 ? 1 : 0;
    name_bytes += strlen(f->aside.name);
    n_files += f->index ? 1 : 0;
    name_bytes += f->index ? strlen(index_name) : 0;
    n_files += f->config ? 1 : 0;
    name_bytes += f->config ? strlen(config_name) : 0;
    n_files += f->out->options->card ? 1 : 0;
    name_bytes += f->out->options->card ? strlen(card_name) : 0;
    n_files += f->out->options->module ? 1 : 0;
    name_bytes +=
        f->out->options->module ? strlen(f->out->options->module_name) : 0;
    return gqa_folder_manifest_most_bytes(n_files, name_bytes);
}

static enum gqa_status check_space(const struct folder *f)
{
    uint64_t needed = f->companions->n_bytes + manifest_bytes(f);

    for (size_t i = 0; i < f->n_shards; i++)
        needed += f->shards[i].header.n_bytes + f->shards[i].header.data_bytes;
    needed += f->aside.header.n_bytes + f->aside.header.data_bytes;
    needed += f->index ? strlen(f->index) : 0;
    needed += f->config ? strlen(f->config) : 0;
    needed += f->out->options->card ? strlen(f->out->options->card) : 0;
    needed += f->out->options->module ? strlen(f->out->options->module) : 0;
    return gqa_atomic_check_space(f->target, needed);
}

static enum gqa_status list_shard(struct folder *f, const struct shard *shard,
                                  const struct gqa_content_digest *digest,
                                  uint64_t file_bytes)
{
    struct gqa_listed_file file = {.n_bytes = file_bytes, .is_weights = true};

    gqa_content_digest_format(file.xxh3_128, digest);
    return gqa_folder_manifest_add(&f->manifest, shard->name, &file);
}

static enum gqa_status write_shard(struct folder *f, const struct shard *shard,
                                   uint64_t base, uint64_t all,
                                   uint64_t *file_bytes)
{
    struct gqa_weights weights = {
        .output = f->out,
        .order = f->order + shard->first,
        .n = shard->n,
        .header = &shard->header,
        .progress_base = base,
        .progress_all = all,
    };
    enum gqa_status st;
    char *path;
    int fd;

    if ((st = gqa_content_digest_create(&weights.digest)) != GQA_OK)
        return st;
    if (!(path = gqa_path_join(f->out->path, shard->name))) {
        gqa_content_digest_free(weights.digest);
        return gqa_fail_nomem();
    }
    weights.path = path;
    if ((st = gqa_atomic_create_in(f->target, &fd, shard->name)) == GQA_OK) {
        st = gqa_weights_write(&weights, &gqa_safetensors_form, fd, file_bytes);
        close(fd);
    }
    if (st == GQA_OK)
        st = list_shard(f, shard, weights.digest, *file_bytes);
    free(path);
    gqa_content_digest_free(weights.digest);
    return st;
}

static enum gqa_status write_shards(struct folder *f,
                                    struct gqa_output_summary *summary)
{
    const size_t n = f->n_shards + (f->aside.n > 0);
    uint64_t done = 0, all = f->aside.header.data_bytes;
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < f->n_shards; i++)
        all += f->shards[i].header.data_bytes;
    for (size_t i = 0; i < n && st == GQA_OK; i++) {
        const struct shard *shard = i < f->n_shards ? &f->shards[i] : &f->aside;
        const struct gqa_st_text *header = &shard->header;
        uint64_t file_bytes = 0;

        st = write_shard(f, shard, done, all, &file_bytes);
        done += header->data_bytes;
        summary->content_bytes += header->n_bytes + header->data_bytes;
        summary->file_bytes += file_bytes;
        summary->n_files++;
    }
    return st;
}

static enum gqa_status write_text(struct folder *f, const char *name,
                                  const char *text)
{
    if (!text)
        return GQA_OK;
    return gqa_small_file_write(f->target, f->out->path, name, text,
                                &f->manifest);
}

/* Last of all, since it lists all others. */
static enum gqa_status write_manifest(struct folder *f)
{
    json_t *root =
        gqa_folder_manifest_describe(&f->manifest, f->out->options->tool);
    char *text = NULL;
    enum gqa_status st = dump_pretty(&text, root, 0);

    if (st == GQA_OK)
        st = write_text(f, GQA_FOLDER_MANIFEST_NAME, text);
    free(text);
    json_decref(root);
    return st;
}

static enum gqa_status write_all_files(struct folder *f,
                                       struct gqa_output_summary *summary)
{
    enum gqa_status st;

    if ((st = write_shards(f, summary)) != GQA_OK)
        return st;
    st = write_text(f, index_name, f->index);
    if (st == GQA_OK) /* The analyser loses sight of who owns the text. */
        st = write_text(f, config_name, f->config); /* NOLINT */
    if (st == GQA_OK)
        st = write_text(f, card_name, f->out->options->card);
    if (st == GQA_OK)
        st = write_text(f, f->out->options->module_name,
                        f->out->options->module);
    if (st == GQA_OK)
        st = gqa_companions_copy(f->companions, f->target, f->out->path,
                                 &f->manifest);
    if (st == GQA_OK)
        st = write_manifest(f);
    if (st == GQA_OK && f->index) {
        summary->file_bytes += strlen(f->index);
        summary->n_files++;
    }
    return st;
}

static void clear(struct folder *f)
{
    gqa_atomic_free(f->target);
    gqa_companions_free(f->companions);
    gqa_folder_manifest_clear(&f->manifest);
    free(f->config);
    free(f->index);
    for (size_t i = 0; i < f->n_shards; i++)
        gqa_st_text_free(&f->shards[i].header);
    gqa_st_text_free(&f->aside.header);
    free(f->shards);
    free(f->order);
}

static enum gqa_status find_companions(struct gqa_companions **out,
                                       const struct gqa_output_options *options)
{
    return gqa_companions_create(out, options->copy_from,
                                 &(const struct gqa_companion_rules){
                                     .has_card = options->card != NULL,
                                     .n_kv_heads = options->n_kv_heads,
                                     .has_own_module = options->converts});
}

static enum gqa_status check(const char *path,
                             const struct gqa_output_options *options)
{
    struct gqa_companions *companions = NULL;
    enum gqa_status st;

    st = find_companions(&companions, options);
    if (st == GQA_OK)
        st = gqa_atomic_try_folder(path, options->force,
                                   &GQA_REPLACEABLE(companions));
    gqa_companions_free(companions);
    return st;
}

static enum gqa_status write_folder(struct gqa_output_summary *summary,
                                    const struct gqa_output *output)
{
    struct folder f = {.out = output};
    enum gqa_status st;

    if ((st = find_companions(&f.companions, output->options)) != GQA_OK)
        goto done;
    if ((st = gqa_atomic_create_folder(
             &f.target, output->path, output->options->force,
             &GQA_REPLACEABLE(f.companions))) != GQA_OK)
        goto done;
    if ((st = cut(&f)) != GQA_OK || (st = make_headers(&f)) != GQA_OK ||
        (st = make_index(&f)) != GQA_OK || (st = make_config(&f)) != GQA_OK ||
        (st = check_space(&f)) != GQA_OK)
        goto done;
    st = write_all_files(&f, summary);
    summary->companions = f.companions;
    if (st == GQA_OK && output->options->ready)
        st = output->options->ready(output->options->ready_ctx, summary);
    summary->companions = NULL;
    if (st == GQA_OK)
        st = gqa_atomic_commit(f.target);
done:
    clear(&f);
    return st;
}

static void describe(char *out, size_t size,
                     const struct gqa_output_settings *settings)
{
    char bytes[GQA_UNITS_MAX];

    snprintf(out, size, "a folder, in shards of at most %s",
             gqa_units_bytes(bytes, shard_bytes(settings)));
}

const struct gqa_writer gqa_writer_folder = {
    .word = "folder",
    .name = "folder",
    .label = "folder",
    .form = "FOLDER/",
    .settings = GQA_SETTING_SHARDS,
    .needs_config = true,
    .is_folder = true,
    .stock = true,
    .describe = describe,
    .check = check,
    .write = write_folder,
};
