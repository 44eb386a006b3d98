#include "formats/hdf5/cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    N_BUCKETS = 1 << 15, /* enough also for the smallest chunks */
    /* Chunks that are being decoded or copied, by all threads together. */
    MAX_IN_WORK = 64 << 20,
    /* The struct of a chunk, and what malloc adds. */
    OVERHEAD = 160,
};

struct gqa_h5_cached {
    struct gqa_h5_key key;
    unsigned char *content; /* NULL while it is being decoded */
    size_t bytes;
    unsigned users; /* threads that hold or await it */
    bool failed;    /* could not be decoded; is in no bucket any more */
    struct gqa_h5_cached *next_in_bucket;
    /* Those without users, the least recently used first. */
    struct gqa_h5_cached *older, *newer;
};

struct gqa_h5_cache {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct gqa_h5_cached *buckets[N_BUCKETS];
    struct gqa_h5_cached *oldest, *newest;
    size_t bytes; /* of all in buckets */
    size_t max_bytes;
    size_t in_work;
};

enum gqa_status gqa_h5_cache_create(struct gqa_h5_cache **out, size_t max_bytes)
{
    struct gqa_h5_cache *cache = calloc(1, sizeof *cache);

    if (!cache)
        return gqa_fail_nomem();
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->changed, NULL);
    cache->max_bytes = max_bytes;
    *out = cache;
    return GQA_OK;
}

void gqa_h5_cache_free(struct gqa_h5_cache *cache)
{
    if (!cache)
        return;
    while (cache->oldest) {
        struct gqa_h5_cached *chunk = cache->oldest;

        cache->oldest = chunk->newer;
        free(chunk->content);
        free(chunk);
    }
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static struct gqa_h5_cached **bucket_of(struct gqa_h5_cache *cache,
                                        struct gqa_h5_key key)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    const uint64_t mixed = (key.dataset * odd + key.chunk) * odd;

    return &cache->buckets[mixed >> 32 & (N_BUCKETS - 1)];
}

static struct gqa_h5_cached *find(struct gqa_h5_cache *cache,
                                  struct gqa_h5_key key)
{
    struct gqa_h5_cached *chunk = *bucket_of(cache, key);

    while (chunk &&
           (chunk->key.dataset != key.dataset || chunk->key.chunk != key.chunk))
        chunk = chunk->next_in_bucket;
    return chunk;
}

static void unlink_age(struct gqa_h5_cache *cache, struct gqa_h5_cached *chunk)
{
    if (chunk->older)
        chunk->older->newer = chunk->newer;
    else
        cache->oldest = chunk->newer;
    if (chunk->newer)
        chunk->newer->older = chunk->older;
    else
        cache->newest = chunk->older;
    chunk->older = chunk->newer = NULL;
}

static void append_age(struct gqa_h5_cache *cache, struct gqa_h5_cached *chunk)
{
    chunk->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = chunk;
    else
        cache->oldest = chunk;
    cache->newest = chunk;
}

static void unlink_bucket(struct gqa_h5_cache *cache,
                          struct gqa_h5_cached *chunk)
{
    struct gqa_h5_cached **at = bucket_of(cache, chunk->key);

    while (*at != chunk)
        at = &(*at)->next_in_bucket;
    *at = chunk->next_in_bucket;
    cache->bytes -= chunk->bytes + OVERHEAD;
}

static void make_room(struct gqa_h5_cache *cache, size_t bytes)
{
    while (cache->oldest && cache->bytes + bytes > cache->max_bytes) {
        struct gqa_h5_cached *chunk = cache->oldest;

        /* The analyser takes the list for a ring. */
        unlink_age(cache, chunk); /* NOLINT(clang-analyzer-unix.Malloc) */
        unlink_bucket(cache, chunk);
        free(chunk->content);
        free(chunk);
    }
}

static struct gqa_h5_cached *insert(struct gqa_h5_cache *cache,
                                    struct gqa_h5_key key, size_t bytes)
{
    struct gqa_h5_cached **bucket = bucket_of(cache, key);
    struct gqa_h5_cached *chunk;

    make_room(cache, bytes + OVERHEAD);
    chunk = calloc(1, sizeof *chunk);
    if (!chunk)
        return NULL;
    chunk->key = key;
    chunk->bytes = bytes;
    chunk->users = 1;
    chunk->next_in_bucket = *bucket;
    *bucket = chunk;
    cache->bytes += bytes + OVERHEAD;
    return chunk;
}

static void leave(struct gqa_h5_cache *cache, struct gqa_h5_cached *chunk)
{
    if (--chunk->users > 0)
        return;
    if (chunk->failed)
        free(chunk);
    else
        append_age(cache, chunk);
}

static enum gqa_status decode(struct gqa_h5_cache *cache,
                              struct gqa_h5_cached *chunk, gqa_h5_load *load,
                              void *ctx)
{
    unsigned char *content = NULL;
    enum gqa_status st;

    pthread_mutex_unlock(&cache->lock);
    st = load(ctx, &content);
    pthread_mutex_lock(&cache->lock);
    chunk->content = content;
    if (st != GQA_OK) {
        chunk->failed = true;
        unlink_bucket(cache, chunk);
        leave(cache, chunk);
    }
    pthread_cond_broadcast(&cache->changed);
    return st;
}

/* Use a chunk that is there; false when it turned out not to be. */
static bool join(struct gqa_h5_cache *cache, struct gqa_h5_cached *chunk)
{
    if (chunk->users++ == 0)
        unlink_age(cache, chunk);
    while (!chunk->content && !chunk->failed)
        pthread_cond_wait(&cache->changed, &cache->lock);
    if (!chunk->failed)
        return true;
    leave(cache, chunk);
    return false;
}

static enum gqa_status get(struct gqa_h5_cache *cache,
                           struct gqa_h5_cached **out, struct gqa_h5_key key,
                           size_t bytes, gqa_h5_load *load, void *ctx)
{
    for (;;) {
        struct gqa_h5_cached *chunk = find(cache, key);
        enum gqa_status st;

        if (chunk) {
            /* Where another thread failed, find out why ourselves. */
            if (!join(cache, chunk))
                continue;
            *out = chunk;
            return GQA_OK;
        }
        chunk = insert(cache, key, bytes);
        if (!chunk)
            return gqa_fail_nomem();
        if ((st = decode(cache, chunk, load, ctx)) == GQA_OK)
            *out = chunk;
        return st;
    }
}

enum gqa_status gqa_h5_cache_get(struct gqa_h5_cache *cache,
                                 struct gqa_h5_cached **out,
                                 struct gqa_h5_key key, size_t bytes,
                                 gqa_h5_load *load, void *ctx)
{
    enum gqa_status st;

    pthread_mutex_lock(&cache->lock);
    /* A lone thread may always work, however large its chunk. */
    while (cache->in_work > 0 && cache->in_work + bytes > MAX_IN_WORK)
        pthread_cond_wait(&cache->changed, &cache->lock);
    cache->in_work += bytes;
    st = get(cache, out, key, bytes, load, ctx);
    if (st != GQA_OK) {
        cache->in_work -= bytes;
        pthread_cond_broadcast(&cache->changed);
    }
    pthread_mutex_unlock(&cache->lock);
    return st;
}

const unsigned char *gqa_h5_cached_content(const struct gqa_h5_cached *chunk)
{
    return chunk->content;
}

void gqa_h5_cache_give_back(struct gqa_h5_cache *cache,
                            struct gqa_h5_cached *chunk)
{
    pthread_mutex_lock(&cache->lock);
    cache->in_work -= chunk->bytes;
    leave(cache, chunk);
    make_room(cache, 0);
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
}
