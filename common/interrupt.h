/*
 * SIGINT, SIGTERM and SIGHUP as a flag that long loops look at, so that a
 * run which is asked to stop can clean up after itself.
 */
#ifndef GQA_COMMON_INTERRUPT_H
#define GQA_COMMON_INTERRUPT_H

#include <stdbool.h>

/* Catch the signals; a second one ends the process at once. */
void gqa_interrupt_catch(void);

/* True once one has come. Any thread. */
bool gqa_interrupt_pending(void);

#endif
