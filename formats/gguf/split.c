#include "formats/gguf/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/strings.h"
#include "formats/gguf/parts.h"

/* All of them are open until the last is written. */
enum { MAX_WRITTEN = 500 };

enum gqa_status gqa_gguf_split_create(struct gqa_gguf_split *split,
                                      const struct gqa_gguf_draft *draft,
                                      uint64_t most)
{
    const size_t n = draft->header.n;
    struct gqa_gguf_part *part;

    *split = (struct gqa_gguf_split){.n = 1};
    split->parts = part = calloc(n + 1, sizeof *split->parts);
    if (!part)
        return gqa_fail_nomem();
    for (size_t i = 0; i < n; i++) {
        const uint64_t bytes =
            gqa_gguf_padded(draft->header.tensors[i].n_bytes);

        if (most && part->n > 0 &&
            (part->data_bytes > most || bytes > most - part->data_bytes)) {
            part++;
            part->first = i;
        }
        part->n++;
        part->data_bytes += bytes;
    }
    split->n = (size_t)(part - split->parts) + 1;
    if (split->n > MAX_WRITTEN)
        return gqa_fail(GQA_ERR_USAGE,
                        "it would be %zu files, and at most %d are written: "
                        "give a larger --shard-size",
                        split->n, (int)MAX_WRITTEN);
    for (size_t i = 0; i < split->n; i++) {
        split->parts[i].number = (unsigned)i;
        split->parts[i].count = (unsigned)split->n;
    }
    return GQA_OK;
}

void gqa_gguf_split_clear(struct gqa_gguf_split *split)
{
    free(split->parts);
}

int gqa_gguf_part_name(char *out, size_t size, const char *path,
                       const struct gqa_gguf_part *part)
{
    static const char end[] = ".gguf";
    const size_t stem =
        strlen(path) - (gqa_ends_with(path, end) ? sizeof end - 1 : 0);
    char ending[GQA_GGUF_PART_ENDING + 1];

    if (part->count == 1)
        return snprintf(out, size, "%s", path);
    gqa_gguf_part_ending(ending, part->number + 1, part->count);
    return snprintf(out, size, "%.*s%s", (int)stem, path, ending);
}

char *gqa_gguf_part_path(const char *path, const struct gqa_gguf_part *part)
{
    char none[1];
    const size_t size =
        (size_t)gqa_gguf_part_name(none, sizeof none, path, part) + 1;
    char *out = malloc(size);

    if (out)
        gqa_gguf_part_name(out, size, path, part);
    return out;
}
