/* How long the parser's process may take for a file. */
#ifndef GQA_FORMATS_HDF5_BUDGET_H
#define GQA_FORMATS_HDF5_BUDGET_H

#include <stdint.h>

/*
 * Processor time in milliseconds, for all answers together: 2 s and 1 s for
 * each MiB of the file, up to 120 of them. Structures lie in the file, so that
 * its size bounds how many of them a sound one has: a file of nothing else
 * (datasets of 16 bytes; chunks of one element) takes 0.07 s a MiB, and no
 * file may have more objects than fit 120 MiB (GQA_H5_MAX_OBJECTS). Valgrind
 * gets 50 times that.
 */
unsigned gqa_h5_budget_ms(uint64_t file_bytes);

#endif
