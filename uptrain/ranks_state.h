/* What ranks.c, ranks_host.c and ranks_watch.c know of a rank. */
#ifndef GQA_UPTRAIN_RANKS_STATE_H
#define GQA_UPTRAIN_RANKS_STATE_H

#include <pthread.h>

#include "uptrain/ranks.h"

enum { GQA_RANKS_TEXT = 500 };

/* A verdict as it is sent. */
struct gqa_rank_word {
    int32_t status; /* enum gqa_status */
    char text[GQA_RANKS_TEXT];
};

struct gqa_ranks {
    unsigned rank, n;
    struct gqa_rank_link *links; /* [n] */
    void (*stuck)(const char *message);

    const struct gqa_backend *backend;
    struct gqa_device *device;

    pthread_t watcher;
    bool is_watched;
    int wake[2]; /* a pipe that ends the watcher */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    struct gqa_communicator *communicator;
    bool has_begun;       /* the watcher */
    bool is_over;         /* who ends now is not missed */
    bool is_lost;         /* some rank has failed or is gone */
    bool was_interrupted; /* before that */
    bool is_told;         /* another one says why */
    char why[GQA_RANKS_TEXT];
};

/* Who is looked after, and from whom bytes come: the others of the first, the
 * first of the others. */
static inline bool gqa_ranks_has_link(const struct gqa_ranks *r, unsigned i)
{
    return r->links[i].watch >= 0;
}

/* ranks_watch.c */

GQA_MUST_USE
enum gqa_status gqa_ranks_watch(struct gqa_ranks *ranks);
void gqa_ranks_unwatch(struct gqa_ranks *ranks);
/* Fail with what has happened to the others; waits a little for it. */
enum gqa_status gqa_ranks_lost(struct gqa_ranks *ranks);

/* ranks_host.c: all of n bytes, or the failure of gqa_ranks_lost(). */

GQA_MUST_USE
enum gqa_status gqa_ranks_send(struct gqa_ranks *ranks, unsigned to,
                               const void *bytes, size_t n);
GQA_MUST_USE
enum gqa_status gqa_ranks_receive(struct gqa_ranks *ranks, unsigned from,
                                  void *bytes, size_t n);
/* [n] of these, which lie in the memory of the host. */
GQA_MUST_USE
enum gqa_status gqa_ranks_sum_host(struct gqa_ranks *ranks,
                                   const struct gqa_summands *list, size_t n);

#endif
