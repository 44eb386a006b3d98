/* What fail_each tells the preloaded fail_alloc.so, and hears from it. */
#ifndef GQA_TESTS_FAIL_ALLOC_H
#define GQA_TESTS_FAIL_ALLOC_H

#include <stdatomic.h>
#include <stdint.h>

enum { GQA_FAIL_ALLOC_PROCESSES = 16 };

struct gqa_fail_alloc {
    _Atomic uint64_t count; /* allocations so far, in all processes */
    uint64_t fail_at;       /* counted from 1; UINT64_MAX: none fails */
    uint32_t and_later;     /* 1: and all after it */
    _Atomic uint32_t n_processes;
    /* The count at the last allocation of each process. */
    _Atomic uint64_t last[GQA_FAIL_ALLOC_PROCESSES];
};

#endif
