#include "uptrain/ranks_meet.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/interrupt.h"

enum {
    TICK_MS = 100,
    HELLO_MS = 5000, /* that who connects has to say who he is */
    /* Silence of a host, while something is sent, and else: seconds, and
     * tries after them. */
    SILENCE_MS = 40000,
    IDLE_S = 20,
    RETRY_S = 5,
    N_RETRIES = 4,
};

/* In the order of bytes of this machine: others are of its kind. */
struct hello {
    char magic[8];
    uint64_t job;
    uint32_t rank, n;
    uint32_t is_watch;
    uint32_t unused;
};

static const char magic[8] = {'g', 'q', 'a', 'r', 'a', 'n', 'k', '1'};
static const char welcome[8] = {'w', 'e', 'l', 'c', 'o', 'm', 'e', '1'};

/* --- Sockets -------------------------------------------------------------- */

static void set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

/* Small words go at once, and a host that is gone is missed. */
static void tune(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SILENCE_MS);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, RETRY_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, N_RETRIES);
}

static bool read_all(int fd, void *bytes, size_t n)
{
    const double until = gqa_clock_s() + HELLO_MS / 1000.0;
    char *at = bytes;

    while (n > 0 && gqa_clock_s() < until) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t k;

        if (poll(&p, 1, TICK_MS) <= 0)
            continue;
        k = recv(fd, at, n, MSG_DONTWAIT);
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return n == 0;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
    return send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Only this machine is listened to where its name is such. */
static bool is_loopback(const struct addrinfo *a)
{
    const struct sockaddr_in *in = (const void *)a->ai_addr;

    if (a->ai_family == AF_INET)
        return ntohl(in->sin_addr.s_addr) == INADDR_LOOPBACK;
    return a->ai_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(
               &((const struct sockaddr_in6 *)(const void *)a->ai_addr)
                    ->sin6_addr);
}

static enum gqa_status look_up(struct addrinfo **out, const char *host,
                               unsigned port, int flags)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = flags};
    char service[16];
    int error;

    snprintf(service, sizeof service, "%u", port);
    error = getaddrinfo(host, service, &hints, out);
    if (error != 0)
        return gqa_fail(GQA_ERR_IO,
                        "%s, where rank 0 is to be found: %s; MASTER_ADDR "
                        "names its host",
                        host ? host : "this host", gai_strerror(error));
    return GQA_OK;
}

static enum gqa_status check_asked(void)
{
    return gqa_interrupt_pending()
               ? gqa_fail(GQA_ERR_INTERRUPTED, "interrupted")
               : GQA_OK;
}

static void close_link(struct gqa_rank_link *link)
{
    if (link->data >= 0)
        close(link->data);
    if (link->watch >= 0)
        close(link->watch);
    *link = (struct gqa_rank_link){-1, -1};
}

/* --- The first ------------------------------------------------------------ */

static int listen_at(const struct addrinfo *a)
{
    const int fd =
        socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    int kept;

    if (fd < 0)
        return -1;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    kept = errno;
    close(fd);
    errno = kept;
    return -1;
}

static enum gqa_status open_door(int *out, const struct gqa_meeting *m)
{
    struct addrinfo *list = NULL;
    enum gqa_status st = look_up(&list, m->host, m->port, 0);

    if (st == GQA_OK && !is_loopback(list)) {
        freeaddrinfo(list);
        list = NULL;
        st = look_up(&list, NULL, m->port, AI_PASSIVE);
    }
    if (st != GQA_OK)
        return st;
    *out = -1;
    for (const struct addrinfo *a = list; a && *out < 0; a = a->ai_next)
        *out = listen_at(a);
    if (*out < 0)
        st = gqa_fail_errno("port %u, where ranks are to come, cannot be "
                            "listened at (MASTER_PORT names another)",
                            m->port);
    freeaddrinfo(list);
    return st;
}

/* Who has connected; what is no rank of this run is sent away. */
static enum gqa_status take(struct gqa_rank_link *links, unsigned *n_there,
                            const struct gqa_meeting *m, int fd)
{
    struct hello hello;
    int *place;

    if (!read_all(fd, &hello, sizeof hello) ||
        memcmp(hello.magic, magic, sizeof magic) != 0 || hello.job != m->job) {
        close(fd);
        return GQA_OK;
    }
    if (hello.n != m->n || hello.rank == 0 || hello.rank >= m->n) {
        close(fd);
        return gqa_fail(GQA_ERR_USAGE,
                        "a rank %u of %u came to a run of %u ranks", hello.rank,
                        hello.n, m->n);
    }
    place = hello.is_watch ? &links[hello.rank].watch : &links[hello.rank].data;
    if (*place >= 0) {
        close(fd);
        return gqa_fail(GQA_ERR_USAGE,
                        "rank %u came twice: each process needs a number of "
                        "its own",
                        hello.rank);
    }
    if (!write_all(fd, welcome, sizeof welcome)) {
        close(fd); /* it will try again */
        return GQA_OK;
    }
    tune(fd);
    *place = fd;
    (*n_there)++;
    return GQA_OK;
}

static enum gqa_status miss(const struct gqa_rank_link *links,
                            const struct gqa_meeting *m)
{
    char list[64] = "";
    unsigned n = 0;
    size_t at = 0;

    for (unsigned i = 1; i < m->n; i++)
        if (links[i].data < 0 || links[i].watch < 0) {
            if (n++ < 4)
                at += (size_t)snprintf(list + at, sizeof list - at, "%s%u",
                                       n > 1 ? ", " : "", i);
        }
    return gqa_fail(GQA_ERR_IO,
                    "%u of %u ranks did not come to %s, port %u, within %.0f "
                    "s: %s%s",
                    n, m->n, m->host, m->port, m->wait_s, list,
                    n > 4 ? ", ..." : "");
}

static enum gqa_status receive_all(struct gqa_rank_link *links,
                                   const struct gqa_meeting *m)
{
    const double until = gqa_clock_s() + m->wait_s;
    unsigned n_there = 0;
    int door = -1;
    enum gqa_status st = open_door(&door, m);

    while (st == GQA_OK && n_there < 2 * (m->n - 1)) {
        struct pollfd p = {.fd = door, .events = POLLIN};
        int fd;

        if ((st = check_asked()) != GQA_OK)
            break;
        if (gqa_clock_s() > until) {
            st = miss(links, m);
            break;
        }
        if (poll(&p, 1, TICK_MS) <= 0)
            continue;
        fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            st = take(links, &n_there, m, fd);
    }
    if (door >= 0)
        close(door);
    return st;
}

/* --- Others --------------------------------------------------------------- */

/* -1: not now. */
static int call(const struct addrinfo *list, const struct hello *hello)
{
    char answer[sizeof welcome];

    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        const int fd =
            socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);

        if (fd < 0)
            continue;
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 &&
            write_all(fd, hello, sizeof *hello) &&
            read_all(fd, answer, sizeof answer) &&
            memcmp(answer, welcome, sizeof answer) == 0) {
            tune(fd);
            return fd;
        }
        close(fd);
    }
    return -1;
}

static enum gqa_status go_to(int *out, const struct gqa_meeting *m,
                             bool is_watch, double until)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
    struct hello hello = {
        .job = m->job, .rank = m->rank, .n = m->n, .is_watch = is_watch};

    memcpy(hello.magic, magic, sizeof magic);
    for (;;) {
        struct addrinfo *list = NULL;
        enum gqa_status st = look_up(&list, m->host, m->port, 0);

        if (st != GQA_OK)
            return st;
        *out = call(list, &hello);
        freeaddrinfo(list);
        if (*out >= 0)
            return GQA_OK;
        if ((st = check_asked()) != GQA_OK)
            return st;
        if (gqa_clock_s() > until)
            return gqa_fail(GQA_ERR_IO,
                            "rank 0 does not answer at %s, port %u, for %.0f s",
                            m->host, m->port, m->wait_s);
        (void)nanosleep(&tick, NULL);
    }
}

enum gqa_status gqa_ranks_meet(struct gqa_rank_link *links,
                               const struct gqa_meeting *m)
{
    const double until = gqa_clock_s() + m->wait_s;
    enum gqa_status st;

    for (unsigned i = 0; i < m->n; i++)
        links[i] = (struct gqa_rank_link){-1, -1};
    if (m->rank == 0) {
        st = receive_all(links, m);
    } else {
        st = go_to(&links[0].data, m, false, until);
        if (st == GQA_OK)
            st = go_to(&links[0].watch, m, true, until);
    }
    for (unsigned i = 0; st != GQA_OK && i < m->n; i++)
        close_link(&links[i]);
    return st;
}
