#include "uptrain/loss_mix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One "NAME" or "NAME:FACTOR" of length n. */
static enum gqa_status parse_part(struct gqa_loss_mix *out, const char *text,
                                  size_t n)
{
    char item[64];
    double factor = 1;
    char *colon, *end;

    if (n >= sizeof item)
        return gqa_fail(GQA_ERR_USAGE, "'%.*s' is too long", (int)n, text);
    memcpy(item, text, n);
    item[n] = '\0';
    if ((colon = strchr(item, ':'))) {
        *colon++ = '\0';
        factor = strtod(colon, &end);
        if (*colon == '\0' || *end || !(factor > 0) || !isfinite(factor))
            return gqa_fail(GQA_ERR_USAGE,
                            "'%s' is no factor: a number above 0", colon);
    }
    if (strcmp(item, "kl") == 0) {
        out->kl += factor;
    } else if (strcmp(item, "reverse-kl") == 0) {
        out->reverse_kl += factor;
    } else if (strcmp(item, "symmetric") == 0) {
        out->kl += factor / 2;
        out->reverse_kl += factor / 2;
    } else if (strcmp(item, "ce") == 0) {
        out->cross_entropy += factor;
    } else {
        return gqa_fail(GQA_ERR_USAGE,
                        "'%s' is none of kl, reverse-kl, symmetric and ce",
                        item);
    }
    return GQA_OK;
}

enum gqa_status gqa_loss_parse(struct gqa_loss_mix *out, const char *text)
{
    *out = (struct gqa_loss_mix){0};
    do {
        const size_t n = strcspn(text, ",");
        const enum gqa_status st = parse_part(out, text, n);

        if (st != GQA_OK)
            return st;
        text += n;
    } while (*text++ == ',');
    return GQA_OK;
}

bool gqa_loss_wants_teacher(const struct gqa_loss_mix *mix)
{
    return mix->kl > 0 || mix->reverse_kl > 0;
}
