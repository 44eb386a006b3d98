/* Time that only goes forward, and how long a part of a run took. */
#ifndef GQA_COMMON_CLOCK_H
#define GQA_COMMON_CLOCK_H

#include <stdint.h>

/* Since some moment before the process began. */
uint64_t gqa_clock_ns(void);
double gqa_clock_s(void);

/*
 * Say at GQA_LOG_TIME how long `what` took, which began at start_s of
 * gqa_clock_s(), and how fast that was; n_bytes 0: no more than the time.
 */
void gqa_clock_log(const char *what, double start_s, uint64_t n_bytes);

#endif
