/*
 * The few functions of NCCL that are used, as its public header nccl.h
 * declares them in version 2: the library is loaded when it is needed, and its
 * header is not.
 */
#ifndef GQA_RUNTIME_CUDA_NCCL_CUH
#define GQA_RUNTIME_CUDA_NCCL_CUH

#include <cuda_runtime.h>

#define GQA_NCCL_SONAME "libnccl.so.2"

typedef struct ncclComm *ncclComm_t;
typedef struct {
    char internal[128];
} ncclUniqueId;

/* Of its enumerations. */
typedef int ncclResult_t;
enum { ncclSuccess = 0 };
typedef int ncclDataType_t;
enum { ncclInt8 = 0, ncclFloat32 = 7, ncclFloat64 = 8 };
typedef int ncclRedOp_t;
enum { ncclSum = 0 };

struct gqa_nccl {
    ncclResult_t (*get_unique_id)(ncclUniqueId *id);
    ncclResult_t (*comm_init_rank)(ncclComm_t *comm, int n_ranks,
                                   ncclUniqueId id, int rank);
    ncclResult_t (*comm_destroy)(ncclComm_t comm);
    ncclResult_t (*comm_abort)(ncclComm_t comm);
    const char *(*get_error_string)(ncclResult_t result);
    ncclResult_t (*all_reduce)(const void *send, void *receive, size_t n,
                               ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream);
    ncclResult_t (*broadcast)(const void *send, void *receive, size_t n,
                              ncclDataType_t type, int root, ncclComm_t comm,
                              cudaStream_t stream);
    ncclResult_t (*group_start)(void);
    ncclResult_t (*group_end)(void);
};

#endif
