#include "io_calls.h"

#include <errno.h>
#include <sys/syscall.h>

#define FAULT(of, text, goes_on)                                   \
    {                                                              \
        .name = #of, .kind = IO_ERROR, .error = of, .words = text, \
        .stays = goes_on                                           \
    }

static const struct io_fault no_space = FAULT(ENOSPC, "no space left", true),
                             quota = FAULT(EDQUOT, "quota", true),
                             broken = FAULT(EIO, NULL, true),
                             again = FAULT(EINTR, NULL, false),
                             too_many = FAULT(EMFILE, NULL, true),
                             no_locks = FAULT(ENOLCK, NULL, true),
                             no_memory = FAULT(ENOMEM, "out of memory", true),
                             not_here =
                                 FAULT(EINVAL, "file system cannot", true);
static const struct io_fault half = {"short", IO_SHORT, 0, NULL, true},
                             end = {"end", IO_END, 0, NULL, false},
                             killed = {"SIGKILL", IO_KILL, 0, NULL, false},
                             ended = {"SIGTERM", IO_TERM, 0, NULL, false};

/* Some machines have no more than the newer ones. */
#define CALL(of, ...)   \
    {                   \
        SYS_##of, #of,  \
        {               \
            __VA_ARGS__ \
        }               \
    }

const struct io_call io_calls[] = {
    /* A write, and the end of a run, come at all points. */
    CALL(write, &no_space, &broken, &quota, &again, &half, &killed, &ended),
    CALL(pwrite64, &no_space, &broken, &quota, &again, &half, &killed, &ended),
    CALL(fsync, &no_space, &broken, &quota, &again, &killed, &ended),
    CALL(fdatasync, &no_space, &broken),
    CALL(openat, &no_space, &broken, &quota, &again, &too_many, &killed,
         &ended),
    CALL(read, &broken, &again, &half, &end, &killed, &ended),
    CALL(pread64, &broken, &again, &half, &end, &killed, &ended),
    CALL(renameat, &no_space, &broken, &quota, &killed, &ended),
    CALL(renameat2, &no_space, &broken, &quota, &not_here, &killed, &ended),
    CALL(linkat, &no_space, &broken, &quota, &killed, &ended),
    CALL(mkdirat, &no_space, &broken, &quota, &killed, &ended),
    CALL(unlinkat, &broken, &killed, &ended),
    CALL(ftruncate, &no_space, &broken, &again),
    CALL(fallocate, &no_space, &broken, &quota),
    CALL(copy_file_range, &no_space, &broken, &half),
    CALL(close, &broken, &again, &killed, &ended),
    CALL(mmap, &no_memory),
    CALL(newfstatat, &broken),
    CALL(fstat, &broken),
    CALL(fstatfs, &broken),
    CALL(getdents64, &broken),
    CALL(flock, &no_locks, &again),
    CALL(fchmod, &broken),
    CALL(readlinkat, &broken),
    CALL(recvfrom, &again),
    CALL(dup, &too_many),
    CALL(fcntl, &broken),
#ifdef SYS_open
    CALL(open, &no_space, &broken, &again, &too_many),
    CALL(rename, &no_space, &broken, &quota, &killed, &ended),
    CALL(link, &no_space, &broken),
    CALL(mkdir, &no_space, &broken),
    CALL(unlink, &broken, &killed, &ended),
    CALL(rmdir, &broken),
    CALL(readlink, &broken),
    CALL(poll, &again),
#endif
};
const size_t n_io_calls = sizeof io_calls / sizeof *io_calls;
