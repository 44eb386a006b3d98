#include "formats/source.h"

#include <stdlib.h>

void gqa_source_clear(struct gqa_source *source)
{
    for (size_t i = 0; i < source->n_tensors; i++)
        free(source->tensors[i].name);
    free(source->tensors);
    free(source->path);
    json_decref(source->metadata);
    json_decref(source->config);
    json_decref(source->manifest);
}

void gqa_source_close(struct gqa_source *source)
{
    if (source)
        source->ops->close(source);
}
