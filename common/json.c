#include "common/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/file.h"

enum gqa_status gqa_json_parse(json_t **out, const char *text, size_t length,
                               const char *what)
{
    json_error_t error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);

    if (!root)
        return gqa_fail(GQA_ERR_FORMAT, "%s: not valid JSON: %s (at byte %d)",
                        what, error.text, error.position);
    *out = root;
    return GQA_OK;
}

enum gqa_status gqa_json_load_file(json_t **out, const char *path,
                                   size_t max_bytes)
{
    enum gqa_status st;
    char *text = NULL;
    uint64_t size;
    int fd;

    if ((st = gqa_file_open(&fd, &size, path)) != GQA_OK)
        return st;
    if (size > max_bytes) {
        st = gqa_fail(GQA_ERR_FORMAT,
                      "%s: %llu bytes, more than the %zu allowed", path,
                      (unsigned long long)size, max_bytes);
        goto done;
    }
    text = malloc((size_t)size + 1);
    if (!text) {
        st = gqa_fail_nomem();
        goto done;
    }
    if ((st = gqa_file_read(fd, text, (size_t)size, 0)) != GQA_OK) {
        st = gqa_fail_prefix(st, "%s", path);
        goto done;
    }
    st = gqa_json_parse(out, text, (size_t)size, path);
done:
    free(text);
    close(fd);
    return st;
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
static int digits_needed(double real)
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
        return digits_needed(json_real_value(value));
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
