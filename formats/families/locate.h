/* Where in a JSON text a key stands: jansson keeps no lines. */
#ifndef GQA_FORMATS_FAMILIES_LOCATE_H
#define GQA_FORMATS_FAMILIES_LOCATE_H

#include <stddef.h>

/* A way into a JSON value, from its end: a key of an object, or the index of
 * an item where key is NULL. */
struct gqa_place {
    const struct gqa_place *up; /* NULL: a member of the whole */
    const char *key;
    size_t index;
};

/*
 * The line, from 1, of the key or item; 0 where the text has none such. place
 * NULL: the whole. text is JSON that jansson has accepted.
 */
size_t gqa_locate(const char *text, size_t length,
                  const struct gqa_place *place);

/* "stacks.decoder.self.q", "refuse[0].key"; cut to fit. */
void gqa_place_text(char *out, size_t size, const struct gqa_place *place);

#endif
