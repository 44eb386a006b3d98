#include "inspect/numbers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* More digits are no number of a layer. */
enum { MAX_DIGITS = 9 };

static struct gqa_number_run *append(struct gqa_numbers *numbers)
{
    if (numbers->n == numbers->capacity) {
        const size_t capacity = numbers->capacity ? 2 * numbers->capacity : 4;
        struct gqa_number_run *grown =
            reallocarray(numbers->runs, capacity, sizeof *grown);

        if (!grown)
            return NULL;
        numbers->runs = grown;
        numbers->capacity = capacity;
    }
    return &numbers->runs[numbers->n++];
}

enum gqa_status gqa_numbers_add(struct gqa_numbers *numbers, uint64_t number)
{
    struct gqa_number_run *last =
        numbers->n ? &numbers->runs[numbers->n - 1] : NULL;
    struct gqa_number_run added = {number, number, 0};

    if (last && (last->step == 0 || number - last->last == last->step)) {
        last->step = number - last->last;
        last->last = number;
        return GQA_OK;
    }
    /* Two that are apart make no run: the second may begin the next. */
    if (last && last->step > 1 && last->last - last->first == last->step) {
        added =
            (struct gqa_number_run){last->last, number, number - last->last};
        *last = (struct gqa_number_run){last->first, last->first, 0};
    }
    last = append(numbers);
    if (!last)
        return gqa_fail_nomem();
    *last = added;
    return GQA_OK;
}

static int put_run(char *out, size_t size, const struct gqa_number_run *run)
{
    if (run->step == 0)
        return snprintf(out, size, "%" PRIu64, run->first);
    if (run->step == 1)
        return snprintf(out, size, "%" PRIu64 "-%" PRIu64, run->first,
                        run->last);
    if (run->last - run->first == run->step)
        return snprintf(out, size, "%" PRIu64 ",%" PRIu64, run->first,
                        run->last);
    return snprintf(out, size, "%" PRIu64 "-%" PRIu64 "/%" PRIu64, run->first,
                    run->last, run->step);
}

void gqa_numbers_put(FILE *out, const struct gqa_numbers *numbers)
{
    char text[64];

    for (size_t i = 0; i < numbers->n; i++) {
        (void)put_run(text, sizeof text, &numbers->runs[i]);
        fprintf(out, "%s%s", i > 0 ? "," : "", text);
    }
}

size_t gqa_numbers_width(const struct gqa_numbers *numbers)
{
    size_t width = numbers->n ? numbers->n - 1 : 0;

    for (size_t i = 0; i < numbers->n; i++)
        width += (size_t)put_run(NULL, 0, &numbers->runs[i]);
    return width;
}

void gqa_numbers_free(struct gqa_numbers *numbers)
{
    free(numbers->runs);
    memset(numbers, 0, sizeof *numbers);
}

/* An underscore counts before a slash: "dense_1/kernel", but not "ln_1.bias",
 * which is no first of many. */
static bool is_component(const char *name, size_t at, size_t n)
{
    const char before = at > 0 ? name[at - 1] : '.';
    const char after = name[at + n];

    return (after == '\0' || after == '.' || after == '/') &&
           (before == '.' || before == '/' || (before == '_' && after == '/'));
}

bool gqa_name_next_number(const char *name, size_t from, size_t *at, size_t *n,
                          uint64_t *value)
{
    static const char digits[] = "0123456789";

    for (size_t i = from; name[i];) {
        i += strcspn(name + i, digits);
        *at = i;
        *n = strspn(name + i, digits);
        i += *n;
        if (*n == 0 || *n > MAX_DIGITS || (*n > 1 && name[*at] == '0') ||
            !is_component(name, *at, *n))
            continue;
        *value = strtoull(name + *at, NULL, 10);
        return true;
    }
    return false;
}
