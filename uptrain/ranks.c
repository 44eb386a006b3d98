#include "uptrain/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/log.h"
#include "uptrain/ranks_state.h"

/* --- Beginning and end ---------------------------------------------------- */

static void close_links(const struct gqa_rank_link *links, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (links[i].data >= 0)
            close(links[i].data);
        if (links[i].watch >= 0)
            close(links[i].watch);
    }
}

static void destroy(struct gqa_ranks *r)
{
    gqa_ranks_unwatch(r);
    close_links(r->links, r->n);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r->links);
    free(r);
}

enum gqa_status gqa_ranks_create(struct gqa_ranks **out,
                                 const struct gqa_ranks_options *options)
{
    struct gqa_ranks *r = calloc(1, sizeof *r);
    struct gqa_rank_link *links = calloc(options->n, sizeof *links);
    enum gqa_status st;

    if (!r || !links) {
        close_links(options->links, options->n);
        free(r);
        free(links);
        return gqa_fail_nomem();
    }
    memcpy(links, options->links, options->n * sizeof *links);
    *r = (struct gqa_ranks){.rank = options->rank,
                            .n = options->n,
                            .links = links,
                            .stuck = options->stuck,
                            .wake = {-1, -1}};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    st = gqa_ranks_watch(r);
    if (st == GQA_OK)
        *out = r;
    else
        destroy(r);
    return st;
}

/* They may be gone: what is not heard does no harm. */
static bool say(int fd, const struct gqa_rank_word *word)
{
    return send(fd, word, sizeof *word, MSG_NOSIGNAL) == (ssize_t)sizeof *word;
}

bool gqa_ranks_end(struct gqa_ranks *r, enum gqa_status st)
{
    struct gqa_rank_word word = {.status = (int32_t)st};
    bool is_told, was_heard = false;

    if (!r)
        return false;
    gqa_ranks_let_go(r);
    if (st != GQA_OK)
        snprintf(word.text, sizeof word.text, "%s", gqa_error_message());
    pthread_mutex_lock(&r->lock);
    is_told = r->is_told;
    if (is_told || r->is_over)
        word.status = GQA_OK; /* nothing that they do not know */
    r->is_over = true;
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->n; i++)
        if (gqa_ranks_has_link(r, i))
            was_heard = say(r->links[i].watch, &word) || was_heard;
    is_told =
        is_told || (r->rank > 0 && st != GQA_OK && was_heard && !r->is_lost);
    destroy(r);
    return is_told;
}

/* --- Who is who ----------------------------------------------------------- */

unsigned gqa_ranks_rank(const struct gqa_ranks *r)
{
    return r ? r->rank : 0;
}

unsigned gqa_ranks_n(const struct gqa_ranks *r)
{
    return r ? r->n : 1;
}

bool gqa_ranks_is_first(const struct gqa_ranks *r)
{
    return gqa_ranks_rank(r) == 0;
}

uint64_t gqa_ranks_part(const struct gqa_ranks *r, uint64_t n, uint64_t *first)
{
    const uint64_t rank = gqa_ranks_rank(r), ranks = gqa_ranks_n(r);
    const uint64_t more = n % ranks;

    *first = rank * (n / ranks) + (rank < more ? rank : more);
    return n / ranks + (rank < more);
}

uint64_t gqa_ranks_most(const struct gqa_ranks *r, uint64_t n)
{
    const uint64_t ranks = gqa_ranks_n(r);

    return n / ranks + (n % ranks > 0);
}

/* --- Verdicts ------------------------------------------------------------- */

static bool is_worse(const struct gqa_rank_word *a,
                     const struct gqa_rank_word *than)
{
    return a->status != GQA_OK &&
           (than->status == GQA_OK || (than->status == GQA_ERR_INTERRUPTED &&
                                       a->status != GQA_ERR_INTERRUPTED));
}

/* In the first: what all have come to. */
static enum gqa_status gather(struct gqa_ranks *r, struct gqa_rank_word *worst)
{
    for (unsigned i = 1; i < r->n; i++) {
        struct gqa_rank_word word;
        const enum gqa_status st = gqa_ranks_receive(r, i, &word, sizeof word);

        if (st != GQA_OK)
            return st;
        word.text[sizeof word.text - 1] = '\0';
        if (is_worse(&word, worst)) {
            worst->status = word.status;
            if (snprintf(worst->text, sizeof worst->text, "rank %u: %s", i,
                         word.text) < 0)
                worst->text[0] = '\0';
        }
    }
    return GQA_OK;
}

enum gqa_status gqa_ranks_agree(struct gqa_ranks *r, enum gqa_status st)
{
    struct gqa_rank_word word = {.status = (int32_t)st};
    enum gqa_status sent;

    if (!r)
        return st;
    if (st != GQA_OK)
        snprintf(word.text, sizeof word.text, "%s", gqa_error_message());
    sent = r->rank == 0 ? gather(r, &word)
                        : gqa_ranks_send(r, 0, &word, sizeof word);
    if (sent == GQA_OK)
        sent = gqa_ranks_tell(r, 0, &word, sizeof word);
    if (sent != GQA_OK)
        return sent;
    word.text[sizeof word.text - 1] = '\0';
    pthread_mutex_lock(&r->lock);
    r->is_told = r->rank > 0 && word.status != GQA_OK;
    pthread_mutex_unlock(&r->lock);
    return word.status == GQA_OK
               ? GQA_OK
               : gqa_fail((enum gqa_status)word.status, "%s", word.text);
}

bool gqa_ranks_decide(struct gqa_ranks *r, bool yes)
{
    return gqa_ranks_tell(r, 0, &yes, sizeof yes) == GQA_OK && yes;
}

enum gqa_status gqa_ranks_tell_text(struct gqa_ranks *r, char **text)
{
    size_t n = *text ? strlen(*text) + 1 : 0;
    enum gqa_status st = gqa_ranks_tell(r, 0, &n, sizeof n);

    if (st == GQA_OK && !gqa_ranks_is_first(r) && !(*text = calloc(n + 1, 1)))
        st = gqa_fail_nomem();
    if ((st = gqa_ranks_agree(r, st)) != GQA_OK)
        return st;
    return gqa_ranks_tell(r, 0, *text, n);
}

enum gqa_status gqa_ranks_check_same(struct gqa_ranks *r, const void *bytes,
                                     size_t n, const char *message)
{
    void *first = malloc(n);
    enum gqa_status st = gqa_ranks_agree(r, first ? GQA_OK : gqa_fail_nomem());

    if (st != GQA_OK || !first)
        goto done;
    memcpy(first, bytes, n);
    st = gqa_ranks_tell(r, 0, first, n);
    if (st == GQA_OK)
        st = gqa_ranks_agree(r, memcmp(first, bytes, n) == 0
                                    ? GQA_OK
                                    : gqa_fail(GQA_ERR_IO, "%s", message));
done:
    free(first);
    return st;
}

enum gqa_status gqa_ranks_finish(struct gqa_ranks *r, enum gqa_status st)
{
    bool is_over;

    if (!r)
        return st;
    st = gqa_ranks_agree(r, st);
    pthread_mutex_lock(&r->lock);
    r->is_over = !r->is_lost;
    is_over = r->is_over;
    pthread_mutex_unlock(&r->lock);
    /* None leaves, and may be lost, before all know that it is over. Whoever is
     * lost on the way there is not missed any more. */
    if (st == GQA_OK && is_over && gqa_ranks_agree(r, GQA_OK) != GQA_OK)
        gqa_info("another rank was lost when all was done");
    return st;
}

/* --- Devices -------------------------------------------------------------- */

enum gqa_status gqa_ranks_use(struct gqa_ranks *r,
                              const struct gqa_backend *backend,
                              struct gqa_device *device)
{
    struct gqa_communicator *joined = NULL;
    struct gqa_group_id id = {{0}};
    enum gqa_status st = GQA_OK;

    if (!r)
        return GQA_OK;
    r->backend = backend;
    r->device = device;
    if (!backend->collectives)
        return backend->in_place
                   ? GQA_OK
                   : gqa_fail(GQA_ERR_UNSUPPORTED,
                              "the plug-in for GPUs that was found knows "
                              "nothing of other GPUs");
    /* Each loads the library, so that none waits for one that cannot. */
    st = backend->collectives->make_id(device, &id);
    if ((st = gqa_ranks_agree(r, st)) != GQA_OK ||
        (st = gqa_ranks_tell(r, 0, &id, sizeof id)) != GQA_OK)
        return st;
    st = backend->collectives->join(device, &joined, &id, r->rank, r->n);
    pthread_mutex_lock(&r->lock);
    r->communicator = joined;
    if (st == GQA_OK && r->is_lost) {
        backend->collectives->give_up(joined);
        st = gqa_fail(GQA_ERR_IO, "%s", r->why);
    }
    pthread_mutex_unlock(&r->lock);
    return gqa_ranks_agree(r, st);
}

void gqa_ranks_let_go(struct gqa_ranks *r)
{
    struct gqa_communicator *communicator;

    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    communicator = r->communicator;
    r->communicator = NULL;
    pthread_mutex_unlock(&r->lock);
    if (communicator)
        r->backend->collectives->leave(communicator);
}

enum gqa_status gqa_ranks_check(struct gqa_ranks *r)
{
    bool is_lost;

    if (!r)
        return GQA_OK;
    pthread_mutex_lock(&r->lock);
    is_lost = r->is_lost;
    pthread_mutex_unlock(&r->lock);
    return is_lost ? gqa_ranks_lost(r) : GQA_OK;
}

enum gqa_status gqa_ranks_explain(struct gqa_ranks *r, enum gqa_status st)
{
    const enum gqa_status lost =
        st == GQA_ERR_INTERRUPTED ? gqa_ranks_check(r) : GQA_OK;

    return lost == GQA_OK ? st : lost;
}

enum gqa_status gqa_ranks_sum(struct gqa_ranks *r,
                              const struct gqa_summands *list, size_t n)
{
    if (!r)
        return GQA_OK;
    if (!r->communicator)
        return gqa_ranks_sum_host(r, list, n);
    return r->backend->collectives->sum(r->communicator, list, n);
}

enum gqa_status gqa_ranks_share(struct gqa_ranks *r, void *data,
                                uint64_t n_bytes)
{
    if (!r)
        return GQA_OK;
    if (!r->communicator)
        return gqa_ranks_tell(r, 0, data, (size_t)n_bytes);
    return r->backend->collectives->share(r->communicator, data, n_bytes);
}
