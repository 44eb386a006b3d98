/* What `tokenizer.json` says of tokens of bytes that are merged (GPT-2's BPE).
 */
#ifndef GQA_FORMATS_GGUF_BPE_H
#define GQA_FORMATS_GGUF_BPE_H

#include <jansson.h>
#include <stdbool.h>

/* Whether it is a tokenizer of that kind, whose tokens have no marks of where
 * in a word they stand. */
bool gqa_bpe_is(const json_t *tokenizer);

/*
 * What llama.cpp calls the way in which it cuts a text before it merges:
 * "gpt-2", "llama-bpe", "qwen2", "starcoder"; NULL: another, that is not known
 * here.
 */
const char *gqa_bpe_cut_name(const json_t *tokenizer);

/*
 * Why llama.cpp, which is told that name or "default", may make other tokens of
 * some texts; NULL: for no reason that is known. config: tokenizer_config.json,
 * or NULL.
 */
const char *gqa_bpe_differs(const json_t *tokenizer, const json_t *config);

#endif
