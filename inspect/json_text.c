#include "inspect/json_text.h"

#include <stdbool.h>
#include <string.h>

#include "common/json.h"
#include "common/text.h"
#include "inspect/table.h"

/* jansson's own bound on the depth of what it parses is 2048. */
enum { MAX_INDENT = 40 };

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

static bool is_scalar_list(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!is_scalar(json_array_get(value, i)))
            return false;
    return json_is_array(value);
}

/* Iterators take no const, though they change nothing. */
static json_t *to_iterate(const json_t *object)
{
    json_t *writable;

    memcpy(&writable, &object, sizeof writable);
    return writable;
}

static void put_scalar(FILE *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        gqa_text_put(out, json_string_value(value));
        break;
    case JSON_INTEGER:
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        fprintf(out, "%.*g", gqa_json_real_digits(json_real_value(value)),
                json_real_value(value));
        break;
    case JSON_TRUE:
        fputs("yes", out);
        break;
    case JSON_FALSE:
        fputs("no", out);
        break;
    default:
        fputc('-', out);
        break;
    }
}

static void put_on_line(FILE *out, const json_t *value)
{
    if (!json_is_array(value)) {
        put_scalar(out, value);
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        fputs(i > 0 ? ", " : "", out);
        put_scalar(out, json_array_get(value, i));
    }
    if (json_array_size(value) == 0)
        fputs("none", out);
}

static bool fits_on_line(const json_t *value)
{
    return is_scalar(value) || is_scalar_list(value);
}

/* A list of objects with the same few members, each fit for a cell. */
struct list_table {
    const json_t *list;
    struct gqa_column columns[GQA_TABLE_MAX_COLUMNS];
    size_t n_columns;
};

static bool has_members(const struct list_table *table, const json_t *object)
{
    if (json_object_size(object) != table->n_columns)
        return false;
    for (size_t i = 0; i < table->n_columns; i++) {
        const char *key = table->columns[i].title;
        const json_t *value = json_object_get(object, key);

        if (!value || !fits_on_line(value) || !gqa_text_is_plain(key))
            return false;
    }
    return true;
}

static bool make_table(struct list_table *table, const json_t *list)
{
    const json_t *first = json_array_get(list, 0);
    const char *key;
    json_t *value;

    if (!json_is_object(first) ||
        json_object_size(first) > GQA_TABLE_MAX_COLUMNS)
        return false;
    table->list = list;
    table->n_columns = 0;
    json_object_foreach(to_iterate(first), key, value)
    {
        table->columns[table->n_columns++] =
            (struct gqa_column){.title = key, .right = json_is_number(value)};
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!has_members(table, json_array_get(list, i)))
            return false;
    return true;
}

static void put_table_cell(FILE *out, const void *ctx, size_t row,
                           size_t column)
{
    const struct list_table *table = ctx;

    put_on_line(out, json_object_get(json_array_get(table->list, row),
                                     table->columns[column].title));
}

static void put_indent(FILE *out, unsigned depth)
{
    fprintf(out, "%*s", depth < MAX_INDENT ? (int)(2 * depth) : 2 * MAX_INDENT,
            "");
}

static enum gqa_status put_value(FILE *out, const json_t *value,
                                 unsigned depth);

static enum gqa_status put_list(FILE *out, const json_t *list, unsigned depth)
{
    struct list_table table;
    enum gqa_status st = GQA_OK;

    if (make_table(&table, list))
        return gqa_table_print(out, &(const struct gqa_table){
                                        .columns = table.columns,
                                        .n_columns = table.n_columns,
                                        .n_rows = json_array_size(list),
                                        .cell = put_table_cell,
                                        .ctx = &table,
                                    });
    for (size_t i = 0; i < json_array_size(list) && st == GQA_OK; i++)
        st = put_value(out, json_array_get(list, i), depth);
    return st;
}

/* Columns of the widest key that has its value on its own line. */
static size_t key_width(const json_t *object)
{
    const char *key;
    json_t *value;
    size_t widest = 0;

    json_object_foreach(to_iterate(object), key, value)
    {
        const size_t width = gqa_text_width(key, strlen(key));

        if (fits_on_line(value) && width > widest)
            widest = width;
    }
    return widest;
}

static enum gqa_status put_object(FILE *out, const json_t *object,
                                  unsigned depth)
{
    const size_t width = key_width(object);
    enum gqa_status st = GQA_OK;
    const char *key;
    json_t *value;

    json_object_foreach(to_iterate(object), key, value)
    {
        put_indent(out, depth);
        gqa_text_put(out, key);
        if (fits_on_line(value)) {
            for (size_t n = gqa_text_width(key, strlen(key)); n < width; n++)
                fputc(' ', out);
            fputs("  ", out);
            put_on_line(out, value);
            fputc('\n', out);
            continue;
        }
        fputc('\n', out);
        if ((st = put_value(out, value, depth + 1)) != GQA_OK)
            break;
    }
    return st;
}

/* jansson bounds the depth of what it has parsed, and so this recursion. */
static enum gqa_status put_value(FILE *out, const json_t *value, unsigned depth)
{
    if (fits_on_line(value)) {
        put_indent(out, depth);
        put_on_line(out, value);
        fputc('\n', out);
        return GQA_OK;
    }
    return json_is_array(value) ? put_list(out, value, depth)
                                : put_object(out, value, depth);
}

enum gqa_status gqa_json_text_print(FILE *out, const json_t *value)
{
    return put_value(out, value, 0);
}
