#include "formats/gguf/tokens.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/memory_stream.h"
#include "formats/gguf/bpe.h"
#include "formats/gguf/header_write.h"
#include "formats/gguf/keys.h"
#include "formats/gguf/pieces.h"
#include "formats/gguf/values.h"

/* Above what there is: 300,000 tokens and merges; parsed, values of a text take
 * up to some 100 bytes each. */
enum { MAX_MODEL = 64 << 20, MAX_CONFIG = 16 << 20, MAX_VALUES = 1500000 };

/* Tokens by their numbers; those that nothing names are "[PAD7]". */
struct tokens {
    struct gqa_piece *items; /* [n] */
    size_t n;
};

static char *path_in(const char *folder, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

/* *bytes stays NULL where there is no such file. */
static enum gqa_status read_whole(char **bytes, size_t *n, const char *path)
{
    uint64_t size;
    int fd;
    enum gqa_status st;

    *bytes = NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return GQA_OK;
    if ((st = gqa_file_open(&fd, &size, path)) != GQA_OK)
        return st;
    if (size > MAX_MODEL)
        st = gqa_fail(GQA_ERR_UNSUPPORTED, "%s: %llu bytes, more than are read",
                      path, (unsigned long long)size);
    else if (!(*bytes = malloc((size_t)size + 1)))
        st = gqa_fail_nomem();
    else if ((st = gqa_file_read(fd, *bytes, (size_t)size, 0)) != GQA_OK)
        st = gqa_fail_prefix(st, "%s", path);
    *n = (size_t)size;
    close(fd);
    return st;
}

/* --- Tokens that were added ----------------------------------------------- */

static enum gqa_status add_token(struct tokens *t, const char *key,
                                 const json_t *said)
{
    const json_t *content = json_object_get(said, "content");
    const json_t *special = json_object_get(said, "special");
    char *end;
    const unsigned long long i = strtoull(key, &end, 10);

    if (end == key || *end || !json_is_string(content))
        return gqa_fail(GQA_ERR_FORMAT,
                        "added_tokens_decoder: \"%.40s\" is no token", key);
    if (i >= t->n)
        return GQA_OK; /* the model was not made larger for it */
    t->items[i] = (struct gqa_piece){.text = json_string_value(content),
                                     .n = json_string_length(content),
                                     .score = -1000,
                                     .type = json_is_true(special)
                                                 ? GQA_PIECE_CONTROL
                                                 : GQA_PIECE_USER_DEFINED};
    return GQA_OK;
}

static enum gqa_status add_tokens(struct tokens *t, const json_t *config)
{
    enum gqa_status st = GQA_OK;
    const char *key;
    json_t *said;

    json_object_foreach(json_object_get(config, "added_tokens_decoder"), key,
                        said)
    {
        if (st == GQA_OK)
            st = add_token(t, key, said);
    }
    return st;
}

/* --- What is written ------------------------------------------------------ */

static void put_list(FILE *out, const char *key, enum gqa_gguf_value_type type,
                     size_t n)
{
    gqa_gguf_put_text(out, key, strlen(key));
    gqa_gguf_put(out, GQA_GGUF_LIST, 4);
    gqa_gguf_put(out, type, 4);
    gqa_gguf_put(out, n, 8);
}

static void put_tokens(FILE *out, const struct tokens *t)
{
    put_list(out, "tokenizer.ggml.tokens", GQA_GGUF_TEXT, t->n);
    for (size_t i = 0; i < t->n; i++) {
        char pad[32];

        if (!t->items[i].text)
            snprintf(pad, sizeof pad, "[PAD%zu]", i);
        gqa_gguf_put_text(out, t->items[i].text ? t->items[i].text : pad,
                          t->items[i].text ? t->items[i].n : strlen(pad));
    }
    put_list(out, "tokenizer.ggml.token_type", GQA_GGUF_I32, t->n);
    for (size_t i = 0; i < t->n; i++)
        gqa_gguf_put(out, t->items[i].type, 4);
}

static void put_scores(FILE *out, const struct tokens *t)
{
    put_list(out, "tokenizer.ggml.scores", GQA_GGUF_F32, t->n);
    for (size_t i = 0; i < t->n; i++) {
        uint32_t bits;

        memcpy(&bits, &t->items[i].score, sizeof bits);
        gqa_gguf_put(out, bits, 4);
    }
}

/* "a b", or ["a", "b"] where it is newer, as "a b". Owned; NULL: it is neither,
 * or memory is short. */
static char *merge_text(const json_t *merge)
{
    const char *first = json_string_value(json_array_get(merge, 0));
    const char *second = json_string_value(json_array_get(merge, 1));
    char *text = NULL;

    if (json_is_string(merge))
        return strdup(json_string_value(merge));
    if (json_array_size(merge) != 2 || !first || !second ||
        asprintf(&text, "%s %s", first, second) < 0)
        return NULL;
    return text;
}

/* Two tokens, which make a third; no token of bytes has a space in it. What is
 * at text is lost. */
static bool is_merge(char *text, const json_t *vocab)
{
    char *second = strchr(text, ' ');
    bool known;

    if (!second || strchr(second + 1, ' '))
        return false;
    *second++ = '\0';
    known = json_object_get(vocab, text) && json_object_get(vocab, second);
    memmove(second - 1, second, strlen(second) + 1);
    return known && json_object_get(vocab, text);
}

static enum gqa_status put_merges(FILE *out, const json_t *model)
{
    const json_t *merges = json_object_get(model, "merges");
    const json_t *vocab = json_object_get(model, "vocab");

    put_list(out, "tokenizer.ggml.merges", GQA_GGUF_TEXT,
             json_array_size(merges));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        char *text = merge_text(json_array_get(merges, i));
        bool is_one = false;

        if (text) {
            gqa_gguf_put_text(out, text, strlen(text));
            is_one = is_merge(text, vocab);
        }
        free(text);
        if (!is_one)
            return gqa_fail(GQA_ERR_FORMAT,
                            "merge %zu is not of two tokens that make a third",
                            i);
    }
    return GQA_OK;
}

/* model: with merges; NULL: tokens have scores in their place. */
static enum gqa_status keep_tokens(struct gqa_gguf_draft *d,
                                   const struct tokens *t, const json_t *model)
{
    struct gqa_memory_stream stream;
    enum gqa_status st = gqa_memory_stream_open(&stream);

    if (st != GQA_OK)
        return st;
    put_tokens(stream.out, t);
    if (model)
        st = put_merges(stream.out, model);
    else
        put_scores(stream.out, t);
    if (st == GQA_OK)
        st = gqa_memory_stream_flush(&stream);
    if (st == GQA_OK && !(d->pairs = malloc(stream.n)))
        st = gqa_fail_nomem();
    if (st == GQA_OK) {
        memcpy(d->pairs, stream.text, stream.n);
        d->pairs_bytes = stream.n;
        d->n_pairs = 3;
    }
    gqa_memory_stream_free(&stream);
    return st;
}

/* The template for chats: of a list of them the default one. NULL: there is
 * none. */
static const json_t *find_template(const json_t *config)
{
    const json_t *said = json_object_get(config, "chat_template");

    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *one = json_array_get(said, i);
        const char *name = json_string_value(json_object_get(one, "name"));

        if (name && strcmp(name, "default") == 0)
            return json_object_get(one, "template");
    }
    return said;
}

/* Keys that say how they are used; those of the special tokens are the
 * configuration's. */
static void tell(struct gqa_gguf_draft *d, const char *model, const char *cut,
                 const json_t *config)
{
    static const struct {
        const char *ours, *theirs;
    } flags[] = {{"add_bos_token", "tokenizer.ggml.add_bos_token"},
                 {"add_eos_token", "tokenizer.ggml.add_eos_token"}};
    const json_t *chat = find_template(config);

    gqa_gguf_key_set(d, "tokenizer.ggml.model", json_string(model));
    gqa_gguf_key_set(d, "tokenizer.ggml.pre", json_string(cut));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_boolean(json_object_get(config, flags[i].ours)))
            gqa_gguf_key_set(
                d, flags[i].theirs,
                json_incref(json_object_get(config, flags[i].ours)));
    if (json_is_string(chat))
        gqa_gguf_key_set(d, "tokenizer.chat_template",
                         json_string(json_string_value(chat)));
}

/* As many as the model has, all of them unused. */
static enum gqa_status begin_tokens(struct tokens *t,
                                    const struct gqa_gguf_draft *d)
{
    *t = (struct tokens){0};
    for (size_t i = 0; i < d->header.n; i++)
        if (strcmp(d->header.tensors[i].name, "token_embd.weight") == 0)
            t->n = (size_t)d->header.tensors[i].shape[0];
    t->items = calloc(t->n + 1, sizeof *t->items);
    if (!t->items)
        return gqa_fail_nomem();
    for (size_t i = 0; i < t->n; i++)
        t->items[i] =
            (struct gqa_piece){.score = -10000, .type = GQA_PIECE_UNUSED};
    return GQA_OK;
}

/* A template in a file of its own counts more than one in the configuration. */
static enum gqa_status read_template(json_t *config, const char *folder)
{
    char *path = path_in(folder, "chat_template.jinja"), *bytes = NULL;
    json_t *text = NULL;
    size_t n = 0;
    enum gqa_status st = path ? read_whole(&bytes, &n, path) : gqa_fail_nomem();

    if (st == GQA_OK && bytes && !(text = json_stringn(bytes, n)))
        st = gqa_json_check() == GQA_OK
                 ? gqa_fail(GQA_ERR_FORMAT, "%s: no text in UTF-8", path)
                 : gqa_fail_nomem();
    if (st == GQA_OK && text)
        json_object_set(config, "chat_template", text);
    json_decref(text);
    free(bytes);
    free(path);
    return st;
}

/* tokenizer_config.json, {} where it is not there, with the template. */
static enum gqa_status read_config(json_t **out, const char *folder)
{
    char *path = path_in(folder, "tokenizer_config.json");
    enum gqa_status st = path ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK && access(path, F_OK) == 0)
        st = gqa_json_load_file(out, path, MAX_CONFIG);
    else if (st == GQA_OK)
        *out = json_object();
    if (st == GQA_OK && !json_is_object(*out))
        st = gqa_fail(GQA_ERR_FORMAT, "%s: not an object", path);
    free(path);
    return st == GQA_OK ? read_template(*out, folder) : st;
}

/* --- tokenizer.model ------------------------------------------------------ */

static enum gqa_status take_pieces(struct gqa_gguf_draft *d,
                                   const struct gqa_pieces *pieces,
                                   const json_t *config)
{
    struct tokens t;
    enum gqa_status st = begin_tokens(&t, d);

    if (st == GQA_OK && (pieces->n > t.n || pieces->unknown >= t.n))
        st =
            gqa_fail(GQA_ERR_FORMAT, "%zu pieces, and the model has %zu tokens",
                     pieces->n, t.n);
    if (st == GQA_OK) {
        memcpy(t.items, pieces->items, pieces->n * sizeof *t.items);
        st = add_tokens(&t, config);
    }
    if (st == GQA_OK)
        st = keep_tokens(d, &t, NULL);
    if (st == GQA_OK) {
        tell(d, "llama", "default", config);
        gqa_gguf_key_set(d, "tokenizer.ggml.add_space_prefix",
                         json_boolean(pieces->space_before));
        gqa_gguf_key_set(d, "tokenizer.ggml.unknown_token_id",
                         json_integer((json_int_t)pieces->unknown));
    }
    free(t.items);
    return st;
}

/* By that name lie Meta's newer vocabularies, too, which are lines of tiktoken:
 * "IQ== 0". A SentencePiece model begins with a tag, which is no letter. */
static bool is_tiktoken(const char *bytes, size_t n)
{
    size_t i = 0, digits;

    while (i < n && (isalnum((unsigned char)bytes[i]) || bytes[i] == '+' ||
                     bytes[i] == '/' || bytes[i] == '='))
        i++;
    if (i == 0 || i == n || bytes[i] != ' ')
        return false;
    for (digits = ++i; i < n && isdigit((unsigned char)bytes[i]); i++)
        ;
    return i > digits && i < n && bytes[i] == '\n';
}

static enum gqa_status take_model(bool *found, struct gqa_gguf_draft *d,
                                  const char *bytes, size_t n,
                                  const json_t *config)
{
    struct gqa_pieces pieces = {0};
    enum gqa_status st;

    if (is_tiktoken(bytes, n))
        return GQA_OK;
    st = gqa_pieces_parse(&pieces, (const unsigned char *)bytes, n);
    if (st == GQA_OK && pieces.is_bpe) {
        st = take_pieces(d, &pieces, config);
        *found = st == GQA_OK;
    }
    gqa_pieces_clear(&pieces);
    return st;
}

/* --- tokenizer.json ------------------------------------------------------- */

static enum gqa_status place_token(struct tokens *t, const json_t *id,
                                   const char *text, size_t n, unsigned type)
{
    uint64_t i;

    if (!text || !gqa_json_u64(id, &i))
        return gqa_fail(GQA_ERR_FORMAT, "a token without a number");
    if (i >= t->n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "token %llu, and the model has %zu tokens",
                        (unsigned long long)i, t->n);
    if (t->items[i].text &&
        (t->items[i].n != n || memcmp(t->items[i].text, text, n) != 0))
        return gqa_fail(GQA_ERR_FORMAT,
                        "two tokens of the number %llu, '%.40s' and '%.40s'",
                        (unsigned long long)i, t->items[i].text, text);
    t->items[i] = (struct gqa_piece){.text = text, .n = n, .type = type};
    return GQA_OK;
}

static enum gqa_status place_tokens(struct tokens *t, const json_t *tokenizer)
{
    const json_t *added = json_object_get(tokenizer, "added_tokens");
    json_t *vocab =
        json_object_get(json_object_get(tokenizer, "model"), "vocab");
    enum gqa_status st = GQA_OK;
    const char *text;
    json_t *id;

    if (json_object_size(vocab) == 0)
        return gqa_fail(GQA_ERR_FORMAT, "no vocabulary, an object of tokens");
    json_object_foreach(vocab, text, id)
    {
        if (st == GQA_OK)
            st = place_token(t, id, text, strlen(text), GQA_PIECE_NORMAL);
    }
    for (size_t i = 0; i < json_array_size(added) && st == GQA_OK; i++) {
        const json_t *token = json_array_get(added, i);
        const json_t *content = json_object_get(token, "content");
        uint64_t number;

        /* One that the model was not made larger for. */
        if (gqa_json_u64(json_object_get(token, "id"), &number) &&
            number >= t->n)
            continue;
        st =
            place_token(t, json_object_get(token, "id"),
                        json_string_value(content), json_string_length(content),
                        json_is_true(json_object_get(token, "special"))
                            ? GQA_PIECE_CONTROL
                            : GQA_PIECE_USER_DEFINED);
    }
    return st;
}

static enum gqa_status take_bpe(struct gqa_gguf_draft *d,
                                const json_t *tokenizer, const json_t *config)
{
    const json_t *model = json_object_get(tokenizer, "model");
    const char *cut = gqa_bpe_cut_name(tokenizer);
    struct tokens t;
    enum gqa_status st = begin_tokens(&t, d);

    if (st == GQA_OK)
        st = place_tokens(&t, tokenizer);
    if (st == GQA_OK && !json_is_array(json_object_get(model, "merges")))
        st = gqa_fail(GQA_ERR_FORMAT, "no list of merges");
    if (st == GQA_OK)
        st = keep_tokens(d, &t, model);
    if (st == GQA_OK) {
        tell(d, "gpt2", cut ? cut : "default", config);
        d->texts_differ = gqa_bpe_differs(tokenizer, config);
    }
    free(t.items);
    return st;
}

static enum gqa_status take_json(bool *found, struct gqa_gguf_draft *d,
                                 const char *bytes, size_t n,
                                 const json_t *config)
{
    json_t *tokenizer = NULL;
    enum gqa_status st = GQA_OK;

    if (gqa_json_n_values(bytes, n) > MAX_VALUES)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "more than %d values, which is more than is read",
                        MAX_VALUES);
    st = gqa_json_parse(&tokenizer, bytes, n, "JSON");
    if (st == GQA_OK && gqa_bpe_is(tokenizer)) {
        st = take_bpe(d, tokenizer, config);
        *found = st == GQA_OK;
    }
    json_decref(tokenizer);
    return st;
}

/* --- All ------------------------------------------------------------------ */

enum gqa_status gqa_gguf_tokens_add(bool *found, struct gqa_gguf_draft *d,
                                    const char *folder)
{
    static const struct {
        const char *name;
        enum gqa_status (*take)(bool *found, struct gqa_gguf_draft *d,
                                const char *bytes, size_t n,
                                const json_t *config);
    } kinds[] = {{"tokenizer.model", take_model},
                 {"tokenizer.json", take_json}};
    json_t *config = NULL;
    enum gqa_status st = read_config(&config, folder);

    *found = false;
    for (size_t i = 0;
         i < sizeof kinds / sizeof *kinds && st == GQA_OK && !*found; i++) {
        char *path = path_in(folder, kinds[i].name), *bytes = NULL;
        size_t n = 0;

        st = path ? read_whole(&bytes, &n, path) : gqa_fail_nomem();
        if (st == GQA_OK && bytes) {
            st = kinds[i].take(found, d, bytes, n, config);
            if (st != GQA_OK)
                st = gqa_fail_prefix(st, "%s", path);
        }
        free(bytes);
        free(path);
    }
    json_decref(config);
    return st;
}
