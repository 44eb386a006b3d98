#include "convert/front_matter.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "formats/folder/folder.h"

/* Real ones have some kilobytes. */
enum { MAX_BYTES = 256 << 10, MAX_VALUES = 1000 };

static const char fence[] = "---";

/* Those that are carried over; not its name, its tags, its results. */
static bool is_taken(const char *key, size_t n)
{
    static const char *const keys[] = {
        "license",  "license_name", "license_link", "language",
        "datasets", "pipeline_tag", "base_model"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i]) == n && memcmp(keys[i], key, n) == 0)
            return true;
    return false;
}

/*
 * A plain or quoted word, which YAML and we read alike: what begins with one
 * of YAML's own marks, or may go on in the next line, is none. The caller owns
 * it; NULL: there is none.
 */
static json_t *read_word(const char *text, size_t n)
{
    const char *comment;

    while (n > 0 && strchr(" \t\r", text[n - 1]))
        n--;
    while (n > 0 && *text == ' ') {
        text++;
        n--;
    }
    if (n >= 2 && (*text == '"' || *text == '\'') && text[n - 1] == *text) {
        if (memchr(text + 1, *text, n - 2) || memchr(text, '\\', n))
            return NULL;
        return json_stringn(text + 1, n - 2);
    }
    if (n == 0 || strchr("\"'[]{}&*!|>%@`#,?:-~", *text))
        return NULL;
    comment = memmem(text, n, " #", 2);
    if (comment)
        return read_word(text, (size_t)(comment - text));
    return memmem(text, n, ": ", 2) ? NULL : json_stringn(text, n);
}

/* Nothing but blanks, or a comment. */
static bool read_rest(const char *text, const char *end)
{
    while (text < end && strchr(" \t\r", *text))
        text++;
    return text == end || *text == '#';
}

/* "[a, b]", and nothing in it or behind it that is no word. */
static json_t *read_list(const char *text, size_t n)
{
    const char *end = memchr(text, ']', n);
    json_t *list = json_array();
    bool is_sound = end && read_rest(end + 1, text + n);

    text++;
    while (is_sound && text < end && json_array_size(list) < MAX_VALUES) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;
        json_t *word = read_word(text, (size_t)(stop - text));

        is_sound = word && json_array_append_new(list, word) == 0;
        text = stop + 1;
    }
    if (is_sound)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *read_value(const char *text, size_t n)
{
    while (n > 0 && *text == ' ') {
        text++;
        n--;
    }
    return n > 0 && *text == '[' ? read_list(text, n) : read_word(text, n);
}

struct reading {
    json_t *out;
    char key[32]; /* whose list may come in the lines that follow; or "" */
};

/* "- a" below a key. */
static void read_element(struct reading *r, const char *text, size_t n)
{
    json_t *word = read_word(text, n);
    json_t *list = json_object_get(r->out, r->key);

    if (!word)
        return;
    if (!list) {
        list = json_array();
        json_object_set_new(r->out, r->key, list);
    }
    if (json_is_array(list) && json_array_size(list) < MAX_VALUES)
        json_array_append(list, word);
    json_decref(word);
}

static void read_line(struct reading *r, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    const size_t indent = strspn(line, " ");
    json_t *value;
    size_t length;

    if (*r->key && indent < n && n - indent > 1 && line[indent] == '-' &&
        line[indent + 1] == ' ') {
        read_element(r, line + indent + 2, n - indent - 2);
        return;
    }
    /* A value that goes on in an indented line is longer than was read. */
    if (indent > 0) {
        if (*r->key)
            json_object_del(r->out, r->key);
        return;
    }
    *r->key = '\0';
    if (!colon || !is_taken(line, length = (size_t)(colon - line)))
        return;
    memcpy(r->key, line, length);
    r->key[length] = '\0';
    value = read_value(colon + 1, n - length - 1);
    if (value)
        json_object_set_new(r->out, r->key, value);
}

/* The lines between two that are "---". */
static void read_lines(struct reading *r, const char *text)
{
    bool within = false;

    while (*text) {
        const size_t n = strcspn(text, "\n");
        const size_t bare = n > 0 && text[n - 1] == '\r' ? n - 1 : n;
        const bool is_fence =
            bare == sizeof fence - 1 && memcmp(text, fence, bare) == 0;

        if (is_fence && within)
            return;
        if (!is_fence && !within)
            break;
        if (!is_fence && n > 0)
            read_line(r, text, n);
        within = true;
        text += n + (text[n] == '\n');
    }
    /* Not begun, or never ended. */
    json_object_clear(r->out);
}

static enum gqa_status load(char **out, const char *path)
{
    uint64_t size;
    char *text;
    enum gqa_status st;
    int fd;

    *out = NULL;
    if (gqa_file_open(&fd, &size, path) != GQA_OK)
        return GQA_OK;
    if (size > MAX_BYTES)
        size = MAX_BYTES;
    text = calloc(1, (size_t)size + 1);
    st = text ? gqa_file_read(fd, text, (size_t)size, 0) : gqa_fail_nomem();
    close(fd);
    if (st == GQA_OK)
        *out = text;
    else
        free(text);
    return st == GQA_ERR_NOMEM ? st : GQA_OK;
}

enum gqa_status gqa_front_matter_read(json_t **out, const char *folder)
{
    struct reading r = {.key = ""};
    char *path, *text = NULL;
    enum gqa_status st;

    *out = NULL;
    if (!folder)
        return GQA_OK;
    if (!(path = gqa_path_join(folder, "README.md")))
        return gqa_fail_nomem();
    st = load(&text, path);
    free(path);
    if (!text)
        return st;
    r.out = json_object();
    read_lines(&r, text);
    free(text);
    *out = r.out;
    return gqa_json_check();
}
