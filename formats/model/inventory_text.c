/* Faults of an inventory, in words. */
#include <stdio.h>

#include "formats/model/inventory.h"

enum { MAX_NAMED = 3, MAX_TEXT = 240 };

/* What is said before the names. */
static void introduce(char *out, size_t size, enum gqa_fault_kind kind,
                      size_t n)
{
    switch (kind) {
    case GQA_FAULT_MISSING:
        if (n == 1)
            snprintf(out, size, "a parameter is missing: ");
        else
            snprintf(out, size, "%zu parameters are missing: ", n);
        break;
    case GQA_FAULT_SHAPE:
        if (n == 1)
            snprintf(out, size, "a parameter is of another shape: ");
        else
            snprintf(out, size, "%zu parameters are of another shape: ", n);
        break;
    case GQA_FAULT_EXTRA:
        if (n == 1)
            snprintf(out, size, "a tensor is left over: ");
        else
            snprintf(out, size, "%zu tensors are left over: ", n);
        break;
    case GQA_FAULT_ATTENTION:
        if (n == 1)
            snprintf(out, size,
                     "a tensor is left over that looks like an attention: ");
        else
            snprintf(
                out, size,
                "%zu tensors are left over that look like an attention: ", n);
        break;
    default:
        out[0] = '\0';
        break;
    }
}

static const char *cause_of(const struct gqa_inventory *inventory,
                            enum gqa_fault_kind kind)
{
    switch (kind) {
    case GQA_FAULT_MISSING:
    case GQA_FAULT_SHAPE:
        return inventory->missing_cause;
    case GQA_FAULT_EXTRA:
    case GQA_FAULT_ATTENTION:
        return inventory->extra_cause ? inventory->extra_cause : "";
    default:
        return "";
    }
}

/* As printf does, where the text ends in out. */
static void put(char *out, size_t size, size_t *used, const char *text)
{
    if (*used + 1 < size)
        *used += (size_t)snprintf(out + *used, size - *used, "%.*s",
                                  (int)(size - *used - 1), text);
}

static void put_kind(char *out, size_t size, size_t *used,
                     const struct gqa_inventory *inventory,
                     enum gqa_fault_kind kind)
{
    const size_t n = inventory->n_of[kind];
    char text[MAX_TEXT + 64];
    size_t named = 0;

    introduce(text, sizeof text, kind, n);
    put(out, size, used, text);
    for (size_t i = 0; i < inventory->n_faults && named < MAX_NAMED; i++) {
        if (inventory->faults[i].kind != kind)
            continue;
        snprintf(text, sizeof text, "%s%.*s",
                 named ? (kind <= GQA_FAULT_CONFIG ? "; " : ", ") : "",
                 (int)MAX_TEXT, inventory->faults[i].text);
        put(out, size, used, text);
        named++;
    }
    if (named < n)
        put(out, size, used, ", ...");
}

void gqa_inventory_text(char *out, size_t size,
                        const struct gqa_inventory *inventory,
                        enum gqa_fault_kind first, enum gqa_fault_kind last)
{
    const char *cause = "";
    size_t used = 0;

    out[0] = '\0';
    for (int i = (int)first; i <= (int)last; i++) {
        const enum gqa_fault_kind kind = (enum gqa_fault_kind)i;
        const char *other = cause_of(inventory, kind);

        if (inventory->n_of[kind] == 0)
            continue;
        /* The cause of several kinds is said behind the last of them. */
        if (*cause && cause != other) {
            put(out, size, &used, ": ");
            put(out, size, &used, cause);
        }
        if (used)
            put(out, size, &used, "; ");
        put_kind(out, size, &used, inventory, kind);
        cause = other;
    }
    if (*cause) {
        put(out, size, &used, ": ");
        put(out, size, &used, cause);
    }
}
