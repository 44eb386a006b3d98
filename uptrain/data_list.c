#include "uptrain/data_list.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/strings.h"

static const char self[] = "self";

/* Whether there is nothing else. */
static bool is_number(double *out, const char *text)
{
    char *end;

    *out = strtod(text, &end);
    return end > text && *end == '\0';
}

/* The length of the path before a ":SHARE", which *share receives. A colon
 * with no number behind it belongs to the path, but where that is "self". */
static enum gqa_status split(size_t *n_path, double *share, const char *item,
                             bool may_be_self)
{
    const char *colon = strrchr(item, ':');
    const size_t n = colon ? (size_t)(colon - item) : 0;
    const bool is_self =
        may_be_self && n == strlen(self) && strncmp(item, self, n) == 0;
    double number;

    *n_path = strlen(item);
    *share = 1;
    if (!colon || (!is_number(&number, colon + 1) && !is_self))
        return GQA_OK;
    *n_path = n;
    *share = number;
    if (!is_number(&number, colon + 1) || !(number > 0) || !isfinite(number))
        return is_self
                   ? gqa_fail(GQA_ERR_USAGE,
                              "'%s' is no share: a number above 0", colon + 1)
                   : gqa_fail(GQA_ERR_USAGE,
                              "'%s' is no share: a number above 0 (%s:1 "
                              "is the share 1 of a file of that name)",
                              colon + 1, item);
    return GQA_OK;
}

enum gqa_status gqa_data_list_add(struct gqa_data_list *list, const char *text,
                                  size_t length, enum gqa_data_kind kind)
{
    struct gqa_data_item *grown =
        realloc(list->items, (list->n + 1) * sizeof *grown);
    struct gqa_data_item *item;
    size_t n_path = 0;
    enum gqa_status st;

    if (!grown)
        return gqa_fail_nomem();
    list->items = grown;
    item = &grown[list->n];
    *item = (struct gqa_data_item){.kind = kind};
    if (!(item->path = strndup(text, length)))
        return gqa_fail_nomem();
    list->n++;
    if ((st = split(&n_path, &item->share, item->path,
                    kind == GQA_DATA_FILE)) != GQA_OK)
        return st;
    item->path[n_path] = '\0';
    if (n_path == 0)
        return gqa_fail(GQA_ERR_USAGE, "'%.*s' names no file", (int)length,
                        text);
    if (kind == GQA_DATA_FILE && strcmp(item->path, self) == 0) {
        item->kind = GQA_DATA_SELF;
        free(item->path);
        item->path = NULL;
    }
    return GQA_OK;
}

enum gqa_status gqa_data_list_parse(struct gqa_data_list *list,
                                    const char *text)
{
    do {
        const size_t n = strcspn(text, ",");
        const enum gqa_status st =
            gqa_data_list_add(list, text, n, GQA_DATA_FILE);

        if (st != GQA_OK)
            return st;
        text += n;
    } while (*text++ == ',');
    return GQA_OK;
}

void gqa_data_list_clear(struct gqa_data_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i].path);
    free(list->items);
    *list = (struct gqa_data_list){NULL, 0};
}

enum gqa_data_kind gqa_data_kind_of(const unsigned char *start, size_t n)
{
    static const unsigned char npy[] = "\x93NUMPY";
    const size_t first = gqa_utf8_mark(start, n);
    size_t i = first;

    if (n >= sizeof npy - 1 && memcmp(start, npy, sizeof npy - 1) == 0)
        return GQA_DATA_TOKENS;
    /* A header of safetensors: its length, below 2^32, then JSON. */
    if (n > 8 && start[8] == '{' && memcmp(start + 4, "\0\0\0\0", 4) == 0)
        return GQA_DATA_TOKENS;
    while (i < n && start[i] != '\0' &&
           strchr("0123456789 ,|\t\r\n-", start[i]))
        i++;
    if (i == n && n > first)
        return GQA_DATA_TOKENS;
    /* Archives and UTF-16 have zeros soon; text has none. */
    return memchr(start, '\0', n) ? GQA_DATA_FILE : GQA_DATA_TEXT;
}
