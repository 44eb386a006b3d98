#include "deprive.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The low half of an argument: all that we run on is little-endian. */
#define ARGUMENT(i) \
    ((uint32_t)(offsetof(struct seccomp_data, args) + (size_t)8 * (i)))
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define FAIL(error)  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define UNLESS(value, n) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, (n))
#define NUMBER       LOAD((uint32_t)offsetof(struct seccomp_data, nr))
#define ALLOW        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LENGTH(code) (sizeof(code) / sizeof *(code))

enum { LANDLOCK_CREATE = 444 };

bool deprive_has_landlock(void)
{
    const long version = syscall(LANDLOCK_CREATE, NULL, (size_t)0, 1);

    return version >= 1;
}

static void forbid(struct sock_filter *code, size_t n)
{
    const struct sock_fprog program = {(unsigned short)n, code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        return;
    perror("deprive");
    exit(77);
}

void deprive(unsigned what)
{
    struct sock_filter landlock[] = {
        NUMBER,
        UNLESS(LANDLOCK_CREATE, 1),
        FAIL(ENOSYS),
        ALLOW,
    };
    /* Threads are clones as well; clone3() cannot be looked into. */
    struct sock_filter forks[] = {
        NUMBER,
        UNLESS(__NR_clone3, 1),
        FAIL(ENOSYS),
        UNLESS(__NR_clone, 3),
        LOAD(ARGUMENT(0)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        FAIL(EAGAIN),
        ALLOW,
    };
    struct sock_filter filter[] = {
        NUMBER,
        UNLESS(__NR_prctl, 3),
        LOAD(ARGUMENT(0)),
        UNLESS(PR_SET_SECCOMP, 1),
        FAIL(EINVAL),
        ALLOW,
    };

    if (what & DEPRIVE_LANDLOCK)
        forbid(landlock, LENGTH(landlock));
    if (what & DEPRIVE_FORK)
        forbid(forks, LENGTH(forks));
    /* Last of all, since nothing more can be forbidden then. */
    if (what & DEPRIVE_FILTER)
        forbid(filter, LENGTH(filter));
}
