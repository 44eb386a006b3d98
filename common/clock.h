/* Time that only goes forward, and how long a part of a run took. */
#ifndef GQA_COMMON_CLOCK_H
#define GQA_COMMON_CLOCK_H

#include <stdint.h>

/* Since some moment before the process began. */
uint64_t gqa_clock_ns(void);
double gqa_clock_s(void);

/*
 * A time for JSON, to a microsecond: no more digits than 15 hold, so that how
 * long a run took does not decide with how many others are written.
 */
double gqa_clock_round(double seconds);

/*
 * Say at GQA_LOG_TIME how long `what` took, which began at start_s of
 * gqa_clock_s(), and how fast that was; n_bytes 0: no more than the time.
 */
void gqa_clock_log(const char *what, double start_s, uint64_t n_bytes);

#endif
