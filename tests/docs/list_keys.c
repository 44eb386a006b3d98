/*
 * The keys that a description of a family may have, one a line, and the words
 * that some of their values are: "key positions.scheme", "word rope".
 */
#include <stdio.h>

#include "formats/families/schema.h"

static void list(const char *before, const struct gqa_schema *schema)
{
    for (const struct gqa_field *f = schema->fields; f->key; f++) {
        char name[256];

        snprintf(name, sizeof name, "%s%s%s", before, *before ? "." : "",
                 f->key);
        printf("key %s\n", name);
        if (f->kind == GQA_FIELD_OBJECT || f->kind == GQA_FIELD_LIST)
            list(name, gqa_field_inner(f));
        if (f->kind != GQA_FIELD_WORD)
            continue;
        for (const char *const *w = gqa_field_words(f); *w; w++)
            if (**w)
                printf("word %s\n", *w);
    }
}

int main(void)
{
    list("", &gqa_family_schema);
    return 0;
}
