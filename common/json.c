#include "common/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"

static atomic_bool ran_short;
static _Thread_local jmp_buf *parsing; /* NULL outside of parse() */

/*
 * Jansson's lexer does not notice that its buffer has not grown (2.14), and
 * writes behind what it has. It is left at once, with what it had allocated.
 */
static void *allocate(size_t n)
{
    void *block = malloc(n);

    if (!block) {
        atomic_store(&ran_short, true);
        if (parsing)
            longjmp(*parsing, 1);
    }
    return block;
}

static json_t *parse(const char *text, size_t length, json_error_t *error)
{
    jmp_buf short_of_memory;
    json_t *root;

    if (setjmp(short_of_memory) != 0) {
        parsing = NULL;
        return NULL;
    }
    parsing = &short_of_memory;
    root = json_loadb(text, length, JSON_REJECT_DUPLICATES, error);
    parsing = NULL;
    return root;
}

void gqa_json_watch_memory(void)
{
    json_set_alloc_funcs(allocate, free);
}

enum gqa_status gqa_json_check(void)
{
    return atomic_load(&ran_short) ? gqa_fail_nomem() : GQA_OK;
}

enum gqa_status gqa_json_parse(json_t **out, const char *text, size_t length,
                               const char *what)
{
    json_error_t error = {.text = ""};
    json_t *root = parse(text, length, &error);

    if (gqa_json_check() != GQA_OK) {
        json_decref(root);
        return GQA_ERR_NOMEM;
    }
    /* Jansson has a word for what is wrong with a text, and none for this. */
    if (!root && error.text[0] == '\0')
        return gqa_fail_nomem();
    if (!root)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: not valid JSON: %s (line %d, column %d)", what,
                        error.text, error.line, error.column);
    *out = root;
    return GQA_OK;
}

/* Texts are passed over: what is in them separates nothing. */
size_t gqa_json_n_values(const char *text, size_t length)
{
    size_t n = 1;
    bool in_text = false;

    for (size_t i = 0; i < length; i++) {
        if (in_text && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_text = !in_text;
        else if (!in_text &&
                 (text[i] == ',' || text[i] == '{' || text[i] == '['))
            n++;
    }
    return n;
}

enum gqa_status gqa_json_check_bytes(uint64_t n_bytes, const char *what)
{
    return n_bytes <= GQA_JSON_MAX_BYTES
               ? GQA_OK
               : gqa_fail(GQA_ERR_UNSUPPORTED,
                          "%s: %llu bytes of JSON; at most %zu are read, which "
                          "take 64 MiB of memory: write the checkpoint in more "
                          "shards, with shorter names or less metadata",
                          what, (unsigned long long)n_bytes,
                          GQA_JSON_MAX_BYTES);
}

enum gqa_status gqa_json_parse_list(json_t **out, const char *text,
                                    size_t length, const char *what)
{
    const size_t n = gqa_json_n_values(text, length);

    if (n > GQA_JSON_MAX_VALUES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %zu values of JSON; at most %zu are read, which "
                        "take 64 MiB of memory (%zu tensors of two dimensions "
                        "in one file): write the checkpoint in more shards",
                        what, n, GQA_JSON_MAX_VALUES, GQA_JSON_MAX_VALUES / 8);
    return gqa_json_parse(out, text, length, what);
}

typedef enum gqa_status (*parse_fn)(json_t **out, const char *text,
                                    size_t length, const char *what);

static enum gqa_status load_fd(json_t **out, int fd, uint64_t size,
                               const char *path, size_t max_bytes,
                               parse_fn parse_text)
{
    enum gqa_status st;
    char *text;

    if (size > max_bytes)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: %llu bytes, more than the %zu allowed", path,
                        (unsigned long long)size, max_bytes);
    text = malloc((size_t)size + 1);
    if (!text)
        return gqa_fail_nomem();
    if ((st = gqa_file_read(fd, text, (size_t)size, 0)) != GQA_OK)
        st = gqa_fail_prefix(st, "%s", path);
    else
        st = parse_text(out, text, (size_t)size, path);
    free(text);
    return st;
}

static enum gqa_status load_file(json_t **out, const char *path,
                                 size_t max_bytes, parse_fn parse_text)
{
    enum gqa_status st;
    uint64_t size;
    int fd;

    if ((st = gqa_file_open(&fd, &size, path)) != GQA_OK)
        return st;
    st = load_fd(out, fd, size, path, max_bytes, parse_text);
    close(fd);
    return st;
}

enum gqa_status gqa_json_load_fd(json_t **out, int fd, uint64_t size,
                                 const char *path, size_t max_bytes)
{
    return load_fd(out, fd, size, path, max_bytes, gqa_json_parse);
}

enum gqa_status gqa_json_load_file(json_t **out, const char *path,
                                   size_t max_bytes)
{
    return load_file(out, path, max_bytes, gqa_json_parse);
}

enum gqa_status gqa_json_load_list(json_t **out, const char *path,
                                   size_t max_bytes)
{
    return load_file(out, path, max_bytes, gqa_json_parse_list);
}

bool gqa_json_u64(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/*
 * Digits that a real number needs to be read back as it is, and to be
 * written without an exponent where Python writes none.
 */
int gqa_json_real_digits(double real)
{
    char text[64];
    int digits = 1;

    if (fabs(real) < 1e16)
        while (digits < 16 && fabs(real) >= pow(10, digits))
            digits++;
    for (; digits < 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    return digits;
}

static int most_digits(const json_t *value)
{
    int most = 1;

    if (json_is_real(value))
        return gqa_json_real_digits(json_real_value(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const int digits = most_digits(json_array_get(value, i));

        most = digits > most ? digits : most;
    }
    /* jansson's iterators take no const, though they change nothing. */
    for (void *it = json_object_iter((json_t *)value); it;
         it = json_object_iter_next((json_t *)value, it)) {
        const int digits = most_digits(json_object_iter_value(it));

        most = digits > most ? digits : most;
    }
    return most;
}

size_t gqa_json_real_flags(const json_t *value)
{
    return (size_t)JSON_REAL_PRECISION(most_digits(value));
}

/* Bytes of the UTF-8 character that text begins with; 0: it does not. */
static size_t character_bytes(const char *text)
{
    const size_t length = strnlen(text, 4);

    for (size_t n = 1; n <= length; n++) {
        /* jansson takes nothing else than UTF-8. */
        json_t *character = json_stringn(text, n);

        if (character) {
            json_decref(character);
            return n;
        }
    }
    return 0;
}

json_t *gqa_json_text(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    json_t *string = json_string(text);
    char *repaired, *to;

    if (string)
        return string;
    repaired = malloc(strlen(text) * strlen(replacement) + 1);
    if (!repaired)
        return NULL;
    for (to = repaired; *text;) {
        const size_t n = character_bytes(text);
        const char *from = n ? text : replacement;
        const size_t written = n ? n : strlen(replacement);

        memcpy(to, from, written);
        to += written;
        text += n ? n : 1;
    }
    string = json_stringn(repaired, (size_t)(to - repaired));
    free(repaired);
    return string;
}

enum gqa_status gqa_json_dump(char **out, const json_t *value, size_t flags)
{
    char *text = json_dumps(value, flags);

    if (!text || gqa_json_check() != GQA_OK) {
        free(text);
        return gqa_fail_nomem();
    }
    *out = text;
    return GQA_OK;
}
