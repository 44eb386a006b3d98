/* Processes that were started apart find each other: all but the first connect
 * to it. */
#ifndef GQA_UPTRAIN_RANKS_MEET_H
#define GQA_UPTRAIN_RANKS_MEET_H

#include "uptrain/ranks.h"

struct gqa_meeting {
    unsigned rank, n;
    const char *host; /* of the first */
    unsigned port;
    uint64_t job; /* what all of this run know, and no other run's */
    double wait_s;
};

/*
 * links: [n], filled as gqa_ranks_create() takes them; none is open after an
 * error. Errors GQA_ERR_IO: some have not come in time, and which;
 * GQA_ERR_USAGE: a rank came twice, or counts otherwise; GQA_ERR_INTERRUPTED.
 */
GQA_MUST_USE
enum gqa_status gqa_ranks_meet(struct gqa_rank_link *links,
                               const struct gqa_meeting *meeting);

#endif
