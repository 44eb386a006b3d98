/* A count for "%llu", whatever its type: shorter in a message than PRIu64. */
#ifndef GQA_COMMON_ULL_H
#define GQA_COMMON_ULL_H

#define ULL(x) ((unsigned long long)(x))

#endif
