#include "formats/tensor_table.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    const struct gqa_tensor_ref *const *x = a, *const *y = b;

    return strcmp((*x)->tensor->name, (*y)->tensor->name);
}

static enum gqa_status check_unique(const struct gqa_tensor_table *table,
                                    struct gqa_source *const *sources)
{
    for (size_t i = 1; i < table->n; i++) {
        const struct gqa_tensor_ref *a = table->by_name[i - 1];
        const struct gqa_tensor_ref *b = table->by_name[i];

        if (strcmp(a->tensor->name, b->tensor->name) == 0)
            return gqa_fail(GQA_ERR_FORMAT,
                            "tensor %s is in two files, %s and %s",
                            a->tensor->name, sources[a->source]->path,
                            sources[b->source]->path);
    }
    return GQA_OK;
}

static void sort_names(struct gqa_tensor_table *table)
{
    qsort(table->by_name, table->n, sizeof(struct gqa_tensor_ref *),
          compare_names);
}

static enum gqa_status sort(struct gqa_tensor_table *table,
                            struct gqa_source *const *sources)
{
    sort_names(table);
    return check_unique(table, sources);
}

enum gqa_status gqa_tensor_table_fill(struct gqa_tensor_table *table,
                                      struct gqa_source *const *sources,
                                      size_t n_sources,
                                      const struct gqa_tensor_filter *filter)
{
    size_t n = 0;

    for (size_t s = 0; s < n_sources; s++)
        n += sources[s]->n_tensors;
    table->refs = calloc(n + 1, sizeof *table->refs);
    table->by_name = calloc(n + 1, sizeof(struct gqa_tensor_ref *));
    if (!table->refs || !table->by_name)
        return gqa_fail_nomem();
    for (size_t s = 0; s < n_sources; s++)
        for (size_t i = 0; i < sources[s]->n_tensors; i++) {
            struct gqa_tensor_ref *ref = &table->refs[table->n];

            ref->tensor = &sources[s]->tensors[i];
            if (filter && !filter->keeps(filter->ctx, s, ref->tensor->name))
                continue;
            ref->source = s;
            ref->local = i;
            table->by_name[table->n++] = ref;
        }
    return sort(table, sources);
}

enum gqa_status gqa_tensor_table_add(struct gqa_tensor_table *table,
                                     struct gqa_source *const *sources,
                                     size_t s)
{
    const size_t n = table->n + sources[s]->n_tensors;
    struct gqa_tensor_ref *refs =
        reallocarray(table->refs, n + 1, sizeof *refs);
    const struct gqa_tensor_ref **by_name;

    if (!refs)
        return gqa_fail_nomem();
    table->refs = refs;
    by_name = reallocarray(table->by_name, n + 1, sizeof *by_name);
    if (!by_name)
        return gqa_fail_nomem();
    table->by_name = by_name;
    for (size_t i = 0; i < sources[s]->n_tensors; i++)
        refs[table->n + i] =
            (struct gqa_tensor_ref){&sources[s]->tensors[i], s, i};
    table->n = n;
    for (size_t i = 0; i < n; i++)
        by_name[i] = &refs[i];
    return sort(table, sources);
}

static char *name_of(const struct gqa_tensor_table *table,
                     struct gqa_source *const *sources, size_t i)
{
    const struct gqa_tensor_ref *ref = &table->refs[i];

    return sources[ref->source]->tensors[ref->local].name;
}

bool gqa_tensor_table_take_prefix(struct gqa_tensor_table *table,
                                  struct gqa_source *const *sources,
                                  const char *prefix)
{
    const size_t n = strlen(prefix);

    for (size_t i = 0; i < table->n; i++) {
        const char *name = table->refs[i].tensor->name;

        if (strncmp(name, prefix, n) != 0 || name[n] == '\0')
            return false;
    }
    /* Their order is the same without it. */
    for (size_t i = 0; i < table->n; i++) {
        char *name = name_of(table, sources, i);

        memmove(name, name + n, strlen(name + n) + 1);
    }
    return table->n > 0;
}

/* Whether some name may have it: most checkpoints are whole as they are. */
static bool may_have(const struct gqa_tensor_table *table, const char *part)
{
    for (size_t i = 0; i < table->n; i++)
        if (strstr(table->refs[i].tensor->name, part))
            return true;
    return false;
}

/* Whether name had it. */
static bool take_part(char *name, const char *part)
{
    const size_t n = strlen(part);
    char *to = name;

    for (const char *at = name; *at;) {
        const size_t length = strcspn(at, ".");
        const size_t whole = length + (at[length] == '.');

        if (whole == length || length != n || strncmp(at, part, n) != 0) {
            memmove(to, at, whole);
            to += whole;
        }
        at += whole;
    }
    if (*to == '\0')
        return false;
    *to = '\0';
    return true;
}

static bool has_twins(const struct gqa_tensor_table *table)
{
    for (size_t i = 1; i < table->n; i++)
        if (compare_names(&table->by_name[i - 1], &table->by_name[i]) == 0)
            return true;
    return false;
}

enum gqa_status gqa_tensor_table_take_part(size_t *n,
                                           struct gqa_tensor_table *table,
                                           struct gqa_source *const *sources,
                                           const char *part)
{
    enum gqa_status st = GQA_OK;
    char **before;

    *n = 0;
    if (!may_have(table, part))
        return GQA_OK;
    before = calloc(table->n + 1, sizeof *before);
    if (!before)
        return gqa_fail_nomem();
    for (size_t i = 0; i < table->n && st == GQA_OK; i++)
        if (!(before[i] = strdup(name_of(table, sources, i))))
            st = gqa_fail_nomem();
    if (st == GQA_OK) {
        for (size_t i = 0; i < table->n; i++)
            *n += take_part(name_of(table, sources, i), part);
        sort_names(table);
        if (has_twins(table)) {
            for (size_t i = 0; i < table->n; i++)
                strcpy(name_of(table, sources, i), before[i]);
            sort_names(table);
            *n = 0;
        }
    }
    for (size_t i = 0; i < table->n; i++)
        free(before[i]);
    free(before);
    return st;
}

void gqa_tensor_table_clear(struct gqa_tensor_table *table)
{
    free(table->refs);
    free(table->by_name);
    memset(table, 0, sizeof *table);
}

size_t gqa_tensor_table_lower_bound(const struct gqa_tensor_table *table,
                                    const char *name)
{
    size_t low = 0, high = table->n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (strcmp(table->by_name[middle]->tensor->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct gqa_tensor_ref *gqa_tensor_table_find(
    const struct gqa_tensor_table *table, const char *name)
{
    const size_t i = gqa_tensor_table_lower_bound(table, name);

    if (i == table->n || strcmp(table->by_name[i]->tensor->name, name) != 0)
        return NULL;
    return table->by_name[i];
}
