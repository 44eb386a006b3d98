/*
 * JSON from files that nobody vouches for, through jansson: duplicate keys
 * are an error, depth is bounded, and a message says where it went wrong.
 */
#ifndef GQA_COMMON_JSON_H
#define GQA_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/*
 * Notice from now on when an allocation of jansson's fails, in any thread,
 * so that makers of JSON need no check at each step: gqa_json_check() once,
 * before anything is printed or put in its place, tells of all of them. A
 * tool calls this first.
 */
void gqa_json_watch_memory(void);

/* GQA_ERR_NOMEM for ever once an allocation has failed. */
GQA_MUST_USE
enum gqa_status gqa_json_check(void);

/*
 * Parse length bytes. what: the subject of the error message ("header",
 * "config.json"). The caller owns *out (json_decref).
 * Numbers may be as Python's json writes them: an integer of more than 64 bits
 * becomes a real number; NaN, Infinity and -Infinity, which JSON has not,
 * become {"__float__": "NaN"} and so on, as transformers 5 writes and reads
 * them, which is a number for nobody here.
 * Errors GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_json_parse(json_t **out, const char *text, size_t length,
                               const char *what);

/*
 * As many values as a text may have that lists tensors: parsed they take up to
 * some 200 bytes each, which keeps below 64 MiB. A tensor of two dimensions
 * is 8 of them in a header, and 1 in an index.
 */
#define GQA_JSON_MAX_VALUES ((size_t)300000)

/* A text of our own, of any value; the caller's. NULL: out of memory, or none.
 * Jansson's own functions do not survive the former. */
json_t *gqa_json_own(const char *text);

/* And as many bytes as a header may have: what they say is there three times
 * at once, in the text, as JSON and as tensors. */
#define GQA_JSON_MAX_BYTES ((size_t)12 << 20)

/* Whether a header may have so many bytes, before it is read. Errors
 * GQA_ERR_UNSUPPORTED. */
GQA_MUST_USE
enum gqa_status gqa_json_check_bytes(uint64_t n_bytes, const char *what);

/* How many values a text has at most: numbers, texts, lists and objects. */
size_t gqa_json_n_values(const char *text, size_t length);

/* gqa_json_parse() of no more than GQA_JSON_MAX_VALUES, all of them JSON's
 * own: sizes and places are. Also: GQA_ERR_UNSUPPORTED. */
GQA_MUST_USE
enum gqa_status gqa_json_parse_list(json_t **out, const char *text,
                                    size_t length, const char *what);

/*
 * Parse a whole file of at most max_bytes. Errors GQA_ERR_IO,
 * GQA_ERR_FORMAT, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_json_load_file(json_t **out, const char *path,
                                   size_t max_bytes);

/* The same with gqa_json_parse_list(). */
GQA_MUST_USE
enum gqa_status gqa_json_load_list(json_t **out, const char *path,
                                   size_t max_bytes);

/* The same of a file that is open and has size bytes; path for messages. */
GQA_MUST_USE
enum gqa_status gqa_json_load_fd(json_t **out, int fd, uint64_t size,
                                 const char *path, size_t max_bytes);

/* A non-negative integer; false when value is anything else. */
bool gqa_json_u64(const json_t *value, uint64_t *out);

/*
 * A string of text, which need not be UTF-8 (a file's name, say) while JSON
 * is: other bytes become U+FFFD. The caller owns it; NULL when memory is
 * short.
 */
json_t *gqa_json_text(const char *text);

/*
 * The text of value, flags as for json_dumps(). The caller owns *out (free).
 * Errors GQA_ERR_NOMEM, also where value is NULL or was made while memory
 * ran short.
 */
GQA_MUST_USE
enum gqa_status gqa_json_dump(char **out, const json_t *value, size_t flags);

/* Digits that keep a real number exact, and give it no exponent where it is
 * below 1e16. */
int gqa_json_real_digits(double real);

/*
 * Flags for json_dumps() that write each real number with as few digits as
 * keep all of them exact: 0.1 stays 0.1, and 10000.0 gets no exponent.
 */
size_t gqa_json_real_flags(const json_t *value);

#endif
