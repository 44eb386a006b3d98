/* How a run comes to have ranks: by --gpus, which starts them, or by what
 * started this process (mpirun, srun, or names that are set by hand). */
#ifndef GQA_UPTRAIN_RANKS_BEGIN_H
#define GQA_UPTRAIN_RANKS_BEGIN_H

#include <sys/types.h>

#include "uptrain/options.h"
#include "uptrain/ranks.h"

struct gqa_ranks_begun {
    struct gqa_ranks *ranks; /* NULL: alone */
    pid_t *children;         /* [n_children], of the first; owned */
    unsigned n_children;
};

/*
 * Processes are started here, so that this is called before there are threads
 * or devices, and returns in each of them. What only the first does is taken
 * out of the options of the others, a device and a share of the processors put
 * into those of all.
 *
 * Errors GQA_ERR_USAGE: --gpus as it is given is not possible; GQA_ERR_IO: a
 *        rank has not come, or cannot be started.
 */
GQA_MUST_USE
enum gqa_status gqa_ranks_begin(struct gqa_ranks_begun *out,
                                struct gqa_uptrain_options *options);

/* As gqa_ranks_end(), and waits for what was started. */
bool gqa_ranks_begun_end(struct gqa_ranks_begun *begun, enum gqa_status st);

#endif
