#include "common/progress.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ull.h"

enum { MAX_WIDTH = 100, MIN_BAR = 10, N_UPDATES = 6 };

struct gqa_progress {
    bool shown; /* stderr is a terminal that can redraw a line */
    const char *label;
    enum gqa_progress_unit unit;
    uint64_t start_ns, last_ns;
};

/* Whether a bar stands in the terminal's last line, whosever it is. */
static atomic_bool drawn;

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

/* Asked each time: terminals are resized. */
static unsigned terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

/* --- Text ----------------------------------------------------------------- */

enum { PART_SIZE = 64, N_TEXTS = 6 };

/* "2.00 of 8.00 GB", "1200 of 8192 tokens" */
static void say_done(char out[PART_SIZE], const struct gqa_progress_state *s)
{
    const bool giga = s->all >= 1000000000;
    const double unit = giga ? 1e9 : 1e6;

    if (s->unit == GQA_PROGRESS_TOKENS)
        snprintf(out, PART_SIZE, "%llu of %llu tokens", ULL(s->done),
                 ULL(s->all));
    else
        snprintf(out, PART_SIZE, "%.2f of %.2f %s", (double)s->done / unit,
                 (double)s->all / unit, giga ? "GB" : "MB");
}

static void say_rate(char out[PART_SIZE], const struct gqa_progress_state *s,
                     double rate)
{
    if (s->unit == GQA_PROGRESS_TOKENS)
        snprintf(out, PART_SIZE, "%.*f tokens/s", rate < 10 ? 1 : 0, rate);
    else
        snprintf(out, PART_SIZE, "%.2f GB/s", rate * 1e-9);
}

char *gqa_progress_format(char buf[GQA_PROGRESS_SIZE], unsigned width,
                          const struct gqa_progress_state *s)
{
    const double share =
        s->done < s->all ? (double)s->done / (double)s->all : 1.0;
    const double seconds = (double)s->elapsed_ns * 1e-9;
    const double rate = seconds > 0 ? (double)s->done / seconds : 0;
    const double left =
        rate > 0 && share < 1 ? (double)(s->all - s->done) / rate : 0;
    /* Full is only what is. */
    const int percent = s->done < s->all ? (int)fmin(share * 100, 99) : 100;
    const char *label = s->label ? s->label : "";
    const char *gap = s->label ? "  " : "";
    char done[PART_SIZE], speed[PART_SIZE], eta[PART_SIZE];
    char bar[MAX_WIDTH + 1], texts[N_TEXTS][GQA_PROGRESS_SIZE];
    size_t n, room;

    width = width > MAX_WIDTH ? MAX_WIDTH : width;
    say_done(done, s);
    say_rate(speed, s, rate);
    snprintf(eta, sizeof eta, "ETA %.0f:%02u", floor(left / 60),
             (unsigned)fmod(left, 60));
    /* From the longest to the shortest, and nothing. */
    n = (size_t)snprintf(texts[0], GQA_PROGRESS_SIZE,
                         "%.64s%s%3d%%  %s  %s  %s", label, gap, percent, done,
                         speed, eta);
    snprintf(texts[1], GQA_PROGRESS_SIZE, "%.64s%s%3d%%  %s", label, gap,
             percent, eta);
    snprintf(texts[2], GQA_PROGRESS_SIZE, "%.64s%s%3d%%", label, gap, percent);
    snprintf(texts[3], GQA_PROGRESS_SIZE, "%3d%%  %s", percent, eta);
    snprintf(texts[4], GQA_PROGRESS_SIZE, "%3d%%", percent);
    texts[5][0] = '\0';
    if (s->all == 0)
        snprintf(texts[0], GQA_PROGRESS_SIZE, "%.*s", (int)width, label);
    else if (n + MIN_BAR + 3 <= width) {
        room = width - n - 3;
        memset(bar, '.', room);
        memset(bar, '#', (size_t)(share * (double)room));
        bar[room] = '\0';
        snprintf(texts[0], GQA_PROGRESS_SIZE, "%.64s%s[%s] %3d%%  %s  %s  %s",
                 label, gap, bar, percent, done, speed, eta);
    }
    for (n = 0; strlen(texts[n]) > width;)
        n++;
    memcpy(buf, texts[n], GQA_PROGRESS_SIZE);
    return buf;
}

/* --- Drawing -------------------------------------------------------------- */

static void draw(const struct gqa_progress_state *state)
{
    char text[GQA_PROGRESS_SIZE];

    /* One column stays free: some terminals wrap when it is filled. */
    gqa_progress_format(text, terminal_width() - 1, state);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    drawn = true;
}

void gqa_progress_clear(void)
{
    if (!atomic_exchange(&drawn, false))
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

void gqa_progress_phase(struct gqa_progress *progress, const char *label,
                        enum gqa_progress_unit unit)
{
    progress->label = label;
    progress->unit = unit;
    progress->start_ns = progress->last_ns = gqa_clock_ns();
    if (progress->shown)
        draw(&(const struct gqa_progress_state){.label = label});
}

/* Whether it is time to draw again; then it counts as done. */
static bool is_due(struct gqa_progress *progress, uint64_t now)
{
    if (now - progress->last_ns < 1000000000u / N_UPDATES)
        return false;
    progress->last_ns = now;
    return true;
}

void gqa_progress_say(struct gqa_progress *progress, const char *text)
{
    if (progress->shown && is_due(progress, gqa_clock_ns()))
        draw(&(const struct gqa_progress_state){.label = text});
}

void gqa_progress_update(void *arg, uint64_t done, uint64_t all)
{
    struct gqa_progress *progress = arg;
    uint64_t now;

    if (!progress->shown)
        return;
    if (done >= all) {
        gqa_progress_clear();
        return;
    }
    now = gqa_clock_ns();
    if (!is_due(progress, now))
        return;
    draw(&(const struct gqa_progress_state){
        progress->label, progress->unit, done, all, now - progress->start_ns});
}

void gqa_progress_free(struct gqa_progress *progress)
{
    if (progress)
        gqa_progress_clear();
    free(progress);
}
