/*
 * What compute capability 9.0 has of its own: products of a warpgroup (four
 * warps), their operands in shared memory, and barriers with phases.
 *
 * An operand in shared memory is a row of parts, each [rows, 64] of a 16-bit
 * type and aligned to 1024 bytes; the 16-byte piece c of row r lies at
 * c ^ (r & 7): the 128-byte swizzle of the PTX ISA, "Asynchronous Warpgroup
 * Level Matrix Shared Memory Layout". Of width 32 it is one part, [rows, 32],
 * whose pieces lie as in a tile (attend_tile.cuh): the 64-byte swizzle.
 */
#ifndef GQA_RUNTIME_CUDA_WARPGROUP_CUH
#define GQA_RUNTIME_CUDA_WARPGROUP_CUH

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

#include "runtime/cuda/attend_tile.cuh"

/* Bytes of a row of a part of a matrix of width D, and of the eight rows that
 * a swizzle spans; the swizzle's number in descriptors. */
template <int D> struct part {
    enum {
        ROW = D == 32 ? 64 : 128,
        EIGHT = 8 * ROW,
        SWIZZLE = D == 32 ? 2 : 1
    };
};

/* Barriers are told by address in shared memory, or likewise by pointer. */
static __device__ __forceinline__ void barrier_init(uint32_t barrier,
                                                    int n_arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier),
                 "r"(n_arrivals)
                 : "memory");
}

static __device__ __forceinline__ void barrier_arrive(uint32_t barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier)
                 : "memory");
}

/* Arrive, and let the phase last until n_bytes have come, too. */
static __device__ __forceinline__ void barrier_expect(uint32_t barrier,
                                                      uint32_t n_bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(
            barrier),
        "r"(n_bytes)
        : "memory");
}

/* Begin to copy a box of a matrix; the barrier counts its bytes. */
static __device__ __forceinline__ void box_load(uint32_t to,
                                                const CUtensorMap *map,
                                                int column, int row,
                                                uint32_t barrier)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile."
        "mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\n" ::"r"(to),
        "l"(map), "r"(column), "r"(row), "r"(barrier)
        : "memory");
}

/* Until the phase of that parity has ended; that before the first has. */
static __device__ __forceinline__ void barrier_wait(uint32_t barrier,
                                                    int parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra ended;\n"
                 "bra again;\n"
                 "ended:\n"
                 "}\n" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

static __device__ __forceinline__ void barrier_init(uint64_t *barrier,
                                                    int n_arrivals)
{
    barrier_init(shared_address(barrier), n_arrivals);
}

static __device__ __forceinline__ void barrier_arrive(uint64_t *barrier)
{
    barrier_arrive(shared_address(barrier));
}

/* Once all copies that this thread has begun are done. */
static __device__ __forceinline__ void barrier_arrive_copied(uint64_t *barrier)
{
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];\n" ::"r"(
                     shared_address(barrier))
                 : "memory");
}

static __device__ __forceinline__ void barrier_wait(uint64_t *barrier,
                                                    int parity)
{
    barrier_wait(shared_address(barrier), parity);
}

/* What this thread has written to shared memory, products may read once it
 * has told so. */
static __device__ __forceinline__ void proxy_fence(void)
{
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

/* Before the first product that reads or adds to registers written since. */
static __device__ __forceinline__ void product_fence(void)
{
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}

static __device__ __forceinline__ void product_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

/* Until at most N of the committed groups are unfinished. */
template <int N> static __device__ __forceinline__ void product_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(N) : "memory");
}

/* Keeps accesses to registers of a product on their side of a wait. */
template <int N>
static __device__ __forceinline__ void product_pin(float (*x)[4])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        asm volatile(""
                     : "+f"(x[i][0]), "+f"(x[i][1]), "+f"(x[i][2]),
                       "+f"(x[i][3])::"memory");
}

/* Give registers back, or take more; n a multiple of 8. */
template <int N> static __device__ __forceinline__ void registers_less(void)
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(N));
}

template <int N> static __device__ __forceinline__ void registers_more(void)
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(N));
}

/* An operand from `address` on. `stride`: bytes from a part to the next,
 * where the product reads several side by side, and its contiguous dimension
 * is not the one summed over. */
template <int D>
static __device__ __forceinline__ uint64_t operand(uint32_t address,
                                                   uint32_t stride)
{
    return (uint64_t)(address >> 4 & 0x3fff) |
           (uint64_t)(stride >> 4 & 0x3fff) << 16 |
           (uint64_t)(part<D>::EIGHT >> 4) << 32 |
           (uint64_t)part<D>::SWIZZLE << 62;
}

/* The one that begins n bytes behind it. */
static __device__ __forceinline__ uint64_t operand_after(uint64_t operand,
                                                         uint32_t n)
{
    return (operand & 0xffffffff00000000) |
           ((uint32_t)operand + (n >> 4)); /* without a carry */
}

/* Rows first .. first + ROWS - 1 of a [.., D] matrix, `width` elements from
 * row to row, as an operand; rows from `end` on as zeros, for a weight of 0
 * does not silence a NaN. */
template <int D, int ROWS, int THREADS, typename T>
static __device__ __forceinline__ void operand_load(uint32_t tile,
                                                    const T *matrix,
                                                    int64_t width, int first,
                                                    int end, int thread)
{
    constexpr int pieces = D / 8, step = THREADS / pieces;
    const int row = thread / pieces, piece = thread % pieces;
    const int turn = D == 32 ? row >> 1 & 3 : row & 7;
    const uint32_t to =
        tile + (uint32_t)((piece / 8 * ROWS + row) * part<D>::ROW +
                          (((piece & 7) ^ turn) << 4));
    const T *from = matrix + (int64_t)(first + row) * width + piece * 8;

    static_assert(step % 8 == 0 && ROWS % step == 0, "whole steps");
#pragma unroll 4
    for (int n = 0; n < ROWS / step; n++) {
        bool valid = first + row + n * step < end;

        copy_async(to + n * step * part<D>::ROW,
                   valid ? from + n * step * width : matrix, valid);
    }
}

#define GQA_ROW(x, j) "+f"(x[j][0]), "+f"(x[j][1]), "+f"(x[j][2]), "+f"(x[j][3])
#define GQA_ROWS_8(x, j)                                                    \
    GQA_ROW(x, j), GQA_ROW(x, j + 1), GQA_ROW(x, j + 2), GQA_ROW(x, j + 3), \
        GQA_ROW(x, j + 4), GQA_ROW(x, j + 5), GQA_ROW(x, j + 6),            \
        GQA_ROW(x, j + 7)
#define GQA_ROWS_4(x, j) \
    GQA_ROW(x, j), GQA_ROW(x, j + 1), GQA_ROW(x, j + 2), GQA_ROW(x, j + 3)
#define GQA_REGISTERS_16                                            \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, " \
    "%14, %15}, "
#define GQA_REGISTERS_32                                                \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "     \
    "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, " \
    "%27, %28, %29, %30, %31}, "
#define GQA_REGISTERS_64                                                \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "     \
    "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, " \
    "%27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, " \
    "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
    "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
#define GQA_REGISTERS_128                                      \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, " \
    "%13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "  \
    "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, "  \
    "%35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "  \
    "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, "  \
    "%57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, "  \
    "%68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, "  \
    "%79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, "  \
    "%90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, " \
    "%101, %102, %103, %104, %105, %106, %107, %108, %109, "   \
    "%110, %111, %112, %113, %114, %115, %116, %117, %118, "   \
    "%119, %120, %121, %122, %123, %124, %125, %126, %127}, "

template <typename T> struct product;

/*
 *   scores   s [64, N] = or += A B^T; a [64, 16], or in registers, b [N, 16]
 *   values   o [64, D] += P V; p [64, 16] in registers, v [16, D]
 *   values_and_sum   likewise with D = 32 and 8 columns of v's next part
 *
 * dtype: as instructions name T.
 */
#define GQA_PRODUCT(T, dtype)                                                 \
    template <> struct product<T> {                                           \
        template <int N>                                                      \
        static __device__ __forceinline__ void scores(float (*s)[4],          \
                                                      uint64_t a, uint64_t b, \
                                                      int adds)               \
        {                                                                     \
            if constexpr (N == 64)                                            \
                asm volatile(                                                 \
                    "{\n"                                                     \
                    ".reg .pred adds;\n"                                      \
                    "setp.ne.b32 adds, %34, 0;\n"                             \
                    "wgmma.mma_async.sync.aligned.m64n64k16.f32." dtype       \
                    "." dtype " " GQA_REGISTERS_32                            \
                    "%32, %33, adds, 1, 1, 0, 0;\n"                           \
                    "}\n"                                                     \
                    : GQA_ROWS_8(s, 0)                                        \
                    : "l"(a), "l"(b), "r"(adds));                             \
            else if constexpr (N == 128)                                      \
                asm volatile(                                                 \
                    "{\n"                                                     \
                    ".reg .pred adds;\n"                                      \
                    "setp.ne.b32 adds, %66, 0;\n"                             \
                    "wgmma.mma_async.sync.aligned.m64n128k16.f32." dtype      \
                    "." dtype " " GQA_REGISTERS_64                            \
                    "%64, %65, adds, 1, 1, 0, 0;\n"                           \
                    "}\n"                                                     \
                    : GQA_ROWS_8(s, 0), GQA_ROWS_8(s, 8)                      \
                    : "l"(a), "l"(b), "r"(adds));                             \
            else                                                              \
                asm volatile(                                                 \
                    "{\n"                                                     \
                    ".reg .pred adds;\n"                                      \
                    "setp.ne.b32 adds, %130, 0;\n"                            \
                    "wgmma.mma_async.sync.aligned.m64n256k16.f32." dtype      \
                    "." dtype " " GQA_REGISTERS_128                           \
                    "%128, %129, adds, 1, 1, 0, 0;\n"                         \
                    "}\n"                                                     \
                    : GQA_ROWS_8(s, 0), GQA_ROWS_8(s, 8), GQA_ROWS_8(s, 16),  \
                      GQA_ROWS_8(s, 24)                                       \
                    : "l"(a), "l"(b), "r"(adds));                             \
        }                                                                     \
        template <int N>                                                      \
        static __device__ __forceinline__ void scores(float (*s)[4],          \
                                                      const uint32_t a[4],    \
                                                      uint64_t b, int adds)   \
        {                                                                     \
            if constexpr (N == 32)                                            \
                asm volatile(                                                 \
                    "{\n"                                                     \
                    ".reg .pred adds;\n"                                      \
                    "setp.ne.b32 adds, %21, 0;\n"                             \
                    "wgmma.mma_async.sync.aligned.m64n32k16.f32." dtype       \
                    "." dtype " " GQA_REGISTERS_16                            \
                    "{%16, %17, %18, %19}, %20, adds, 1, 1, 0;\n"             \
                    "}\n"                                                     \
                    : GQA_ROWS_4(s, 0)                                        \
                    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),     \
                      "r"(adds));                                             \
            else                                                              \
                asm volatile(                                                 \
                    "{\n"                                                     \
                    ".reg .pred adds;\n"                                      \
                    "setp.ne.b32 adds, %37, 0;\n"                             \
                    "wgmma.mma_async.sync.aligned.m64n64k16.f32." dtype       \
                    "." dtype " " GQA_REGISTERS_32                            \
                    "{%32, %33, %34, %35}, %36, adds, 1, 1, 0;\n"             \
                    "}\n"                                                     \
                    : GQA_ROWS_8(s, 0)                                        \
                    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),     \
                      "r"(adds));                                             \
        }                                                                     \
        static __device__ __forceinline__ void values_and_sum(                \
            float (*o)[4], const uint32_t p[4], uint64_t v)                   \
        {                                                                     \
            asm volatile(                                                     \
                "wgmma.mma_async.sync.aligned.m64n40k16.f32." dtype "." dtype \
                " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, "             \
                "%11, %12, %13, %14, %15, %16, %17, %18, %19}, "              \
                "{%20, %21, %22, %23}, %24, 1, 1, 1, 1;\n"                    \
                : GQA_ROWS_4(o, 0), GQA_ROW(o, 4)                             \
                : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));        \
        }                                                                     \
        template <int D>                                                      \
        static __device__ __forceinline__ void values(float (*o)[4],          \
                                                      const uint32_t p[4],    \
                                                      uint64_t v)             \
        {                                                                     \
            if constexpr (D == 32)                                            \
                asm volatile(                                                 \
                    "wgmma.mma_async.sync.aligned.m64n32k16.f32." dtype       \
                    "." dtype " " GQA_REGISTERS_16                            \
                    "{%16, %17, %18, %19}, %20, 1, 1, 1, 1;\n"                \
                    : GQA_ROWS_4(o, 0)                                        \
                    : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));    \
            else if constexpr (D == 64)                                       \
                asm volatile(                                                 \
                    "wgmma.mma_async.sync.aligned.m64n64k16.f32." dtype       \
                    "." dtype " " GQA_REGISTERS_32                            \
                    "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"                \
                    : GQA_ROWS_8(o, 0)                                        \
                    : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));    \
            else                                                              \
                asm volatile(                                                 \
                    "wgmma.mma_async.sync.aligned.m64n128k16.f32." dtype      \
                    "." dtype " " GQA_REGISTERS_64                            \
                    "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"                \
                    : GQA_ROWS_8(o, 0), GQA_ROWS_8(o, 8)                      \
                    : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(v));    \
        }                                                                     \
    };

GQA_PRODUCT(__nv_bfloat16, "bf16")
GQA_PRODUCT(__half, "f16")

#undef GQA_PRODUCT
#undef GQA_ROW
#undef GQA_ROWS_4
#undef GQA_ROWS_8
#undef GQA_REGISTERS_16
#undef GQA_REGISTERS_32
#undef GQA_REGISTERS_64
#undef GQA_REGISTERS_128

#endif
