/* Inner loops, once for each instruction set; the same bits from each. */
#ifndef GQA_COMMON_VECTORISED_H
#define GQA_COMMON_VECTORISED_H

/* Sanitizers and clang 14 have no resolvers of such functions. */
#if defined(__x86_64__) && defined(__GNUC__) &&                        \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define GQA_VECTORISED \
    __attribute__((    \
        target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define GQA_VECTORISED
#endif

#endif
