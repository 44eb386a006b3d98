/* What a process that parses hostile bytes may still do. */
#ifndef GQA_FORMATS_HDF5_SANDBOX_H
#define GQA_FORMATS_HDF5_SANDBOX_H

#include <stdbool.h>

/* Memory that the parser may take. */
enum { GQA_SANDBOX_MIB = 1024 };

/*
 * Close every descriptor but two, which move to *file and *channel.
 * False when that is impossible.
 */
bool gqa_sandbox_keep(int *file, int *channel);

/*
 * For good: bounded memory and processor time, no new files, no core dump,
 * and only the system calls that reading, allocating and exiting take, and
 * some that tell nothing new. All others fail. Where the kernel knows no system
 * call filter the limits stay; then the result is false.
 */
bool gqa_sandbox_enter(void);

#endif
