#include "formats/hdf5/budget.h"

#include "formats/hdf5/sandbox.h"

enum { BASE_MS = 2000, MIB_MS = 1000, MAX_MIB = 120, VALGRIND_FACTOR = 50 };

unsigned gqa_h5_budget_ms(uint64_t file_bytes)
{
    const uint64_t most = (uint64_t)MAX_MIB << 20;
    const uint64_t counted = file_bytes < most ? file_bytes : most;
    const unsigned ms = BASE_MS + (unsigned)(counted * MIB_MS >> 20);

    return gqa_sandbox_is_watched() ? ms * VALGRIND_FACTOR : ms;
}
