#include "formats/standard_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/entries.h"
#include "common/interrupt.h"
#include "common/temporary.h"
#include "formats/detect.h"

enum {
    PIECE_BYTES = 1 << 20,
    /* Enough to tell what it is: no mark of what is read lies deeper, but
     * behind a user block of HDF5 that is longer still. */
    FIRST_BYTES = PIECE_BYTES,
};

/* A regular file at its beginning, that a path leads to. */
static bool is_read_in_place(void)
{
    struct stat own, there;

    return fstat(STDIN_FILENO, &own) == 0 && S_ISREG(own.st_mode) &&
           lseek(STDIN_FILENO, 0, SEEK_CUR) == 0 &&
           stat(GQA_STANDARD_INPUT_PATH, &there) == 0 &&
           gqa_is_same(&own, &there);
}

static enum gqa_status open_in_place(int *fd, uint64_t *size)
{
    struct stat info;

    *fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (*fd < 0)
        return gqa_fail_errno(GQA_STANDARD_INPUT_PATH);
    if (fstat(*fd, &info) != 0) {
        close(*fd);
        return gqa_fail_errno(GQA_STANDARD_INPUT_PATH);
    }
    *size = (uint64_t)info.st_size;
    return GQA_OK;
}

/* *got: 0 at the end. */
static enum gqa_status read_some(size_t *got, void *buf, size_t n)
{
    struct pollfd more = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t here = -1;

    while (here < 0) {
        if (gqa_interrupt_pending())
            return gqa_fail(GQA_ERR_INTERRUPTED, "interrupted");
        here = read(STDIN_FILENO, buf, n);
        if (here < 0 && errno == EAGAIN)
            (void)poll(&more, 1, -1); /* reading tells what came of it */
        else if (here < 0 && errno != EINTR)
            return gqa_fail_errno(GQA_STANDARD_INPUT_PATH ": cannot read it");
    }
    *got = (size_t)here;
    return GQA_OK;
}

/* What it is, by its beginning: all of it, or FIRST_BYTES. */
static enum gqa_status check_start(int fd, uint64_t size)
{
    const struct gqa_format *format;
    enum gqa_status st = gqa_file_detect(&format, fd, size);

    if (st != GQA_OK)
        return gqa_fail_prefix(st, GQA_STANDARD_INPUT_PATH);
    return format->is_index ? gqa_standard_input_refuse_index() : GQA_OK;
}

static enum gqa_status fail_copy(enum gqa_status st, uint64_t size)
{
    return gqa_fail_prefix(
        st,
        GQA_STANDARD_INPUT_PATH
        ": no copy of it, after %llu bytes (TMPDIR names another folder; a "
        "file is read where it lies)",
        (unsigned long long)size);
}

static enum gqa_status copy(int fd, uint64_t *size, unsigned char *piece)
{
    bool is_known = false;
    enum gqa_status st;
    size_t got = 0;

    *size = 0;
    do {
        if ((st = read_some(&got, piece, PIECE_BYTES)) != GQA_OK)
            return st;
        if ((st = gqa_temporary_write(fd, piece, got, *size)) != GQA_OK)
            return fail_copy(st, *size);
        *size += got;
        if (!is_known && (got == 0 || *size >= FIRST_BYTES)) {
            if ((st = check_start(fd, *size)) != GQA_OK)
                return st;
            is_known = true;
        }
    } while (got > 0);
    return GQA_OK;
}

static enum gqa_status open_copy(int *fd, uint64_t *size)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    unsigned char *piece = NULL;
    enum gqa_status st = gqa_temporary_open(fd, 0, GQA_STANDARD_INPUT_PATH);

    if (st != GQA_OK)
        return fail_copy(st, 0);
    piece = malloc(PIECE_BYTES);
    /* A limit on file sizes is to be an error of write(), not our end. */
    sigaction(SIGXFSZ, &ignore, &before);
    st = piece ? copy(*fd, size, piece) : gqa_fail_nomem();
    sigaction(SIGXFSZ, &before, NULL);
    free(piece);
    if (st != GQA_OK)
        close(*fd);
    return st;
}

enum gqa_status gqa_standard_input_open(int *fd, uint64_t *size, bool *is_copy)
{
    if (isatty(STDIN_FILENO))
        return gqa_fail(GQA_ERR_USAGE,
                        "standard input is a terminal: send a checkpoint "
                        "into it, or name one");
    *is_copy = !is_read_in_place();
    return *is_copy ? open_copy(fd, size) : open_in_place(fd, size);
}

enum gqa_status gqa_standard_input_refuse_index(void)
{
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "%s: an index of shards, which lie beside it: give its "
                    "path",
                    GQA_STANDARD_INPUT_PATH);
}
