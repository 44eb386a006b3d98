#include "verify/companions_check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/strings.h"
#include "formats/families/meaning.h"
#include "formats/families/silent.h"
#include "formats/folder/companions.h"
#include "verify/clauses.h"

enum { MAX_JSON_BYTES = 16 << 20 };

static const char generation_name[] = "generation_config.json";

/* The two folders and what was found so far. */
struct companions {
    const struct gqa_companions *original, *converted;
    struct gqa_check *check;
    json_t *files; /* of {"name", "state"} */
    size_t n, n_other;
    size_t n_said,
        n_shown; /* clauses of the detail, and those it has room for */
};

/* --- Which files --------------------------------------------------------- */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

bool gqa_is_companion(const char *name)
{
    static const char *const beginnings[] = {
        "tokenizer",    "vocab",         "merges", "special_tokens_map",
        "added_tokens", "chat_template", "spiece", "sentencepiece"};

    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (begins(name, beginnings[i]))
            return true;
    return strcmp(name, generation_name) == 0 ||
           gqa_ends_with(name, ".model") || gqa_ends_with(name, ".tiktoken");
}

static bool has(const struct gqa_companions *c, const char *name)
{
    return c->n > 0 && bsearch(&name, c->names, c->n, sizeof *c->names,
                               gqa_compare_strings) != NULL;
}

/* --- One file in both ---------------------------------------------------- */

/* Nothing but a regular file, and no waiting for another. */
static enum gqa_status open_file(int *fd, uint64_t *size,
                                 const struct gqa_companions *c,
                                 const char *name)
{
    struct stat info;

    *fd = openat(c->fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &info) != 0)
        return gqa_fail_errno("cannot be read in %s", c->folder);
    *size = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    return GQA_OK;
}

static enum gqa_status equal_bytes(bool *equal, int a, int b, uint64_t n_bytes)
{
    char bytes[2][4096];
    enum gqa_status st = GQA_OK;

    *equal = true;
    for (uint64_t at = 0; at < n_bytes && *equal && st == GQA_OK;
         at += sizeof *bytes) {
        const size_t n = n_bytes - at < sizeof *bytes ? (size_t)(n_bytes - at)
                                                      : sizeof *bytes;

        st = gqa_file_read(a, bytes[0], n, at);
        if (st == GQA_OK)
            st = gqa_file_read(b, bytes[1], n, at);
        *equal = st == GQA_OK && memcmp(bytes[0], bytes[1], n) == 0;
    }
    return st;
}

/* *out stays NULL where it is no JSON, or too large to be read. */
static enum gqa_status load(json_t **out, int fd, uint64_t size,
                            const char *name)
{
    const enum gqa_status st =
        gqa_json_load_fd(out, fd, size, name, MAX_JSON_BYTES);

    return st == GQA_ERR_FORMAT ? GQA_OK : st;
}

/* Keys that decide something, with what stands for those that are not there,
 * as facts. */
static json_t *settings_of(const json_t *file)
{
    json_t *out = gqa_silent_generation();
    json_t *facts = json_object();
    const char *key;
    json_t *value;

    json_object_update(out, (json_t *)(uintptr_t)file);
    json_object_foreach(out, key, value)
    {
        if (!gqa_is_idle_key(key))
            gqa_meaning_state(facts, key, value);
    }
    json_decref(out);
    return facts;
}

static enum gqa_status compare_generation(json_t **out, const json_t *a,
                                          const json_t *b)
{
    json_t *first = settings_of(a);
    json_t *second = settings_of(b);
    const enum gqa_status st = gqa_meaning_compare(out, first, second);

    json_decref(first);
    json_decref(second);
    return st;
}

/* *differences: a list where they can be named; else NULL. */
static enum gqa_status compare_json(bool *same, json_t **differences,
                                    const char *name, const int fds[2],
                                    const uint64_t sizes[2])
{
    json_t *a = NULL;
    json_t *b = NULL;
    enum gqa_status st = load(&a, fds[0], sizes[0], name);

    if (st == GQA_OK)
        st = load(&b, fds[1], sizes[1], name);
    *same = a && b && json_equal(a, b);
    if (st == GQA_OK && json_is_object(a) && json_is_object(b) &&
        strcmp(name, generation_name) == 0) {
        st = compare_generation(differences, a, b);
        *same = json_array_size(*differences) == 0;
    }
    json_decref(a);
    json_decref(b);
    return st;
}

static enum gqa_status compare_file(bool *same, json_t **differences,
                                    const struct companions *c,
                                    const char *name)
{
    int fds[2] = {-1, -1};
    uint64_t sizes[2] = {0, 0};
    enum gqa_status st = open_file(&fds[0], &sizes[0], c->original, name);

    if (st == GQA_OK)
        st = open_file(&fds[1], &sizes[1], c->converted, name);
    *same = false;
    if (st == GQA_OK && sizes[0] == sizes[1])
        st = equal_bytes(same, fds[0], fds[1], sizes[0]);
    if (st == GQA_OK && !*same && gqa_ends_with(name, ".json"))
        st = compare_json(same, differences, name, fds, sizes);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return st == GQA_OK ? GQA_OK : gqa_fail_prefix(st, "%s", name);
}

/* --- Saying it ----------------------------------------------------------- */

static void say(struct companions *c, const char *clause)
{
    c->n_said++;
    c->n_shown += gqa_clause_add(c->check, clause);
}

static void say_differences(struct companions *c, const char *name,
                            const json_t *differences)
{
    static const struct gqa_clause_words words = {"the original", "here"};
    char clause[GQA_CLAUSE_MAX], text[GQA_CLAUSE_MAX + 64];

    for (size_t i = 0; i < json_array_size(differences); i++) {
        gqa_clause_of(clause, json_array_get(differences, i), &words);
        snprintf(text, sizeof text, "%.60s: %s", name, clause);
        say(c, text);
    }
}

/* differences: lent, or NULL. */
static void note(struct companions *c, const char *name, const char *state,
                 const json_t *differences)
{
    json_t *file = json_object();
    json_t *list = json_array();

    for (size_t i = 0; i < json_array_size(differences); i++)
        json_array_append_new(
            list, gqa_clause_json(json_array_get(differences, i), "original"));
    json_object_set_new(file, "name", gqa_json_text(name));
    json_object_set_new(file, "state", json_string(state));
    json_object_set_new(file, "differences", list);
    json_array_append_new(c->files, file);
    c->n++;
    c->n_other += strcmp(state, "same") != 0;
}

static enum gqa_status look_at(struct companions *c, const char *name)
{
    json_t *differences = NULL;
    char text[256];
    bool same = false;
    enum gqa_status st;

    if (!has(c->converted, name) || !has(c->original, name)) {
        const bool gone = !has(c->converted, name);

        note(c, name, gone ? "missing" : "added", NULL);
        snprintf(text, sizeof text, "%.100s: %s", name,
                 gone ? "missing here" : "not in the original");
        say(c, text);
        return GQA_OK;
    }
    st = compare_file(&same, &differences, c, name);
    note(c, name, same ? "same" : "differs", differences);
    if (!same && !differences) {
        snprintf(text, sizeof text, "%.100s: differs", name);
        say(c, text);
    }
    say_differences(c, name, differences);
    json_decref(differences);
    return st;
}

/* --- All ----------------------------------------------------------------- */

static enum gqa_status look_at_all(struct companions *c)
{
    enum gqa_status st = GQA_OK;

    for (size_t i = 0; i < c->original->n && st == GQA_OK; i++)
        if (gqa_is_companion(c->original->names[i]))
            st = look_at(c, c->original->names[i]);
    for (size_t i = 0; i < c->converted->n && st == GQA_OK; i++)
        if (gqa_is_companion(c->converted->names[i]) &&
            !has(c->original, c->converted->names[i]))
            st = look_at(c, c->converted->names[i]);
    return st;
}

static enum gqa_status compare_folders(size_t *n, struct gqa_check *check,
                                       const struct gqa_subject *subject,
                                       const struct gqa_subject *original)
{
    struct gqa_companions *folders[2] = {NULL, NULL};
    struct companions c = {.check = check, .files = json_array()};
    enum gqa_status st = gqa_companions_create(
        &folders[0], gqa_checkpoint_folder(original->checkpoint), NULL);

    if (st == GQA_OK)
        st = gqa_companions_create(
            &folders[1], gqa_checkpoint_folder(subject->checkpoint), NULL);
    c.original = folders[0];
    c.converted = folders[1];
    if (st == GQA_OK)
        st = look_at_all(&c);
    gqa_companions_free(folders[0]);
    gqa_companions_free(folders[1]);
    check->values = json_pack("{s:o}", "files", c.files);
    gqa_clause_end(check, c.n_said - c.n_shown);
    if (c.n_other > 0)
        snprintf(check->figure, sizeof check->figure,
                 "%zu of %zu files are not the original's", c.n_other, c.n);
    else
        snprintf(check->figure, sizeof check->figure,
                 "%zu file%s of tokenizer and generation, the original's", c.n,
                 c.n == 1 ? "" : "s");
    *n = c.n;
    return st;
}

enum gqa_status gqa_companions_check(struct gqa_report *report,
                                     const struct gqa_subject *subject,
                                     const struct gqa_subject *original)
{
    struct gqa_check check = {
        .group = GQA_CHECK_FILE, .name = "companions", .verdict = GQA_REPORTED};
    size_t n = 0;
    enum gqa_status st = GQA_OK;

    if (gqa_checkpoint_is_folder(subject->checkpoint) &&
        gqa_checkpoint_is_folder(original->checkpoint))
        st = compare_folders(&n, &check, subject, original);
    if (st == GQA_OK && n > 0)
        return gqa_report_add(report, &check);
    json_decref(check.values);
    return st;
}
