#include "formats/hdf5/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef GQA_HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MEMORY_BYTES ((uint64_t)GQA_SANDBOX_MIB << 20)

enum { FILE_FD = 3, CHANNEL_FD = 4 };

bool gqa_sandbox_is_watched(void)
{
#ifdef GQA_HAVE_VALGRIND
    return RUNNING_ON_VALGRIND > 0;
#else
    return false;
#endif
}

bool gqa_sandbox_keep(int *file, int *channel)
{
    /* First out of the way, since either may be where the other goes. */
    const int f = fcntl(*file, F_DUPFD, CHANNEL_FD + 1);
    const int c = fcntl(*channel, F_DUPFD, CHANNEL_FD + 1);
    int null;

    if (f < 0 || c < 0 || dup2(f, FILE_FD) < 0)
        return false;
    *channel = c; /* what it was may be the file now */
    if (dup2(c, CHANNEL_FD) < 0)
        return false;
    closefrom(CHANNEL_FD + 1);
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    /*
     * A sanitizer's report must come through. The library prints why it does
     * not start, which goes nowhere, and must not fail: errno is asked for
     * the real reason.
     */
    if (!SANITIZED && (null < 0 || dup2(null, STDERR_FILENO) < 0))
        close(STDERR_FILENO);
    close(null);
    *file = FILE_FD;
    *channel = CHANNEL_FD;
    return true;
}

static void limit(int resource, rlim_t value)
{
    const struct rlimit both = {value, value};

    /* It can only fail where the limit is lower already. */
    (void)setrlimit((__rlimit_resource_t)resource, &both);
}

/* Beyond what the process has inherited, which may be much. */
static void limit_memory(void)
{
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128] = "";
    unsigned long long pages = 0;

    if (fd >= 0) {
        if (read(fd, text, sizeof text - 1) > 0)
            pages = strtoull(text, NULL, 10);
        close(fd);
    }
    if (pages > 0)
        limit(RLIMIT_AS,
              (rlim_t)(pages * (uint64_t)sysconf(_SC_PAGESIZE) + MEMORY_BYTES));
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/*
 * The last three are what libraries ask for in passing: refused, they would
 * take the place of malloc()'s ENOMEM in errno.
 */
static const int allowed[] = {
    __NR_read,
    __NR_pread64,
    __NR_write,
    __NR_lseek,
    __NR_fstat,
    __NR_close,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_brk,
    __NR_futex,
    __NR_exit,
    __NR_exit_group,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_sigaltstack,
    __NR_clock_gettime,
    __NR_gettimeofday,
    __NR_getrandom,
    __NR_getpid,
    __NR_getppid,
    __NR_gettid,
    __NR_sched_yield,
    __NR_restart_syscall,
    __NR_writev,
    __NR_getcwd,
    __NR_sysinfo,
#ifdef __NR_time
    __NR_time,
#endif
};

enum { N_ALLOWED = sizeof allowed / sizeof *allowed };

/* The low half of an argument: both architectures are little-endian. */
#define ARGUMENT(i) \
    ((uint32_t)(offsetof(struct seccomp_data, args) + (size_t)8 * (i)))
#define LOAD(offset)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))
/* Skip n instructions unless the loaded value is this. */
#define UNLESS(value, n) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (n))

/*
 * What asks for as much memory in one piece as the limit leaves in all follows
 * a damaged size: it ends here, and is told from a machine that is short.
 */
#define KILL_IF_LONG(i)                                                      \
    LOAD(ARGUMENT(i) + 4), UNLESS(0, 2), LOAD(ARGUMENT(i)),                  \
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)GQA_SANDBOX_MIB << 20, \
                 0, 1),                                                      \
        RETURN(SECCOMP_RET_KILL_PROCESS)

static bool filter_calls(void)
{
    static const struct sock_filter start[] = {
        LOAD((uint32_t)offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD((uint32_t)offsetof(struct seccomp_data, nr)),
#if !SANITIZED
        UNLESS(__NR_mmap, 5 + 4),
        KILL_IF_LONG(1),
#else
        UNLESS(__NR_mmap, 4),
#endif
        /* Memory, but none to run code from. */
        LOAD(ARGUMENT(2)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | EACCES),
        RETURN(SECCOMP_RET_ALLOW),
#if !SANITIZED
        UNLESS(__NR_mremap, 5 + 1),
        KILL_IF_LONG(2),
        RETURN(SECCOMP_RET_ALLOW),
#endif
        UNLESS(__NR_mprotect, 4),
        LOAD(ARGUMENT(2)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | EACCES),
        RETURN(SECCOMP_RET_ALLOW),
        /* Sends nothing and says nothing: abort() ends us without, and errno
         * tells that malloc() failed before. */
        UNLESS(__NR_tgkill, 1),
        RETURN(SECCOMP_RET_ERRNO),
    };
    enum { N_START = sizeof start / sizeof *start };
    struct sock_filter code[N_START + 2 * N_ALLOWED + 1];
    struct sock_fprog program = {.filter = code};
    unsigned short n = 0;

    while (n < N_START) {
        code[n] = start[n];
        n++;
    }
    for (unsigned i = 0; i < N_ALLOWED; i++) {
        code[n++] = (struct sock_filter)UNLESS(allowed[i], 1);
        code[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    }
    code[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EACCES);
    program.len = n;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#else

static bool filter_calls(void)
{
    return false;
}

#endif

/*
 * Landlock, of kernel 5.13 and later. Its header may be older than the kernel
 * or missing; numbers and layout are the same everywhere, and for good.
 */
enum {
    LANDLOCK_CREATE = 444,
    LANDLOCK_RESTRICT = 446,
    LANDLOCK_ASK_VERSION = 1,
};

struct landlock {
    uint64_t files;   /* version 1 */
    uint64_t network; /* 4 */
    uint64_t scopes;  /* 6: abstract sockets and signals of others */
};

/* All that a version can forbid, and nothing that is allowed after all. */
static bool forbid_files(void)
{
    const long version =
        syscall(LANDLOCK_CREATE, NULL, (size_t)0, LANDLOCK_ASK_VERSION);
    struct landlock all = {.files = (UINT64_C(1) << 13) - 1};
    size_t n = sizeof all.files;
    long rules;
    bool done;

    if (version < 1)
        return false;
    if (version >= 2)
        all.files |= UINT64_C(1) << 13; /* from folder to folder */
    if (version >= 3)
        all.files |= UINT64_C(1) << 14; /* truncate */
    if (version >= 4) {
        all.network = 3;
        n = offsetof(struct landlock, scopes);
    }
    if (version >= 5)
        all.files |= UINT64_C(1) << 15; /* devices */
    if (version >= 6) {
        all.scopes = 3;
        n = sizeof all;
    }
    rules = syscall(LANDLOCK_CREATE, &all, n, 0);
    if (rules < 0)
        return false;
    done = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(LANDLOCK_RESTRICT, (int)rules, 0) == 0;
    close((int)rules);
    return done;
}

void gqa_sandbox_limit(unsigned cpu_s)
{
    /* The harder one, which kills and does not say why, comes later. */
    const struct rlimit cpu = {cpu_s, cpu_s + 1};

    (void)setrlimit(RLIMIT_CPU, &cpu);
    limit(RLIMIT_CORE, 0);
    /* Sanitizers reserve terabytes, and write their reports to files. */
    if (!SANITIZED && !gqa_sandbox_is_watched()) {
        limit(RLIMIT_FSIZE, 0);
        limit_memory();
    }
}

enum gqa_sandbox gqa_sandbox_enter(void)
{
    if (filter_calls())
        return GQA_SANDBOX_CALLS;
    if (!forbid_files())
        return GQA_SANDBOX_NONE;
    limit(RLIMIT_NPROC, 0);
    /* Sockets, too, are made of descriptors; those that are open remain. */
    if (!SANITIZED)
        limit(RLIMIT_NOFILE, 0);
    return GQA_SANDBOX_FILES;
}
