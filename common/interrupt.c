#include "common/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "common/clock.h"

enum { N_SIGNALS = 3, PATIENCE_SECONDS = 1 };

static const int signals[N_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};

/* Those that were ignored when the tool was started stay so: nohup. */
static bool is_caught[N_SIGNALS];

/*
 * The first one that came, or 0. Written by a handler, read by any thread:
 * lock-free, so fit for both.
 */
static atomic_int pending;

static atomic_bool asked;

/* Of gqa_clock_ns(), or 0. */
static _Atomic uint64_t deadline_ns;

static bool (*clean_up)(void);

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void restore_defaults(void)
{
    for (size_t i = 0; i < N_SIGNALS; i++)
        if (is_caught[i])
            handle(signals[i], SIG_DFL);
}

/* In a handler: the end comes when that returns, or now. */
static void end_now(int number)
{
    if (clean_up && !clean_up()) {
        alarm(PATIENCE_SECONDS);
        return;
    }
    restore_defaults();
    raise(number);
}

static void note_signal(int number)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&pending, &none, number))
        end_now(number);
    else if (clean_up)
        alarm(PATIENCE_SECONDS);
}

static void lose_patience(int number)
{
    (void)number;
    end_now(pending);
}

void gqa_interrupt_catch(bool (*clean)(void))
{
    struct sigaction before;

    clean_up = clean;
    handle(SIGPIPE, SIG_IGN);
    handle(SIGXFSZ, SIG_IGN);
    if (clean)
        handle(SIGALRM, lose_patience);
    for (size_t i = 0; i < N_SIGNALS; i++) {
        is_caught[i] = sigaction(signals[i], NULL, &before) == 0 &&
                       before.sa_handler != SIG_IGN;
        if (is_caught[i])
            handle(signals[i], note_signal);
    }
}

bool gqa_interrupt_pending(void)
{
    return pending != 0 || asked || gqa_interrupt_is_late();
}

void gqa_interrupt_ask(bool stop)
{
    asked = stop;
}

void gqa_interrupt_ask_at(double clock_s)
{
    deadline_ns = clock_s > 0 ? (uint64_t)(1e9 * clock_s) : 0;
}

bool gqa_interrupt_is_late(void)
{
    const uint64_t deadline = deadline_ns;

    return deadline != 0 && pending == 0 && !asked &&
           gqa_clock_ns() >= deadline;
}

void gqa_interrupt_end(void)
{
    restore_defaults();
    if (pending)
        raise(pending);
}
