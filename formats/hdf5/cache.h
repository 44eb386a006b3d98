/*
 * Decoded chunks, shared by all readers of a file and bounded in bytes.
 * A chunk is decoded by one thread at a time, outside the lock; others that
 * want it wait for that one.
 */
#ifndef GQA_FORMATS_HDF5_CACHE_H
#define GQA_FORMATS_HDF5_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

struct gqa_h5_cache;
struct gqa_h5_cached; /* a chunk in use */

struct gqa_h5_key {
    uint64_t dataset;
    uint64_t chunk;
};

/* Decode into a new block; *content is then owned by the cache (free()). */
typedef enum gqa_status gqa_h5_load(void *ctx, unsigned char **content);

/* max_bytes: to keep; what is in use at the moment comes on top. */
GQA_MUST_USE
enum gqa_status gqa_h5_cache_create(struct gqa_h5_cache **out,
                                    size_t max_bytes);
void gqa_h5_cache_free(struct gqa_h5_cache *cache);

/*
 * Get a chunk of `bytes` bytes, from the cache or by load(ctx). A thread
 * holds one chunk at a time: it may have to wait here until others give back
 * theirs, so that the chunks in work stay within bounds. Errors as load(),
 * GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_cache_get(struct gqa_h5_cache *cache,
                                 struct gqa_h5_cached **out,
                                 struct gqa_h5_key key, size_t bytes,
                                 gqa_h5_load *load, void *ctx);
/* Lent until it is given back. */
const unsigned char *gqa_h5_cached_content(const struct gqa_h5_cached *chunk);
void gqa_h5_cache_give_back(struct gqa_h5_cache *cache,
                            struct gqa_h5_cached *chunk);

#endif
