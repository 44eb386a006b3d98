#include "formats/folder/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

enum {
    SCHEMA_VERSION = 1,
    /* JSON writes a byte of a name in at most so many. */
    ESCAPED_BYTES = 6,
    FILE_BYTES = 192,
    FRAME_BYTES = 128,
};

/* That write folders. */
static const char *const tools[] = {"gqa-convert", "gqa-uptrain"};

enum gqa_status gqa_folder_manifest_add(struct gqa_folder_manifest *m,
                                        const char *name,
                                        const struct gqa_listed_file *file)
{
    struct gqa_listed_file *files =
        realloc(m->files, (m->n + 1) * sizeof *files);

    if (!files)
        return gqa_fail_nomem();
    m->files = files;
    files[m->n] = *file;
    files[m->n].name = strdup(name);
    if (!files[m->n].name)
        return gqa_fail_nomem();
    m->n++;
    return GQA_OK;
}

void gqa_folder_manifest_clear(struct gqa_folder_manifest *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->files[i].name);
    free(m->files);
    *m = (struct gqa_folder_manifest){0};
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct gqa_listed_file *)a)->name,
                  ((const struct gqa_listed_file *)b)->name);
}

/* What JSON cannot say, as hexadecimal digits of its bytes. */
static json_t *describe_bytes(const char *name)
{
    const size_t n = strlen(name);
    char *hex = malloc(2 * n + 1);
    json_t *value;

    if (!hex)
        return NULL;
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)name[i]);
    value = json_stringn(hex, 2 * n);
    free(hex);
    return value;
}

/* *name: the one that such digits tell, owned; NULL: they are none. */
static enum gqa_status parse_bytes(char **name, const char *hex)
{
    const size_t n = strlen(hex) / 2;

    *name = NULL;
    if (strlen(hex) % 2 != 0 || strspn(hex, "0123456789abcdef") != strlen(hex))
        return GQA_OK;
    *name = malloc(n + 1);
    if (!*name)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};

        (*name)[i] = (char)strtoul(digits, NULL, 16);
    }
    (*name)[n] = '\0';
    return GQA_OK;
}

json_t *gqa_folder_manifest_describe(struct gqa_folder_manifest *m,
                                     const char *tool)
{
    json_t *list = json_array();
    char hex[GQA_SHA256_DIGITS + 1];

    if (m->n > 1)
        qsort(m->files, m->n, sizeof *m->files, compare);
    for (size_t i = 0; i < m->n; i++) {
        const struct gqa_listed_file *f = &m->files[i];

        json_t *name = json_string(f->name);
        const bool is_utf8 = name != NULL;

        if (!is_utf8)
            name = describe_bytes(f->name);
        gqa_sha256_format(hex, f->sha256);
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:s}", is_utf8 ? "name" : "name_hex",
                            name, "bytes", (json_int_t)f->n_bytes,
                            f->is_weights ? "xxh3_128" : "sha256",
                            f->is_weights ? f->xxh3_128 : hex));
    }
    return json_pack("{s:i, s:s++, s:o}", "schema_version", SCHEMA_VERSION,
                     "tool", tool, " ", GQA_VERSION, "files", list);
}

uint64_t gqa_folder_manifest_most_bytes(size_t n_files, uint64_t name_bytes)
{
    return FRAME_BYTES + (uint64_t)FILE_BYTES * n_files +
           ESCAPED_BYTES * name_bytes;
}

static bool is_plain(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 &&
           strcmp(name, GQA_FOLDER_MANIFEST_NAME) != 0;
}

static enum gqa_status parse_file(bool *is_sound, struct gqa_folder_manifest *m,
                                  const json_t *item)
{
    struct gqa_listed_file file = {0};
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *hex = json_string_value(json_object_get(item, "name_hex"));
    char *bytes = NULL;
    enum gqa_status st = GQA_OK;
    const char *sha256 = json_string_value(json_object_get(item, "sha256"));
    const char *xxh3 = json_string_value(json_object_get(item, "xxh3_128"));

    if (!name && hex && (st = parse_bytes(&bytes, hex)) != GQA_OK)
        return st;
    name = name ? name : bytes;
    file.is_weights = !sha256;
    *is_sound = name && is_plain(name) && (sha256 || xxh3) &&
                (sha256 ? gqa_sha256_parse(file.sha256, sha256)
                        : gqa_content_digest_parse(file.xxh3_128, xxh3)) &&
                gqa_json_u64(json_object_get(item, "bytes"), &file.n_bytes);
    if (*is_sound)
        st = gqa_folder_manifest_add(m, name, &file);
    free(bytes);
    return st;
}

/* Its name and a version. */
static bool is_tool(const char *text)
{
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        const size_t n = strlen(tools[i]);

        if (strncmp(text, tools[i], n) == 0 && text[n] == ' ')
            return true;
    }
    return false;
}

static bool is_ours(const json_t *root)
{
    const char *by = json_string_value(json_object_get(root, "tool"));
    uint64_t version;

    return gqa_json_u64(json_object_get(root, "schema_version"), &version) &&
           version == SCHEMA_VERSION && by && is_tool(by) &&
           json_is_array(json_object_get(root, "files"));
}

static bool has_twice(const struct gqa_folder_manifest *m)
{
    for (size_t i = 1; i < m->n; i++)
        if (compare(&m->files[i - 1], &m->files[i]) == 0)
            return true;
    return false;
}

enum gqa_status gqa_folder_manifest_parse(bool *is_sound,
                                          struct gqa_folder_manifest *m,
                                          const json_t *root)
{
    const json_t *files = json_object_get(root, "files");
    enum gqa_status st = GQA_OK;

    *is_sound = is_ours(root);
    for (size_t i = 0; st == GQA_OK && *is_sound && i < json_array_size(files);
         i++)
        st = parse_file(is_sound, m, json_array_get(files, i));
    if (m->n > 1)
        qsort(m->files, m->n, sizeof *m->files, compare);
    *is_sound = *is_sound && !has_twice(m);
    if (st != GQA_OK || !*is_sound)
        gqa_folder_manifest_clear(m);
    return st;
}

const struct gqa_listed_file *gqa_folder_manifest_find(
    const struct gqa_folder_manifest *m, const char *name)
{
    const struct gqa_listed_file key = {.name = (char *)name};

    if (m->n == 0)
        return NULL;
    return bsearch(&key, m->files, m->n, sizeof key, compare);
}
