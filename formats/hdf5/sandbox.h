/* What a process that parses hostile bytes may still do. */
#ifndef GQA_FORMATS_HDF5_SANDBOX_H
#define GQA_FORMATS_HDF5_SANDBOX_H

#include <stdbool.h>

/* Memory that the parser may take. */
enum { GQA_SANDBOX_MIB = 1024 };

/* What confines it, for good. */
enum gqa_sandbox {
    GQA_SANDBOX_NONE,  /* this system has none of them */
    GQA_SANDBOX_CALLS, /* a system call filter */
    GQA_SANDBOX_FILES, /* Landlock: no file, no address, no descriptor */
};

/*
 * Whether valgrind runs this process. It makes calls and takes memory of its
 * own in our name, which none of the below may forbid.
 */
bool gqa_sandbox_is_watched(void);

/*
 * Close every descriptor but two, which move to *file and *channel.
 * False and errno when that is impossible; *channel is open still.
 */
bool gqa_sandbox_keep(int *file, int *channel);

/*
 * Bounded memory and processor time, no new files, no core dump. For good.
 * cpu_s: for the process in all, should nobody end it before.
 */
void gqa_sandbox_limit(unsigned cpu_s);

/*
 * For good: only the system calls that reading, allocating and exiting take,
 * and some that tell nothing new; all others fail. Where the kernel knows no
 * such filter, no file system, no network and no new descriptor.
 */
enum gqa_sandbox gqa_sandbox_enter(void);

#endif
