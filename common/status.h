/*
 * Status codes and the message that goes with a failure.
 *
 * Whatever can fail returns enum gqa_status; zero is success. The function
 * that finds a problem calls gqa_fail() once, with the values involved;
 * callers clean up and pass the status on. The message is kept per thread
 * and is printed by the tool alone.
 */
#ifndef GQA_COMMON_STATUS_H
#define GQA_COMMON_STATUS_H

#define GQA_MUST_USE          __attribute__((warn_unused_result))
#define GQA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum gqa_status {
    GQA_OK = 0,
    GQA_ERR_USAGE,       /* the caller asked for something impossible */
    GQA_ERR_IO,          /* the operating system refused */
    GQA_ERR_FORMAT,      /* a file is damaged or breaks its format */
    GQA_ERR_UNSUPPORTED, /* a file is sound, but holds what we do not handle */
    GQA_ERR_NOMEM,
    GQA_ERR_INTERRUPTED, /* a signal asked us to stop */
};

/* Store the message for this thread and return st. */
enum gqa_status gqa_fail(enum gqa_status st, const char *fmt, ...)
    GQA_PRINTF(2, 3);

/* As gqa_fail(GQA_ERR_IO), with ": " and strerror(errno) appended. */
enum gqa_status gqa_fail_errno(const char *fmt, ...) GQA_PRINTF(1, 2);

/* GQA_ERR_NOMEM with its message. */
enum gqa_status gqa_fail_nomem(void);

/* Put "<prefix>: " before the stored message and return st. */
enum gqa_status gqa_fail_prefix(enum gqa_status st, const char *fmt, ...)
    GQA_PRINTF(2, 3);

/*
 * Replace control characters by '?': names from a file may hold them, but a
 * message is one line and must not steer a terminal.
 */
void gqa_make_printable(char *line);

/* The message of this thread's last failure; lent until the next one. */
const char *gqa_error_message(void);

/* An analyser of one file does not see that a failure is never GQA_OK. */
#ifdef __clang_analyzer__
#define gqa_fail(st, ...)        ((void)gqa_fail(st, __VA_ARGS__), (st))
#define gqa_fail_errno(...)      ((void)gqa_fail_errno(__VA_ARGS__), GQA_ERR_IO)
#define gqa_fail_nomem()         ((void)gqa_fail_nomem(), GQA_ERR_NOMEM)
#define gqa_fail_prefix(st, ...) ((void)gqa_fail_prefix(st, __VA_ARGS__), (st))
#endif

#endif
