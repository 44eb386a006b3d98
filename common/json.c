#include "common/json.h"

#include <errno.h>
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

static json_t *parse(const char *text, size_t length, size_t flags,
                     json_error_t *error)
{
    jmp_buf short_of_memory;
    json_t *root;

    if (setjmp(short_of_memory) != 0) {
        parsing = NULL;
        return NULL;
    }
    parsing = &short_of_memory;
    root = json_loadb(text, length, flags, error);
    parsing = NULL;
    return root;
}

json_t *gqa_json_own(const char *text)
{
    return parse(text, strlen(text), JSON_DECODE_ANY, NULL);
}

void gqa_json_watch_memory(void)
{
    json_set_alloc_funcs(allocate, free);
}

enum gqa_status gqa_json_check(void)
{
    return atomic_load(&ran_short) ? gqa_fail_nomem() : GQA_OK;
}

/* --- Numbers as Python's json writes them ----------------------------------
 */

static bool is_of_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '-' || c == '+' || c == '.';
}

/* Digits alone, and more of them than json_int_t has. */
static bool is_big_integer(const char *word, size_t length)
{
    const size_t n_sign = *word == '-' ? 1 : 0;
    size_t n = n_sign;
    char digits[32];

    while (n < length && word[n] >= '0' && word[n] <= '9')
        n++;
    if (n < length || n == n_sign)
        return false;
    if (length >= sizeof digits)
        return true;
    memcpy(digits, word, length);
    digits[length] = '\0';
    errno = 0;
    strtoll(digits, NULL, 10);
    return errno == ERANGE;
}

/* What to write in place of a word, NULL: itself. */
static const char *other_spelling(const char *word, size_t length)
{
    static const struct {
        const char *python, *json;
    } spellings[] = {
        {"NaN", "{\"__float__\":\"NaN\"}"},
        {"Infinity", "{\"__float__\":\"Infinity\"}"},
        {"-Infinity", "{\"__float__\":\"-Infinity\"}"},
    };

    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (length == strlen(spellings[i].python) &&
            memcmp(word, spellings[i].python, length) == 0)
            return spellings[i].json;
    return NULL;
}

/*
 * text with those numbers in words that jansson knows, n bytes; the caller
 * owns it, NULL: memory is short. What is in texts is none. Nothing that is
 * not JSON becomes JSON: what comes is a value where a value was.
 */
static char *respell(size_t *n, const char *text, size_t length)
{
    size_t n_strange = 0, n_word;
    char *out, *to;

    for (size_t i = 0; i < length; i++)
        n_strange += text[i] == 'N' || text[i] == 'I';
    /* A word that becomes an object has one of those, and a big integer has
     * more digits than it gains. */
    out = malloc(2 * length + 1 +
                 n_strange * sizeof "{\"__float__\":\"-Infinity\"}");
    if (!out)
        return NULL;
    to = out;
    for (size_t i = 0; i < length; i += n_word) {
        const char *spelling;

        n_word = 1;
        if (text[i] == '"')
            while (i + n_word < length && text[i + n_word++] != '"')
                n_word += text[i + n_word - 1] == '\\';
        else
            while (is_of_word(text[i]) && i + n_word < length &&
                   is_of_word(text[i + n_word]))
                n_word++;
        n_word = n_word < length - i ? n_word : length - i;
        spelling = other_spelling(text + i, n_word);
        if (!spelling) {
            memcpy(to, text + i, n_word);
            to += n_word;
            spelling = is_big_integer(text + i, n_word) ? "e0" : "";
        }
        to = stpcpy(to, spelling);
    }
    *n = (size_t)(to - out);
    return out;
}

/* A text that was not taken: those numbers are no fault, so that an error is
 * what is wrong beside them. */
static json_t *parse_respelt(const char *text, size_t length,
                             json_error_t *error)
{
    json_t *root = NULL;
    size_t n;
    char *respelt = respell(&n, text, length);

    if (!respelt) {
        error->text[0] = '\0';
        return NULL;
    }
    if (n != length) {
        error->text[0] = '\0';
        root = parse(respelt, n, JSON_REJECT_DUPLICATES, error);
    }
    free(respelt);
    return root;
}

static enum gqa_status parsed(json_t **out, json_t *root,
                              const json_error_t *error, const char *what)
{
    if (gqa_json_check() != GQA_OK) {
        json_decref(root);
        return GQA_ERR_NOMEM;
    }
    /* Jansson has a word for what is wrong with a text, and none for this. */
    if (!root && error->text[0] == '\0')
        return gqa_fail_nomem();
    if (!root)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%s: not valid JSON: %s (line %d, column %d)", what,
                        error->text, error->line, error->column);
    *out = root;
    return GQA_OK;
}

enum gqa_status gqa_json_parse(json_t **out, const char *text, size_t length,
                               const char *what)
{
    json_error_t error = {.text = ""};
    json_t *root = parse(text, length, JSON_REJECT_DUPLICATES, &error);

    if (!root && error.text[0] != '\0')
        root = parse_respelt(text, length, &error);
    return parsed(out, root, &error, what);
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
    json_error_t error = {.text = ""};
    json_t *root;

    if (n > GQA_JSON_MAX_VALUES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: %zu values of JSON; at most %zu are read, which "
                        "take 64 MiB of memory (%zu tensors of two dimensions "
                        "in one file): write the checkpoint in more shards",
                        what, n, GQA_JSON_MAX_VALUES, GQA_JSON_MAX_VALUES / 8);
    root = parse(text, length, JSON_REJECT_DUPLICATES, &error);
    return parsed(out, root, &error, what);
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
