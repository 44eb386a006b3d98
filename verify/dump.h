/* --dump-logits: what both models gave, for other programs. */
#ifndef GQA_VERIFY_DUMP_H
#define GQA_VERIFY_DUMP_H

#include "common/whole_file.h"
#include "runtime/measure/trace.h"

/*
 * Write a safetensors file: `logits` of the converted model and
 * `original.logits`, of dtype (F32, F64), [n, len, vocab], zeros behind the end
 * of shorter sequences (`last_hidden_state`, [n, len, d_model], of models that
 * make none), and `lengths`, I64 [n]; and the tokens as
 * gqa_tokens_read() takes them: `input_ids`, `attention_mask` and, of an
 * encoder-decoder and where some were given, `labels`. On GQA_OK the caller
 * ends it (gqa_whole_file_end()); otherwise there is none.
 *
 * Both traces are of the same tokens. Errors GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_dump_logits(struct gqa_whole_file *out, const char *path,
                                struct gqa_trace *original,
                                struct gqa_trace *converted,
                                const struct gqa_tokens *tokens,
                                enum gqa_dtype dtype);

#endif
