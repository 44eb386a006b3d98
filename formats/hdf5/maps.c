#include "formats/hdf5/maps.h"

#include <pthread.h>
#include <stdlib.h>

/* To keep; maps in use come on top. */
enum { MAX_KEPT_BYTES = 32 << 20 };

struct map {
    struct gqa_h5_chunk *chunks; /* NULL: not here */
    unsigned users;
    uint64_t last_used;
};

struct gqa_h5_maps {
    pthread_mutex_t lock; /* of everything here, and of the child */
    struct gqa_h5_child *child;
    const struct gqa_h5_table *table;
    uint64_t file_bytes;
    struct map *maps; /* [table->n_datasets] */
    uint64_t clock;
    size_t bytes;
};

enum gqa_status gqa_h5_maps_create(struct gqa_h5_maps **out,
                                   struct gqa_h5_child *child,
                                   const struct gqa_h5_table *table,
                                   uint64_t file_bytes)
{
    struct gqa_h5_maps *maps = calloc(1, sizeof *maps);

    if (!maps)
        return gqa_fail_nomem();
    maps->maps = calloc(table->n_datasets + 1, sizeof *maps->maps);
    if (!maps->maps) {
        free(maps);
        return gqa_fail_nomem();
    }
    pthread_mutex_init(&maps->lock, NULL);
    maps->child = child;
    maps->table = table;
    maps->file_bytes = file_bytes;
    *out = maps;
    return GQA_OK;
}

void gqa_h5_maps_free(struct gqa_h5_maps *maps)
{
    if (!maps)
        return;
    for (size_t i = 0; i < maps->table->n_datasets; i++)
        free(maps->maps[i].chunks);
    pthread_mutex_destroy(&maps->lock);
    free(maps->maps);
    free(maps);
}

static size_t map_bytes(const struct gqa_h5_maps *maps, size_t dataset)
{
    return (size_t)maps->table->datasets[dataset].n_chunks *
           sizeof(struct gqa_h5_chunk);
}

/* Forget those that were used longest ago. */
static void make_room(struct gqa_h5_maps *maps, size_t bytes)
{
    while (maps->bytes > 0 && maps->bytes + bytes > MAX_KEPT_BYTES) {
        struct map *oldest = NULL;

        for (size_t i = 0; i < maps->table->n_datasets; i++) {
            struct map *m = &maps->maps[i];

            if (m->chunks && m->users == 0 &&
                (!oldest || m->last_used < oldest->last_used))
                oldest = m;
        }
        if (!oldest)
            return;
        maps->bytes -= map_bytes(maps, (size_t)(oldest - maps->maps));
        free(oldest->chunks);
        oldest->chunks = NULL;
    }
}

static enum gqa_status fetch(struct gqa_h5_maps *maps, size_t dataset)
{
    const struct gqa_h5_dataset *d = &maps->table->datasets[dataset];
    const size_t bytes = map_bytes(maps, dataset);
    struct gqa_h5_chunk *chunks;
    enum gqa_status st;

    make_room(maps, bytes);
    chunks = malloc(bytes + 1);
    if (!chunks)
        return gqa_fail_nomem();
    st = gqa_h5_child_chunks(maps->child, chunks, dataset, d, maps->file_bytes);
    if (st != GQA_OK) {
        free(chunks);
        return st;
    }
    maps->maps[dataset].chunks = chunks;
    maps->bytes += bytes;
    return GQA_OK;
}

enum gqa_status gqa_h5_maps_get(struct gqa_h5_maps *maps,
                                const struct gqa_h5_chunk **chunks,
                                size_t dataset)
{
    struct map *m = &maps->maps[dataset];
    enum gqa_status st = GQA_OK;

    pthread_mutex_lock(&maps->lock);
    if (!m->chunks)
        st = fetch(maps, dataset);
    if (st == GQA_OK) {
        m->users++;
        m->last_used = maps->clock++;
        *chunks = m->chunks;
    }
    pthread_mutex_unlock(&maps->lock);
    return st;
}

void gqa_h5_maps_give_back(struct gqa_h5_maps *maps, size_t dataset)
{
    pthread_mutex_lock(&maps->lock);
    maps->maps[dataset].users--;
    pthread_mutex_unlock(&maps->lock);
}
