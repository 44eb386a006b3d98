/* What is not committed goes when a signal ends the process. */
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "common/atomic.h"
#include "common/atomic_target.h"

/*
 * Who may change what is not committed. Lock-free, so fit for a handler: it
 * takes the lock or goes away, and never gives it back.
 */
static atomic_bool is_locked;

static struct gqa_atomic *uncommitted;

static bool try_lock(void)
{
    bool expected = false;

    return atomic_compare_exchange_strong(&is_locked, &expected, true);
}

void gqa_atomic_lock(void)
{
    while (!try_lock())
        pause();
}

void gqa_atomic_unlock(void)
{
    is_locked = false;
}

void gqa_atomic_note(struct gqa_atomic *a)
{
    gqa_atomic_lock();
    a->next = uncommitted;
    uncommitted = a;
    gqa_atomic_unlock();
}

void gqa_atomic_forget(const struct gqa_atomic *a)
{
    struct gqa_atomic **at = &uncommitted;

    while (*at && *at != a)
        at = &(*at)->next;
    if (*at)
        *at = a->next;
}

bool gqa_atomic_clean(void)
{
    if (!try_lock())
        return false;
    for (struct gqa_atomic *a = uncommitted; a; a = a->next)
        (void)gqa_atomic_discard(a);
    return true;
}
