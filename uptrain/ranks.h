/*
 * The processes of a run, a device each: *ranks*, counted from 0. The first
 * reads data, keeps states, prints and writes; all draw, train, measure and
 * hold the same weights.
 *
 * Each is joined to the first by two sockets: one for what all do together, in
 * the same order everywhere, and one that a thread watches, so that none waits
 * for who is gone.
 *
 * NULL in place of a struct gqa_ranks: one process, alone.
 */
#ifndef GQA_UPTRAIN_RANKS_H
#define GQA_UPTRAIN_RANKS_H

#include <stdbool.h>

#include "runtime/backend.h"

struct gqa_ranks;

/* Connected stream sockets; -1: none. */
struct gqa_rank_link {
    int data, watch;
};

struct gqa_ranks_options {
    unsigned rank, n; /* n > 1 */
    /* To each other rank, or of all but the first to that: [n], [0] of the
     * first and all but [0] of others being none. The descriptors become the
     * ranks', also after an error. */
    const struct gqa_rank_link *links;
    /* What this process still does, on another thread, when some rank was lost
     * and it has not come to its end by itself for some seconds (a driver may
     * wait for ever): it does not return. */
    void (*stuck)(const char *message);
};

/* Errors GQA_ERR_NOMEM, GQA_ERR_IO. */
GQA_MUST_USE
enum gqa_status gqa_ranks_create(struct gqa_ranks **out,
                                 const struct gqa_ranks_options *options);

/*
 * The end of this one, with what came of it: a failure's message is told to the
 * others, but for those that learnt it from others.
 *
 * Returns whether another one says it: this one need not.
 */
bool gqa_ranks_end(struct gqa_ranks *ranks, enum gqa_status st);

unsigned gqa_ranks_rank(const struct gqa_ranks *ranks);
unsigned gqa_ranks_n(const struct gqa_ranks *ranks);
bool gqa_ranks_is_first(const struct gqa_ranks *ranks);

/* Of n things this one's: so many from *first on. The first ranks have one
 * more where they do not come out even. */
uint64_t gqa_ranks_part(const struct gqa_ranks *ranks, uint64_t n,
                        uint64_t *first);
/* The most that any has of them. */
uint64_t gqa_ranks_most(const struct gqa_ranks *ranks, uint64_t n);

/* --- Of the host: all call these, in the same order ----------------------- */

/*
 * One verdict: GQA_OK where st is in all ranks, else the failure of the first
 * that has one (GQA_ERR_INTERRUPTED after all others), with its message.
 * Errors GQA_ERR_IO: some rank is gone; all below likewise.
 */
GQA_MUST_USE
enum gqa_status gqa_ranks_agree(struct gqa_ranks *ranks, enum gqa_status st);

/* n bytes become what they are in rank `from`. */
GQA_MUST_USE
enum gqa_status gqa_ranks_tell(struct gqa_ranks *ranks, unsigned from,
                               void *bytes, size_t n);

/* A string of the first's; elsewhere *text is NULL, and owned by the caller
 * then. */
GQA_MUST_USE
enum gqa_status gqa_ranks_tell_text(struct gqa_ranks *ranks, char **text);

/* What the first decides; false, too, where that cannot be learnt. */
bool gqa_ranks_decide(struct gqa_ranks *ranks, bool yes);

/* n bytes that are to be the same everywhere. Errors GQA_ERR_IO, with this
 * message: they are not. */
GQA_MUST_USE
enum gqa_status gqa_ranks_check_same(struct gqa_ranks *ranks, const void *bytes,
                                     size_t n, const char *message);

/* All have done what they do together, and st came of it everywhere, which is
 * returned: who is gone from now on is not missed. */
GQA_MUST_USE
enum gqa_status gqa_ranks_finish(struct gqa_ranks *ranks, enum gqa_status st);

/* GQA_ERR_IO, too, where what a device did with others came to nothing, since
 * some rank was lost. It waits for none. */
GQA_MUST_USE
enum gqa_status gqa_ranks_check(struct gqa_ranks *ranks);

/* st, or what it stands for: loops are asked to stop where a rank was lost. */
GQA_MUST_USE
enum gqa_status gqa_ranks_explain(struct gqa_ranks *ranks, enum gqa_status st);

/* --- Of devices, likewise ------------------------------------------------- */

/* Lent, until gqa_ranks_let_go(). Errors those of gqa_collective_ops. */
GQA_MUST_USE
enum gqa_status gqa_ranks_use(struct gqa_ranks *ranks,
                              const struct gqa_backend *backend,
                              struct gqa_device *device);
void gqa_ranks_let_go(struct gqa_ranks *ranks);

/* As collective.h has them; on a host the sum is taken in the order of ranks.
 */
GQA_MUST_USE
enum gqa_status gqa_ranks_sum(struct gqa_ranks *ranks,
                              const struct gqa_summands *list, size_t n);
GQA_MUST_USE
enum gqa_status gqa_ranks_share(struct gqa_ranks *ranks, void *data,
                                uint64_t n_bytes);

#endif
