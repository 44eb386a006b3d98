#include "io_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trial.h"

/* Of Linux 5.19: a signal does not interrupt a call that is asked about. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { MAX_ROWS = 100, SECONDS = 60, MAX_SHORT = 8 << 20, PAGE = 4096 };

static struct {
    const struct io_plan *plan;
    struct io_run *out;
    pid_t pid;
    int listener;
    bool has_begun, has_failed;
} watch;

/* -- In the process that becomes the command -- */

static int ask_from_now_on(void)
{
    struct sock_filter code[2 + 2 * MAX_ROWS];
    struct sock_fprog program = {.filter = code};
    unsigned short n = 0;

    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < n_io_calls && i < MAX_ROWS; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)io_calls[i].number, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                                 SECCOMP_RET_USER_NOTIF);
    }
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program.len = n;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        SECCOMP_FILTER_FLAG_NEW_LISTENER |
                            SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                        &program);
}

union one_descriptor {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void send_descriptor(int to, int fd)
{
    union one_descriptor room = {{0}};
    char byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);

    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    if (sendmsg(to, &message, 0) != 1)
        _exit(127);
}

static int receive_descriptor(int from)
{
    union one_descriptor room = {{0}};
    char byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    int fd = -1;

    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 &&
        CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* -- In the process that answers -- */

/* The process of a thread, or -1. */
static pid_t process_of(uint32_t thread)
{
    char path[64], line[128];
    int pid = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%u/status", thread);
    file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Tgid: %d", &pid) == 1)
            break;
    if (file)
        fclose(file);
    return pid;
}

/* A descriptor of another process, as a copy; -1 where it cannot be had. */
static int borrow(uint32_t thread, int fd)
{
    const int process = (int)syscall(SYS_pidfd_open, process_of(thread), 0);
    const int copy =
        process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, fd, 0);

    if (process >= 0)
        close(process);
    return copy;
}

/* Whole pages, where there are some: past the cache nothing else goes. */
static size_t half_of(uint64_t n)
{
    const uint64_t half = n >= 2 * PAGE ? n / 2 / PAGE * PAGE : n / 2;

    return half < MAX_SHORT ? (size_t)half : MAX_SHORT;
}

static ssize_t move_half(const struct seccomp_notif *call, int fd)
{
    static _Alignas(PAGE) unsigned char room[MAX_SHORT];
    const __u64 *args = call->data.args;
    struct iovec here = {room, half_of(args[2])};
    struct iovec there = {(void *)(uintptr_t)args[1], here.iov_len};
    const int number = call->data.nr;
    ssize_t n;

    if (number == SYS_write || number == SYS_pwrite64) {
        if (process_vm_readv((pid_t)call->pid, &here, 1, &there, 1, 0) !=
            (ssize_t)here.iov_len)
            return -1;
        return number == SYS_write
                   ? write(fd, room, here.iov_len)
                   : pwrite(fd, room, here.iov_len, (off_t)args[3]);
    }
    n = number == SYS_read ? read(fd, room, here.iov_len)
                           : pread(fd, room, here.iov_len, (off_t)args[3]);
    here.iov_len = there.iov_len = n > 0 ? (size_t)n : 0;
    if (n > 0 &&
        process_vm_writev((pid_t)call->pid, &here, 1, &there, 1, 0) != n)
        return -1;
    return n;
}

/* What was done in the caller's place, or -1: nothing could be. */
static ssize_t do_half(const struct seccomp_notif *call)
{
    ssize_t n = -1;
    int fd;

    if (call->data.args[2] < 2)
        return -1;
    fd = borrow(call->pid, (int)call->data.args[0]);
    if (fd < 0)
        return -1;
    n = move_half(call, fd);
    close(fd);
    return n;
}

/* Not a socket, nor what the kernel tells of the machine. */
static bool is_on_disk(const char *path)
{
    return *path == '/' && strncmp(path, "/proc/", 6) != 0 &&
           strncmp(path, "/sys/", 5) != 0;
}

/* What a descriptor stands for; "": that cannot be seen. */
static void name_of(char name[PATH_MAX], uint32_t thread, uint64_t fd)
{
    char path[64];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%u/fd/%d", thread, (int)fd);
    n = readlink(path, name, PATH_MAX - 1);
    name[n > 0 ? n : 0] = '\0';
}

static bool is_file(uint32_t thread, uint64_t fd)
{
    char name[PATH_MAX];

    name_of(name, thread, fd);
    return is_on_disk(name);
}

/* The loader takes libraries to be read whole. */
static bool is_library(uint32_t thread, uint64_t fd)
{
    char name[PATH_MAX];
    const char *ending;

    name_of(name, thread, fd);
    ending = strstr(name, ".so");
    return ending && (ending[3] == '.' || ending[3] == '\0');
}

/* A name is one of a file unless it can be seen that it is none. */
static bool names_file(uint32_t thread, uint64_t address)
{
    char start[8] = "";
    struct iovec here = {start, sizeof start - 1};
    struct iovec there = {(void *)(uintptr_t)address, here.iov_len};

    return process_vm_readv((pid_t)thread, &here, 1, &there, 1, 0) <= 0 ||
           *start != '/' || is_on_disk(start);
}

/* Whether it is one of those that this is about. */
static bool counts(const struct seccomp_notif *call)
{
    const __u64 *args = call->data.args;

    switch (call->data.nr) {
    case SYS_openat:
        return names_file(call->pid, args[1]);
    case SYS_mmap:
        return !(args[3] & MAP_ANONYMOUS); /* memory has its own campaign */
    case SYS_write:
        /* Nothing is left to say it on. */
        return args[0] != STDERR_FILENO && is_file(call->pid, args[0]);
    case SYS_read:
        return is_file(call->pid, args[0]) && !is_library(call->pid, args[0]);
    case SYS_pread64:
        return !is_library(call->pid, args[0]);
    case SYS_close:
        return is_file(call->pid, args[0]);
    case SYS_fcntl:
        return args[1] == F_SETFL;
    default:
        return true;
    }
}

static bool can_fail_so(const struct io_call *row, const struct io_fault *fault)
{
    for (const struct io_fault *const *f = row->faults; *f; f++)
        if (*f == fault)
            return true;
    return false;
}

static void fail_call(const struct seccomp_notif *call,
                      struct seccomp_notif_resp *answer)
{
    const struct io_fault *fault = watch.plan->fault;
    ssize_t n;

    watch.has_failed = true;
    switch (fault->kind) {
    case IO_ERROR:
        answer->flags = 0;
        answer->error = -fault->error;
        break;
    case IO_SHORT:
        n = do_half(call);
        if (n >= 0) {
            answer->flags = 0;
            answer->val = n;
        }
        break;
    case IO_END:
        answer->flags = 0;
        break;
    case IO_KILL:
        kill(watch.pid, SIGKILL);
        break;
    case IO_TERM:
        kill(watch.pid, SIGTERM);
        break;
    }
}

static void answer_call(const struct seccomp_notif *call,
                        struct seccomp_notif_resp *answer)
{
    struct io_run *out = watch.out;
    size_t row = 0, i;

    while (row < n_io_calls && io_calls[row].number != call->data.nr)
        row++;
    /* The first thing in main() of all tools (gqa_cli_begin()). */
    if (call->data.nr == SYS_fcntl && call->data.args[0] == STDIN_FILENO &&
        call->data.args[1] == F_GETFD)
        watch.has_begun = true;
    if (!watch.has_begun || row == n_io_calls || !counts(call))
        return;
    i = out->n_calls++;
    if (i < IO_MAX_CALLS)
        out->calls[i] = (unsigned char)row;
    if (i == watch.plan->at || (watch.plan->and_later && watch.has_failed &&
                                can_fail_so(&io_calls[row], watch.plan->fault)))
        fail_call(call, answer);
}

static time_t seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void answer_all(void)
{
    const time_t deadline = seconds_now() + SECONDS;
    struct pollfd listener = {.fd = watch.listener, .events = POLLIN};
    struct seccomp_notif_sizes sizes;
    struct seccomp_notif *call;
    struct seccomp_notif_resp *answer;

    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0)
        die("seccomp");
    call = malloc(sizes.seccomp_notif + sizeof *call);
    answer = malloc(sizes.seccomp_notif_resp + sizeof *answer);
    if (!call || !answer)
        die("malloc");
    for (;;) {
        const int n = poll(&listener, 1, SECONDS * 1000);

        if (n == 0 || seconds_now() > deadline) {
            watch.out->hangs = true;
            kill(-watch.pid, SIGKILL);
        }
        if (n == 0)
            continue;
        if (n > 0 && !(listener.revents & POLLIN))
            break; /* none of its processes is left */
        memset(call, 0, sizes.seccomp_notif);
        if (n < 0 || ioctl(watch.listener, SECCOMP_IOCTL_NOTIF_RECV, call) != 0)
            continue; /* killed meanwhile */
        memset(answer, 0, sizes.seccomp_notif_resp);
        answer->id = call->id;
        answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        answer_call(call, answer);
        (void)ioctl(watch.listener, SECCOMP_IOCTL_NOTIF_SEND, answer);
    }
    free(call);
    free(answer);
}

bool io_watch(struct io_run *out, const struct io_plan *plan,
              void (*become)(void))
{
    int ends[2];

    memset(out, 0, sizeof *out);
    watch.plan = plan;
    watch.out = out;
    watch.has_begun = watch.has_failed = false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        die("socketpair");
    watch.pid = fork();
    if (watch.pid == 0) {
        int listener;

        setpgid(0, 0);
        listener = ask_from_now_on();
        if (listener < 0)
            _exit(127);
        send_descriptor(ends[1], listener);
        become();
        _exit(127);
    }
    close(ends[1]);
    watch.listener = watch.pid < 0 ? -1 : receive_descriptor(ends[0]);
    close(ends[0]);
    if (watch.listener >= 0)
        answer_all();
    if (watch.pid < 0 || waitpid(watch.pid, &out->status, 0) != watch.pid)
        die("fork");
    if (watch.listener >= 0)
        close(watch.listener);
    return watch.listener >= 0;
}
