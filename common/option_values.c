#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/checked.h"
#include "common/nearest.h"
#include "common/options.h"

/* More digits than this behind a point are none of a quantity. */
#define MAX_PARTS UINT64_C(1000000000)

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit count_units[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {NULL, 0},
};

static const struct unit byte_units[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"KiB", UINT64_C(1) << 10},
    {"KB", 1000},
    {"M", UINT64_C(1) << 20},
    {"MiB", UINT64_C(1) << 20},
    {"MB", 1000000},
    {"G", UINT64_C(1) << 30},
    {"GiB", UINT64_C(1) << 30},
    {"GB", 1000000000},
    {NULL, 0},
};

/* Digits and perhaps more behind a point. */
struct decimal {
    bool is_negative;
    bool is_huge; /* its whole part is none of 64 bits */
    uint64_t whole;
    uint64_t part, parts; /* part / parts is what stands behind the point */
};

/* Read it; the end of it, or NULL: there is none. strtoull() would take white
 * space and any sign. */
static const char *parse_decimal(struct decimal *out, const char *text)
{
    char *end;

    *out = (struct decimal){.parts = 1};
    out->is_negative = *text == '-';
    text += out->is_negative;
    if (!isdigit((unsigned char)*text))
        return NULL;
    errno = 0;
    out->whole = strtoull(text, &end, 10);
    out->is_huge = errno == ERANGE;
    if (*end != '.')
        return end;
    for (end++; isdigit((unsigned char)*end) && out->parts < MAX_PARTS; end++) {
        out->part = 10 * out->part + (uint64_t)(*end - '0');
        out->parts *= 10;
    }
    return out->parts > 1 ? end : NULL;
}

/* 1.5K is 1536; 1.5 is no count. */
static bool is_whole(const struct decimal *d, uint64_t factor)
{
    return d->part * factor % d->parts == 0;
}

static bool scale(uint64_t *out, const struct decimal *d, uint64_t factor)
{
    return !d->is_negative && !d->is_huge &&
           gqa_mul_u64(d->whole, factor, out) &&
           gqa_add_u64(*out, d->part * factor / d->parts, out);
}

static enum gqa_status parse_quantity(uint64_t *out, const char *text,
                                      const struct unit *units,
                                      const char *what, uint64_t min,
                                      uint64_t max)
{
    struct decimal decimal;
    const char *end = parse_decimal(&decimal, text);
    uint64_t value;

    while (end && units->suffix && strcasecmp(units->suffix, end) != 0)
        units++;
    if (!end || !units->suffix || !is_whole(&decimal, units->factor))
        return gqa_fail(GQA_ERR_USAGE, "'%s' is not %s", text, what);
    if (!scale(&value, &decimal, units->factor) || value < min || value > max)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s is not between %" PRIu64 " and %" PRIu64, text, min,
                        max);
    *out = value;
    return GQA_OK;
}

enum gqa_status gqa_option_count(uint64_t *out, const char *text, uint64_t min,
                                 uint64_t max)
{
    return parse_quantity(out, text, count_units, "a whole number", min, max);
}

enum gqa_status gqa_option_bytes(uint64_t *out, const char *text, uint64_t min,
                                 uint64_t max)
{
    return parse_quantity(out, text, byte_units, "a size such as 5G", min, max);
}

/* max 0: there is none. */
static enum gqa_status parse_limit(double *out, const char *text, bool share,
                                   uint64_t max)
{
    double value;
    char *end;

    errno = 0;
    value = strtod(text, &end);
    if (end != text && share && *end == '%') {
        value /= 100;
        end++;
    }
    if (end == text || *end != '\0' || !isfinite(value) || value < 0 ||
        errno == ERANGE)
        return gqa_fail(GQA_ERR_USAGE, "'%s' is not a number from 0 on%s", text,
                        share ? ", such as 0.01 or 1%" : "");
    if (max && value > (double)max)
        return gqa_fail(GQA_ERR_USAGE, "%s is more than %" PRIu64 "%s", text,
                        max, share ? " (0.99 is 99%)" : "");
    *out = value;
    return GQA_OK;
}

/* "mean, first or random" */
static void list_choices(const struct gqa_choice *choices, char *buf, size_t n)
{
    size_t left = 0, used = 0;

    for (size_t i = 0; choices[i].name; i++)
        left += !choices[i].hidden;
    *buf = '\0';
    for (size_t i = 0; choices[i].name && used < n; i++) {
        if (choices[i].hidden)
            continue;
        left--;
        used += (size_t)snprintf(buf + used, n - used, "%s%s", choices[i].name,
                                 left > 1    ? ", "
                                 : left == 1 ? " or "
                                             : "");
    }
}

/* The choice that n bytes of text name. */
static enum gqa_status find_choice(const struct gqa_choice **out,
                                   const struct gqa_choice *choices,
                                   const char *text, size_t n)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    char list[256], word[64];

    for (const struct gqa_choice *c = choices; c->name; c++)
        if (strlen(c->name) == n && memcmp(c->name, text, n) == 0) {
            if (c->instead) {
                list_choices(choices, list, sizeof list);
                return gqa_fail(GQA_ERR_USAGE,
                                "'%s' is not %s; did you mean %s?", c->name,
                                list, c->instead);
            }
            *out = c;
            return GQA_OK;
        }
    snprintf(word, sizeof word, "%.*s", (int)(n < 256 ? n : 256), text);
    for (const struct gqa_choice *c = choices; c->name; c++) {
        const size_t distance = gqa_word_distance(word, c->name);

        if (!c->hidden && distance < least) {
            least = distance;
            nearest = c->name;
        }
    }
    list_choices(choices, list, sizeof list);
    if (!nearest || !gqa_word_is_near(strlen(word), least))
        return gqa_fail(GQA_ERR_USAGE, "'%s' is not %s", word, list);
    return gqa_fail(GQA_ERR_USAGE, "'%s' is not %s; did you mean %s?", word,
                    list, nearest);
}

static enum gqa_status parse_set(unsigned *out, const struct gqa_choice *list,
                                 const char *text)
{
    const struct gqa_choice *found;
    unsigned bits = 0;
    enum gqa_status st;

    if (*text == '\0')
        return gqa_fail(GQA_ERR_USAGE, "the list is empty");
    for (;;) {
        const size_t n = strcspn(text, ",");

        if ((st = find_choice(&found, list, text, n)) != GQA_OK)
            return st;
        bits |= (unsigned)found->value;
        text += n;
        if (*text++ == '\0')
            break;
    }
    *out = bits;
    return GQA_OK;
}

static enum gqa_status check_path(const char *text)
{
    return *text ? GQA_OK : gqa_fail(GQA_ERR_USAGE, "the path is empty");
}

/* What a value is before it is stored. */
union value {
    bool flag;
    const char *text;
    int choice;
    unsigned number;
    uint64_t count;
    double limit;
};

static enum gqa_status parse(union value *out, size_t *size,
                             const struct gqa_option *row, const char *text)
{
    const struct gqa_choice *found;
    enum gqa_status st = GQA_OK;
    uint64_t count;

    switch (row->kind) {
    case GQA_OPTION_FLAG:
        out->flag = true;
        *size = sizeof out->flag;
        break;
    case GQA_OPTION_FILE:
    case GQA_OPTION_PATH:
        st = check_path(text);
        out->text = text;
        *size = sizeof out->text;
        break;
    case GQA_OPTION_TEXT:
        out->text = text;
        *size = sizeof out->text;
        break;
    case GQA_OPTION_CHOICE:
        st = find_choice(&found, row->choices, text, strlen(text));
        if (st == GQA_OK)
            out->choice = found->value;
        *size = sizeof out->choice;
        break;
    case GQA_OPTION_SET:
        st = parse_set(&out->number, row->choices, text);
        *size = sizeof out->number;
        break;
    case GQA_OPTION_NUMBER:
        st = gqa_option_count(&count, text, row->min, row->max);
        if (st == GQA_OK)
            out->number = (unsigned)count;
        *size = sizeof out->number;
        break;
    case GQA_OPTION_COUNT:
        st = gqa_option_count(&out->count, text, row->min, row->max);
        *size = sizeof out->count;
        break;
    case GQA_OPTION_BYTES:
        st = gqa_option_bytes(&out->count, text, row->min, row->max);
        *size = sizeof out->count;
        break;
    case GQA_OPTION_LIMIT:
    case GQA_OPTION_SHARE:
        st = parse_limit(&out->limit, text, row->kind == GQA_OPTION_SHARE,
                         row->max);
        *size = sizeof out->limit;
        break;
    }
    return st;
}

enum gqa_status gqa_option_store(void *options, const struct gqa_option *row,
                                 const char *text)
{
    union value value;
    size_t size = 0;
    const enum gqa_status st = parse(&value, &size, row, text);

    if (st != GQA_OK)
        return st;
    if (row->take)
        return row->take(options, text);
    memcpy((char *)options + row->offset, &value, size);
    return GQA_OK;
}

const char *gqa_option_wants(const struct gqa_option *row, char *buf, size_t n)
{
    static const char *const words[] = {
        [GQA_OPTION_FLAG] = "nothing",
        [GQA_OPTION_TEXT] = "a value",
        [GQA_OPTION_FILE] = "a file",
        [GQA_OPTION_PATH] = "a file or a folder",
        [GQA_OPTION_CHOICE] = "",
        [GQA_OPTION_SET] = "",
        [GQA_OPTION_COUNT] = "a number",
        [GQA_OPTION_NUMBER] = "a number",
        [GQA_OPTION_BYTES] = "a size such as 5G",
        [GQA_OPTION_LIMIT] = "a number",
        [GQA_OPTION_SHARE] = "a number such as 0.01 or 1%",
    };

    if (row->choices)
        list_choices(row->choices, buf, n);
    else
        snprintf(buf, n, "%s", words[row->kind]);
    return buf;
}
