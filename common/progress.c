#include "common/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

enum { MIN_WIDTH = 40, MAX_WIDTH = 100, N_UPDATES = 6 };

struct gqa_progress {
    bool shown; /* stderr is a terminal that can redraw a line */
    bool drawn;
    uint64_t start_ns, last_ns;
};

enum gqa_status gqa_progress_create(struct gqa_progress **out,
                                    enum gqa_log_level level)
{
    struct gqa_progress *progress = calloc(1, sizeof *progress);
    const char *term = getenv("TERM");

    if (!progress)
        return gqa_fail_nomem();
    progress->shown = level >= GQA_LOG_WARN && isatty(STDERR_FILENO) && term &&
                      strcmp(term, "dumb") != 0;
    progress->start_ns = gqa_clock_ns();
    progress->last_ns = progress->start_ns;
    *out = progress;
    return GQA_OK;
}

static unsigned terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

char *gqa_progress_format(char *buf, size_t n, unsigned width,
                          uint64_t done_bytes, uint64_t all_bytes,
                          uint64_t elapsed_ns)
{
    const double share =
        done_bytes < all_bytes ? (double)done_bytes / (double)all_bytes : 1.0;
    const double seconds = (double)elapsed_ns * 1e-9;
    const double rate = seconds > 0 ? (double)done_bytes / seconds : 0;
    const double left =
        rate > 0 && share < 1 ? (double)(all_bytes - done_bytes) / rate : 0;
    const unsigned long minutes = (unsigned long)(left / 60);
    char figures[96], bar[MAX_WIDTH + 1];
    size_t bar_width, filled;
    int used;

    used = snprintf(figures, sizeof figures,
                    " %3d%%  %.2f of %.2f GB  %.2f GB/s  ETA %lu:%02lu",
                    (int)(share * 100), (double)done_bytes * 1e-9,
                    (double)all_bytes * 1e-9, rate * 1e-9, minutes,
                    (unsigned long)(left - (double)minutes * 60));
    width = width < MIN_WIDTH ? MIN_WIDTH : width;
    width = width > MAX_WIDTH ? MAX_WIDTH : width;
    bar_width = width > (unsigned)used + 12 ? width - (unsigned)used - 2 : 0;
    if (bar_width == 0) {
        snprintf(buf, n, "%.*s", (int)width, figures + 1);
        return buf;
    }
    filled = (size_t)(share * (double)bar_width);
    memset(bar, '#', filled);
    memset(bar + filled, '.', bar_width - filled);
    bar[bar_width] = '\0';
    snprintf(buf, n, "[%s]%s", bar, figures);
    return buf;
}

void gqa_progress_update(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
    struct gqa_progress *progress = arg;
    char text[2 * MAX_WIDTH];
    uint64_t now;

    if (!progress->shown)
        return;
    now = gqa_clock_ns();
    if (now - progress->last_ns < 1000000000u / N_UPDATES)
        return;
    progress->last_ns = now;
    progress->drawn = true;
    /* One column stays free: some terminals wrap when it is filled. */
    gqa_progress_format(text, sizeof text, terminal_width() - 1, done_bytes,
                        all_bytes, now - progress->start_ns);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
}

void gqa_progress_free(struct gqa_progress *progress)
{
    if (!progress)
        return;
    if (progress->drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    free(progress);
}
