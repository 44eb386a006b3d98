#include "common/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

/* Written by a handler, read by any thread: lock-free, so fit for both. */
static atomic_int pending;

static void note_signal(int number)
{
    (void)number;
    pending = 1;
}

void gqa_interrupt_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    /* The default comes back after the first: the second one ends us. */
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

bool gqa_interrupt_pending(void)
{
    return pending != 0;
}
