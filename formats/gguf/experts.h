/* Experts of a mixture, which newer files have as one tensor. */
#ifndef GQA_FORMATS_GGUF_EXPERTS_H
#define GQA_FORMATS_GGUF_EXPERTS_H

#include "formats/gguf/header.h"

/*
 * Each tensor [n, rows, columns] "blk.L.ffn_NAME_exps.weight" as n of
 * [rows, columns], by the names that older files have:
 * "blk.L.ffn_NAME.E.weight". Others stay as they are. Errors
 * GQA_ERR_UNSUPPORTED: more tensors than the limit; GQA_ERR_NOMEM: the header
 * is as it was.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_experts_split(struct gqa_gguf_header *header);

/*
 * The other way: the name of the tensor of all, for one of
 * "blk.L.ffn_NAME.E.weight", of which *number is E. The caller owns *all; it
 * is NULL where `one` is no such name. Errors GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_experts_name(char **all, uint64_t *number,
                                      const char *one);

#endif
