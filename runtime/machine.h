/* The machine that we run on. */
#ifndef GQA_RUNTIME_MACHINE_H
#define GQA_RUNTIME_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* What its processor is called. */
void gqa_machine_name(char *out, size_t size);

/* Bytes of its memory, or of what our control group may have of it, and those
 * that are free; 0: not known. Needs no memory. */
void gqa_machine_memory(uint64_t *total, uint64_t *free);

#endif
