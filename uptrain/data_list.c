#include "uptrain/data_list.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The length of the path before a ":SHARE", which *share receives. A colon with
 * anything else behind it belongs to the path. */
static enum gqa_status split(size_t *n_path, double *share, const char *item)
{
    const char *colon = strrchr(item, ':');
    char *end;

    *n_path = strlen(item);
    *share = 1;
    if (!colon || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789.") != strlen(colon + 1))
        return GQA_OK;
    *share = strtod(colon + 1, &end);
    *n_path = (size_t)(colon - item);
    if (*end || !(*share > 0) || !isfinite(*share))
        return gqa_fail(GQA_ERR_USAGE, "'%s' is no share: a number above 0",
                        colon + 1);
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
    if ((st = split(&n_path, &item->share, item->path)) != GQA_OK)
        return st;
    item->path[n_path] = '\0';
    if (n_path == 0)
        return gqa_fail(GQA_ERR_USAGE, "'%.*s' names no file", (int)length,
                        text);
    if (kind == GQA_DATA_FILE && strcmp(item->path, "self") == 0) {
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
    size_t i = 0;

    if (n >= sizeof npy - 1 && memcmp(start, npy, sizeof npy - 1) == 0)
        return GQA_DATA_TOKENS;
    /* A header of safetensors: its length, below 2^32, then JSON. */
    if (n > 8 && start[8] == '{' && memcmp(start + 4, "\0\0\0\0", 4) == 0)
        return GQA_DATA_TOKENS;
    while (i < n && start[i] != '\0' &&
           strchr("0123456789 ,|\t\r\n-", start[i]))
        i++;
    return i == n && n > 0 ? GQA_DATA_TOKENS : GQA_DATA_TEXT;
}
