#include "common/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "common/interrupt.h"
#include "common/json.h"
#include "common/log.h"

int gqa_cli_usage_error(const char *tool, const char *fmt, ...)
{
    char line[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: %s\ntry '%s --help'\n", tool, line, tool);
    return GQA_EXIT_TROUBLE;
}

const char *gqa_cli_message(void)
{
    /* What was read is incomplete then: other complaints would mislead. */
    return gqa_json_check() == GQA_OK ? gqa_error_message() : "out of memory";
}

int gqa_cli_trouble(const char *tool)
{
    fprintf(stderr, "%s: %s\n", tool, gqa_cli_message());
    return GQA_EXIT_TROUBLE;
}

void gqa_cli_print_version(const char *tool)
{
    printf("%s (gqa tools) %s\n", tool, GQA_VERSION);
}

void gqa_cli_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            /* The lowest that is free. */
            open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != fd)
            _exit(GQA_EXIT_TROUBLE);
}

enum gqa_status gqa_cli_flush(void)
{
    enum gqa_status st;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return GQA_OK;
    st = gqa_fail_errno("cannot write standard output");
    __fpurge(stdout);
    clearerr(stdout);
    return st;
}

int gqa_cli_finish(const char *tool, int status)
{
    /* One failure is told of: what else went wrong may follow from it. */
    if ((ferror(stdout) || fclose(stdout) != 0) && status != GQA_EXIT_TROUBLE) {
        fprintf(stderr, "%s: cannot write standard output: %s\n", tool,
                strerror(errno));
        status = GQA_EXIT_TROUBLE;
    }
    gqa_interrupt_end();
    return status;
}

unsigned gqa_cli_n_processors(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CPU_COUNT(&set) > 0 ? (unsigned)CPU_COUNT(&set) : 1;
}
