/* The vocabulary of a folder of Hugging Face, for llama.cpp. */
#ifndef GQA_FORMATS_GGUF_TOKENS_H
#define GQA_FORMATS_GGUF_TOKENS_H

#include "formats/gguf/draft.h"

/*
 * Give the draft the tokens of a folder's `tokenizer.model`, or else of its
 * `tokenizer.json`, as many as the model's embedding has, with what
 * `tokenizer_config.json` adds to them.
 *
 * found  false: the folder has neither, or none of the kinds that llama.cpp
 *        takes for such models (SentencePiece's BPE, GPT-2's of bytes); the
 *        draft is as it was.
 * Errors GQA_ERR_FORMAT: a file that is damaged, or has more tokens than the
 *        embedding; GQA_ERR_UNSUPPORTED, GQA_ERR_IO, GQA_ERR_NOMEM. The message
 *        begins with the path.
 */
GQA_MUST_USE
enum gqa_status gqa_gguf_tokens_add(bool *found, struct gqa_gguf_draft *draft,
                                    const char *folder);

#endif
