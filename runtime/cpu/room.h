/*
 * Room in the address space for OpenBLAS, which tries for ever where a limit
 * (ulimit -v, -d) keeps it from mapping its buffers.
 */
#ifndef GQA_RUNTIME_CPU_ROOM_H
#define GQA_RUNTIME_CPU_ROOM_H

#include "common/status.h"

/*
 * Whether the limits of this process leave room for the buffers that
 * OpenBLAS takes as it is loaded, and for those of n_threads that compute
 * with it. Where n_threads is 0 and this fails, the process has a thread
 * that never ends: it must leave by _exit().
 *
 * Errors GQA_ERR_NOMEM, with the figures.
 */
GQA_MUST_USE
enum gqa_status gqa_cpu_check_room(unsigned n_threads);

#endif
