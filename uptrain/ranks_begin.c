#include "uptrain/ranks_begin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "align/learning.h"
#include "common/atomic.h"
#include "common/bounds.h"
#include "common/cli.h"
#include "common/log.h"
#include "common/random.h"
#include "uptrain/ranks_meet.h"

enum {
    MAX_RANKS = 4096,
    MEET_S = 300, /* that hosts may take to start their processes */
    /* Ports of a host's own choice lie higher. */
    FIRST_PORT = 20000,
    N_PORTS = 12000,
    END_S = 30, /* that a child may take to end */
    TICK_MS = 20,
};

/* What a starter of processes tells each of them. */
struct place {
    unsigned rank, n;
    unsigned local_rank, local_n; /* of one host; 0 where that is not known */
};

/* --- Environment ---------------------------------------------------------- */

/* The first that tells of more than one process counts. */
static const struct {
    const char *rank, *n, *local_rank, *local_n;
} starters[] = {
    /* Set by hand, in the words of PyTorch. */
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    /* Open MPI. */
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    /* MPICH and its kin. */
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    /* srun; SLURM_NTASKS is there outside of it, too. */
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL},
};

/* Below `end`. *out stays what it was where there is none of the name. */
static enum gqa_status read_number(unsigned *out, const char *name,
                                   unsigned end)
{
    const char *text = name ? getenv(name) : NULL;
    char *rest;
    unsigned long n;

    if (!text || !*text)
        return GQA_OK;
    errno = 0;
    n = strtoul(text, &rest, 10);
    if (errno != 0 || *rest || text[0] == '-' || n >= end)
        return gqa_fail(GQA_ERR_USAGE,
                        "%s in the environment is '%s': ranks are started "
                        "with numbers below %u",
                        name, text, end);
    *out = (unsigned)n;
    return GQA_OK;
}

static enum gqa_status find_place(struct place *out)
{
    for (size_t i = 0; i < sizeof starters / sizeof *starters; i++) {
        struct place p = {0, 0, 0, 0};
        enum gqa_status st;

        if (!getenv(starters[i].rank))
            continue;
        st = read_number(&p.n, starters[i].n, MAX_RANKS + 1);
        if (st != GQA_OK)
            return st;
        if (p.n < 2)
            continue;
        if ((st = read_number(&p.rank, starters[i].rank, p.n)) != GQA_OK)
            return st;
        p.local_rank = p.rank;
        if ((st = read_number(&p.local_rank, starters[i].local_rank, p.n)) ==
            GQA_OK)
            st = read_number(&p.local_n, starters[i].local_n, p.n + 1);
        *out = p;
        return st;
    }
    return GQA_OK;
}

/* What all processes of a run have in common. */
static uint64_t job_of(void)
{
    static const char *const names[] = {"MASTER_PORT", "PMIX_NAMESPACE",
                                        "SLURM_JOB_ID"};
    const char *step = getenv("SLURM_STEP_ID");
    uint64_t job = step ? gqa_random_key(0, step, 1) : 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return gqa_random_key(job, getenv(names[i]), i);
    /* Of one host, who started them. */
    return gqa_random_key(job, "parent", (uint64_t)getppid());
}

static enum gqa_status meet(struct gqa_rank_link *links, const struct place *p)
{
    struct gqa_meeting m = {.rank = p->rank,
                            .n = p->n,
                            .host = getenv("MASTER_ADDR"),
                            .job = job_of(),
                            .wait_s = MEET_S};
    enum gqa_status st;

    m.port = (unsigned)(FIRST_PORT + m.job % N_PORTS);
    if ((st = read_number(&m.port, "MASTER_PORT", 1 << 16)) != GQA_OK)
        return st;
    if (!m.host && p->local_n > 0 && p->local_n < p->n)
        return gqa_fail(GQA_ERR_USAGE,
                        "ranks on several hosts: set MASTER_ADDR in the "
                        "environment to that of rank 0, and MASTER_PORT to a "
                        "port that is free there");
    if (!m.host)
        m.host = "127.0.0.1";
    return gqa_ranks_meet(links, &m);
}

/* --- Processes of our own ------------------------------------------------- */

static void forget_children(struct gqa_ranks_begun *b)
{
    for (unsigned i = 0; i < b->n_children; i++) {
        (void)kill(b->children[i], SIGKILL);
        (void)waitpid(b->children[i], NULL, 0);
    }
    b->n_children = 0;
}

static void close_ends(struct gqa_rank_link *links, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (links[i].data >= 0)
            close(links[i].data);
        if (links[i].watch >= 0)
            close(links[i].watch);
        links[i] = (struct gqa_rank_link){-1, -1};
    }
}

/* Rank i is begun. *child: this is it, and links has its one end. */
static enum gqa_status start_one(struct gqa_ranks_begun *b,
                                 struct gqa_rank_link *links, unsigned i,
                                 bool *child)
{
    int data[2] = {-1, -1}, watch[2] = {-1, -1};
    enum gqa_status st = GQA_OK;
    pid_t pid = -1;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, data) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, watch) != 0 ||
        (pid = fork()) < 0)
        st = gqa_fail_errno("cannot start rank %u", i);
    links[i] = (struct gqa_rank_link){data[0], watch[0]};
    if (pid == 0) {
        /* The others' ends would keep those from seeing the first one's. */
        close_ends(links, i + 1);
        links[0] = (struct gqa_rank_link){data[1], watch[1]};
        *child = true;
        return GQA_OK;
    }
    close_ends(&(struct gqa_rank_link){data[1], watch[1]}, 1);
    if (pid > 0)
        b->children[b->n_children++] = pid;
    return st;
}

static enum gqa_status start_all(struct gqa_ranks_begun *b,
                                 struct gqa_rank_link *links, struct place *p)
{
    enum gqa_status st = GQA_OK;
    bool child = false;

    b->children = calloc(p->n, sizeof *b->children);
    if (!b->children)
        return gqa_fail_nomem();
    for (unsigned i = 0; i < p->n; i++)
        links[i] = (struct gqa_rank_link){-1, -1};
    for (unsigned i = 1; i < p->n && st == GQA_OK; i++) {
        st = start_one(b, links, i, &child);
        if (child) {
            p->rank = p->local_rank = i;
            b->n_children = 0;
            return GQA_OK;
        }
    }
    if (st != GQA_OK) {
        close_ends(links, p->n);
        forget_children(b);
    }
    return st;
}

/* --- Options -------------------------------------------------------------- */

static enum gqa_status check_options(const struct gqa_uptrain_options *o,
                                     const struct place *p)
{
    if (strcmp(o->teacher, "-") == 0 ||
        (o->student && strcmp(o->student, "-") == 0))
        return gqa_fail(GQA_ERR_USAGE,
                        "a model on standard input can be read by one process "
                        "alone: give a file");
    if (o->batch * o->accumulate < p->n)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --batch: a step of %llu sequences cannot be "
                        "shared by %u ranks",
                        (unsigned long long)(o->batch * o->accumulate), p->n);
    return GQA_OK;
}

/* A starter may have hidden all devices but one from each process. */
static unsigned ordinal_of(const struct place *p)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");

    return visible && *visible && !strchr(visible, ',') ? 0 : p->local_rank;
}

static void divide(struct gqa_uptrain_options *o, const struct place *p)
{
    static char name[32];

    o->n_ranks = p->n;
    o->ordinal = ordinal_of(p);
    if (p->local_n > 1 && !gqa_uptrain_given(o, "threads"))
        o->common.n_threads = o->common.n_threads > p->local_n
                                  ? o->common.n_threads / p->local_n
                                  : 1;
    if (p->rank == 0)
        return;
    o->log_path = o->html_path = NULL;
    o->common.log_level = GQA_LOG_ERROR;
    snprintf(name, sizeof name, "%s: rank %u", gqa_uptrain_tool.name, p->rank);
    gqa_log_init(name, o->common.log_level);
}

/* On the thread that watches. */
static void end_stuck(const char *message)
{
    gqa_alert("%s; this process waited for it in vain", message);
    (void)gqa_atomic_clean();
    _exit(GQA_EXIT_TROUBLE);
}

enum gqa_status gqa_ranks_begin(struct gqa_ranks_begun *out,
                                struct gqa_uptrain_options *o)
{
    struct gqa_rank_link *links;
    struct place p = {0, 1, 0, 0};
    enum gqa_status st = find_place(&p);

    *out = (struct gqa_ranks_begun){.ranks = NULL};
    if (st != GQA_OK)
        return st;
    if (o->n_gpus > 0 && p.n > 1)
        return gqa_fail(GQA_ERR_USAGE,
                        "option --gpus starts processes, and %u were started "
                        "already by what set the environment: leave it out",
                        p.n);
    if (o->n_gpus > 0) {
        p.n = p.local_n = (unsigned)o->n_gpus;
        o->device = GQA_LEARN_CUDA;
    }
    if (p.n == 1)
        return GQA_OK;
    if ((st = check_options(o, &p)) != GQA_OK)
        return st;
    if (!(links = calloc(p.n, sizeof *links)))
        return gqa_fail_nomem();
    st = o->n_gpus > 0 ? start_all(out, links, &p) : meet(links, &p);
    if (st == GQA_OK) {
        const struct gqa_ranks_options options = {
            .rank = p.rank, .n = p.n, .links = links, .stuck = end_stuck};

        divide(o, &p);
        st = gqa_ranks_create(&out->ranks, &options);
    }
    free(links);
    return st;
}

bool gqa_ranks_begun_end(struct gqa_ranks_begun *b, enum gqa_status st)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    const bool is_told = gqa_ranks_end(b->ranks, st);
    unsigned ticks = END_S * 1000 / TICK_MS;

    for (unsigned i = 0; i < b->n_children; i++)
        while (waitpid(b->children[i], NULL, WNOHANG) == 0) {
            if (ticks == 0)
                (void)kill(b->children[i], SIGKILL);
            ticks -= ticks > 0;
            (void)nanosleep(&tick, NULL);
        }
    free(b->children);
    *b = (struct gqa_ranks_begun){.ranks = NULL};
    return is_told;
}
