#include "common/json.h"

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
