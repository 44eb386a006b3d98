/*
 * SIGINT, SIGTERM and SIGHUP as a flag that long loops look at, so that a
 * run which is asked to stop can clean up after itself. Then it ends by that
 * very signal: a shell that sees a tool exit goes on with its loop.
 *
 * Who has nothing to clean up does better not to catch them.
 */
#ifndef GQA_COMMON_INTERRUPT_H
#define GQA_COMMON_INTERRUPT_H

#include <stdbool.h>

/*
 * Catch the signals, but for those that are ignored. A second one ends the
 * process at once. SIGPIPE and SIGXFSZ are ignored: that nobody reads what is
 * printed, or that a file may not grow, is an error of writing, after which is
 * cleaned up as after any other.
 *
 * clean  NULL, or what removes all that must not stay behind. It is then
 *        called in a signal handler, on any thread, before the process ends
 *        by a second signal, or because a second after the first one no loop
 *        has looked at the flag. Where it returns false, the process does not
 *        end now: it is tried again a second later.
 */
void gqa_interrupt_catch(bool (*clean)(void));

/* True once one has come, or while loops are asked to stop. Any thread. */
bool gqa_interrupt_pending(void);

/*
 * Ask all loops to stop as if a signal had come, or no longer: for who waits
 * for threads whose results nobody wants any more.
 */
void gqa_interrupt_ask(bool stop);

/* Ask them to from some time of gqa_clock_s() on; 0: no longer. */
void gqa_interrupt_ask_at(double clock_s);

/* Whether this, and nothing else, is why they stop. Any thread. */
bool gqa_interrupt_is_late(void);

/* End by the signal if one has come; from now on the next one does so. */
void gqa_interrupt_end(void);

#endif
