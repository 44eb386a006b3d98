#include "formats/gguf/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/json.h"
#include "common/memory_stream.h"
#include "formats/gguf/header_write.h"
#include "formats/gguf/keys.h"
#include "formats/gguf/pieces.h"
#include "formats/gguf/values.h"

/* Far above what there is. */
enum { MAX_MODEL = 64 << 20, MAX_CONFIG = 16 << 20 };

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
static enum gqa_status read_whole(unsigned char **bytes, size_t *n,
                                  const char *path)
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
    else
        st = gqa_file_read(fd, *bytes, (size_t)size, 0);
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
        return GQA_OK; /* of a larger vocabulary than the model's */
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
    put_list(out, "tokenizer.ggml.scores", GQA_GGUF_F32, t->n);
    for (size_t i = 0; i < t->n; i++) {
        uint32_t bits;

        memcpy(&bits, &t->items[i].score, sizeof bits);
        gqa_gguf_put(out, bits, 4);
    }
    put_list(out, "tokenizer.ggml.token_type", GQA_GGUF_I32, t->n);
    for (size_t i = 0; i < t->n; i++)
        gqa_gguf_put(out, t->items[i].type, 4);
}

static enum gqa_status keep_tokens(struct gqa_gguf_draft *d,
                                   const struct tokens *t)
{
    struct gqa_memory_stream stream;
    enum gqa_status st = gqa_memory_stream_open(&stream);

    if (st != GQA_OK)
        return st;
    put_tokens(stream.out, t);
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

/* Keys that say how they are used; those of the special tokens are the
 * configuration's. */
static void tell(struct gqa_gguf_draft *d, const struct gqa_pieces *pieces,
                 const json_t *config)
{
    static const struct {
        const char *ours, *theirs;
    } flags[] = {{"add_bos_token", "tokenizer.ggml.add_bos_token"},
                 {"add_eos_token", "tokenizer.ggml.add_eos_token"}};
    const json_t *chat = json_object_get(config, "chat_template");

    gqa_gguf_key_set(d, "tokenizer.ggml.model", json_string("llama"));
    gqa_gguf_key_set(d, "tokenizer.ggml.pre", json_string("default"));
    gqa_gguf_key_set(d, "tokenizer.ggml.add_space_prefix",
                     json_boolean(pieces->space_before));
    gqa_gguf_key_set(d, "tokenizer.ggml.unknown_token_id",
                     json_integer((json_int_t)pieces->unknown));
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_boolean(json_object_get(config, flags[i].ours)))
            gqa_gguf_key_set(
                d, flags[i].theirs,
                json_incref(json_object_get(config, flags[i].ours)));
    if (json_is_string(chat))
        gqa_gguf_key_set(d, "tokenizer.chat_template",
                         json_string(json_string_value(chat)));
}

/* --- All ------------------------------------------------------------------ */

static size_t n_tokens(const struct gqa_gguf_draft *d)
{
    for (size_t i = 0; i < d->header.n; i++)
        if (strcmp(d->header.tensors[i].name, "token_embd.weight") == 0)
            return (size_t)d->header.tensors[i].shape[0];
    return 0;
}

static enum gqa_status take(struct gqa_gguf_draft *d,
                            const struct gqa_pieces *pieces,
                            const json_t *config)
{
    struct tokens t = {.n = n_tokens(d)};
    enum gqa_status st = GQA_OK;

    if (pieces->n > t.n || pieces->unknown >= t.n)
        return gqa_fail(GQA_ERR_FORMAT,
                        "%zu pieces, and the model has %zu tokens", pieces->n,
                        t.n);
    t.items = calloc(t.n, sizeof *t.items);
    if (!t.items)
        return gqa_fail_nomem();
    memcpy(t.items, pieces->items, pieces->n * sizeof *t.items);
    for (size_t i = pieces->n; i < t.n; i++)
        t.items[i] =
            (struct gqa_piece){.score = -10000, .type = GQA_PIECE_UNUSED};
    st = add_tokens(&t, config);
    if (st == GQA_OK)
        st = keep_tokens(d, &t);
    if (st == GQA_OK)
        tell(d, pieces, config);
    free(t.items);
    return st;
}

static enum gqa_status read_config(json_t **out, const char *folder)
{
    char *path = path_in(folder, "tokenizer_config.json");
    enum gqa_status st = path ? GQA_OK : gqa_fail_nomem();

    if (st == GQA_OK && access(path, F_OK) == 0)
        st = gqa_json_load_file(out, path, MAX_CONFIG);
    free(path);
    return st;
}

static enum gqa_status take_model(bool *found, struct gqa_gguf_draft *d,
                                  const char *folder, const char *path)
{
    struct gqa_pieces pieces = {0};
    unsigned char *bytes = NULL;
    json_t *config = NULL;
    size_t n = 0;
    enum gqa_status st = read_whole(&bytes, &n, path);

    if (st == GQA_OK && bytes) {
        st = gqa_pieces_parse(&pieces, bytes, n);
        if (st != GQA_OK)
            st = gqa_fail_prefix(st, "%s", path);
    }
    if (st == GQA_OK && pieces.is_bpe)
        st = read_config(&config, folder);
    if (st == GQA_OK && pieces.is_bpe) {
        st = take(d, &pieces, config);
        *found = st == GQA_OK;
        if (st != GQA_OK)
            st = gqa_fail_prefix(st, "%s", path);
    }
    json_decref(config);
    gqa_pieces_clear(&pieces);
    free(bytes);
    return st;
}

enum gqa_status gqa_gguf_tokens_add(bool *found, struct gqa_gguf_draft *d,
                                    const char *folder)
{
    char *path = path_in(folder, "tokenizer.model");
    enum gqa_status st;

    *found = false;
    if (!path)
        return gqa_fail_nomem();
    st = take_model(found, d, folder, path);
    free(path);
    return st;
}
