/*
 * KV heads of families whose configuration says by words how many there are:
 * `config.n_kv_heads_by` of a description, read and written. Not every number
 * can be said so.
 */
#ifndef GQA_FORMATS_FAMILIES_KV_SAID_H
#define GQA_FORMATS_FAMILIES_KV_SAID_H

#include "formats/families/family.h"

/* Whether the family says it so; if not, nothing below is for it. */
bool gqa_kv_said(const struct gqa_family *family);

/* The key that decides with this configuration, lent. */
const char *gqa_kv_said_key(const struct gqa_family *family,
                            const json_t *config);

/* KV heads that loaders take from it, of n_heads query heads; 0: its value
 * makes no sense. */
uint64_t gqa_kv_said_count(const struct gqa_family *family,
                           const json_t *config, uint64_t n_heads);

/* Whether it says n_kv_heads, or would with another value of that key; 0, for
 * layers that differ, none says. */
bool gqa_kv_said_can(const struct gqa_family *family, const json_t *config,
                     uint64_t n_heads, uint64_t n_kv_heads);

/* Make config say n_kv_heads, which it can. It stays as it is where it does.
 * Memory: as gqa_json_check() tells. */
void gqa_kv_said_set(json_t *config, const struct gqa_family *family,
                     uint64_t n_heads, uint64_t n_kv_heads);

/*
 * A folder is loaded by what its configuration says. n_kv_heads: of all
 * attentions of the decoder; 0: they differ. Errors GQA_ERR_USAGE: no value
 * says it; the message names output and what can be done, and ends with ways:
 * what else the tool has, or "".
 */
GQA_MUST_USE
enum gqa_status gqa_kv_said_check(const struct gqa_family *family,
                                  const json_t *config, uint64_t n_heads,
                                  uint64_t n_kv_heads, const char *output,
                                  const char *ways);

#endif
