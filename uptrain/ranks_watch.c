/*
 * The thread that sees at once when another rank fails or is gone, and ends
 * whatever this one waits for it with.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "uptrain/ranks_state.h"

enum {
    GRACE_S = 15, /* to come to an end, once some rank was lost */
    NEWS_S = 3,   /* that a broken connection is behind its reason, at most */
};

/* --- The thread ----------------------------------------------------------- */

/* is_told: who failed is known elsewhere. */
static void lose(struct gqa_ranks *r, bool is_told, const char *why)
{
    pthread_mutex_lock(&r->lock);
    if (r->is_over || r->is_lost) {
        pthread_mutex_unlock(&r->lock);
        return;
    }
    r->is_lost = true;
    r->is_told = is_told;
    r->was_interrupted = gqa_interrupt_pending();
    snprintf(r->why, sizeof r->why, "%s", why);
    gqa_interrupt_ask(true);
    for (unsigned i = 0; i < r->n; i++)
        if (r->links[i].data >= 0)
            (void)shutdown(r->links[i].data, SHUT_RDWR);
    pthread_cond_broadcast(&r->changed);
    if (r->communicator)
        r->backend->collectives->give_up(r->communicator);
    pthread_mutex_unlock(&r->lock);
}

/* The last word of another one, or none. */
static void hear(struct gqa_ranks *r, unsigned from)
{
    struct gqa_rank_word word = {.status = GQA_OK};
    char why[GQA_RANKS_TEXT + 32];
    size_t got = 0;

    while (got < sizeof word) {
        const ssize_t k = recv(r->links[from].watch, (char *)&word + got,
                               sizeof word - got, 0);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        got += (size_t)k;
    }
    if (got < sizeof word) {
        snprintf(why, sizeof why,
                 "rank %u ended without a word: it was killed, or the "
                 "connection to it is lost",
                 from);
        lose(r, false, why);
        return;
    }
    word.text[sizeof word.text - 1] = '\0';
    if (word.status == GQA_OK)
        return;
    /* The first one says what has failed, wherever that was. */
    if (r->rank == 0)
        snprintf(why, sizeof why, "rank %u: %s", from, word.text);
    else
        snprintf(why, sizeof why, "%s", word.text);
    lose(r, r->rank > 0, why);
}

/* Until the pipe is closed, or for ever where the main thread does not come. */
static void wait_for_end(struct gqa_ranks *r)
{
    struct pollfd p = {.fd = r->wake[0], .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, GRACE_S * 1000);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        r->stuck(r->why);
}

/* All that it takes is taken. */
static void say_begun(struct gqa_ranks *r)
{
    pthread_mutex_lock(&r->lock);
    r->has_begun = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void *watch(void *arg)
{
    struct gqa_ranks *r = arg;
    struct pollfd *list = calloc(r->n + 1, sizeof *list);

    if (!list) {
        lose(r, false, "out of memory");
        return NULL;
    }
    for (unsigned i = 0; i < r->n; i++)
        list[i] = (struct pollfd){.fd = r->links[i].watch, .events = POLLIN};
    list[r->n] = (struct pollfd){.fd = r->wake[0], .events = POLLIN};
    say_begun(r);
    while (list[r->n].revents == 0 && !r->is_lost) {
        if (poll(list, r->n + 1, -1) < 0)
            continue;
        for (unsigned i = 0; i < r->n; i++)
            if (list[i].revents != 0) {
                hear(r, i);
                list[i] = (struct pollfd){.fd = -1};
            }
    }
    free(list);
    if (r->is_lost)
        wait_for_end(r);
    return NULL;
}

/* --- Others --------------------------------------------------------------- */

enum gqa_status gqa_ranks_watch(struct gqa_ranks *r)
{
    if (pipe2(r->wake, O_CLOEXEC) != 0) {
        r->wake[0] = r->wake[1] = -1;
        return gqa_fail_errno("cannot make a pipe");
    }
    errno = pthread_create(&r->watcher, NULL, watch, r);
    if (errno != 0)
        return gqa_fail_errno("cannot start a thread");
    r->is_watched = true;
    /* Whoever forks while a thread is set up may leave the child with locks of
     * the allocator that nobody opens (those of sanitizers): from here on this
     * one only waits. */
    pthread_mutex_lock(&r->lock);
    while (!r->has_begun && !r->is_lost)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return GQA_OK;
}

void gqa_ranks_unwatch(struct gqa_ranks *r)
{
    if (r->wake[1] >= 0)
        close(r->wake[1]);
    if (r->is_watched)
        pthread_join(r->watcher, NULL);
    if (r->wake[0] >= 0)
        close(r->wake[0]);
}

enum gqa_status gqa_ranks_lost(struct gqa_ranks *r)
{
    struct timespec until;
    char why[GQA_RANKS_TEXT];
    bool interrupted;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += NEWS_S;
    pthread_mutex_lock(&r->lock);
    while (!r->is_lost &&
           pthread_cond_timedwait(&r->changed, &r->lock, &until) != ETIMEDOUT)
        continue;
    interrupted = r->was_interrupted;
    snprintf(why, sizeof why, "%s",
             r->is_lost ? r->why : "the connection to another rank is lost");
    pthread_mutex_unlock(&r->lock);
    return interrupted ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
                       : gqa_fail(GQA_ERR_IO, "%s", why);
}
