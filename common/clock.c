#include "common/clock.h"

#include <math.h>
#include <time.h>

#include "common/log.h"

uint64_t gqa_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double gqa_clock_s(void)
{
    return 1e-9 * (double)gqa_clock_ns();
}

double gqa_clock_round(double seconds)
{
    return round(seconds * 1e6) / 1e6;
}

void gqa_clock_log(const char *what, double start_s, uint64_t n_bytes)
{
    const double seconds = gqa_clock_s() - start_s;

    if (n_bytes && seconds > 0)
        gqa_log(GQA_LOG_TIME, "time: %s: %.3f s, %.2f GB/s", what, seconds,
                1e-9 * (double)n_bytes / seconds);
    else
        gqa_log(GQA_LOG_TIME, "time: %s: %.3f s", what, seconds);
}
