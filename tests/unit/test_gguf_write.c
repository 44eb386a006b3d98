/* GGUF files that are written: read back, and held against what they are of. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/interrupt.h"
#include "convert/convert.h"
#include "formats/gguf/content.h"
#include "formats/gguf/header.h"
#include "formats/recorded.h"
#include "scratch.h"
#include "suite.h"
#include "twins.h"

/* --- Contents ------------------------------------------------------------- */

/* Tensors of theirs, made of numbers that tell where they are in ours. */
struct contents {
    struct gqa_gguf_tensor tensor;
    struct gqa_gguf_piece piece;
    struct gqa_gguf_draft draft;
    struct gqa_output_options options;
    struct gqa_output output;
    struct gqa_gguf_content *made;
    size_t parts[3];
    uint64_t n_calls;
};

static float number(size_t tensor, uint64_t index)
{
    return (float)(tensor * 1000003 + index);
}

static enum gqa_status count_up(void *ctx, unsigned worker, size_t tensor,
                                uint64_t offset, size_t n, void *buf)
{
    struct contents *c = ctx;
    float *out = buf;

    ck_assert_uint_eq(worker, 1);
    ck_assert_uint_gt(n, 0);
    c->n_calls++;
    for (size_t i = 0; i < n / sizeof *out; i++)
        out[i] = number(tensor, offset / sizeof *out + i);
    return GQA_OK;
}

static void begin(struct contents *c, uint64_t rows, uint64_t length,
                  struct gqa_gguf_place place, size_t n_parts)
{
    memset(c, 0, sizeof *c);
    c->tensor = (struct gqa_gguf_tensor){.name = (char *)(uintptr_t) "t",
                                         .rank = 2,
                                         .shape = {rows, length},
                                         .type = gqa_gguf_type_find(0),
                                         .n_elements = rows * length,
                                         .n_bytes = rows * length * 4};
    for (size_t i = 0; i < 3; i++)
        c->parts[i] = 2 - i;
    c->piece = (struct gqa_gguf_piece){.parts = c->parts,
                                       .n_parts = n_parts,
                                       .dtype = GQA_F32,
                                       .place = place};
    c->draft = (struct gqa_gguf_draft){
        .header = {.tensors = &c->tensor, .n = 1}, .pieces = &c->piece};
    c->options.n_threads = 2;
    c->output = (struct gqa_output){
        .produce = count_up, .produce_ctx = c, .options = &c->options};
    ck_assert_int_eq(gqa_gguf_content_create(&c->made, &c->draft, &c->output),
                     GQA_OK);
}

/* All of it, so many bytes at a time, behind which nothing is written. */
static float *take_all(struct contents *c, uint64_t step)
{
    const uint64_t size = gqa_gguf_padded(c->tensor.n_bytes);
    unsigned char *out = malloc(size + 4);

    memset(out, 0xee, size + 4);
    for (uint64_t at = 0; at < size; at += step) {
        const uint64_t n = size - at < step ? size - at : step;

        ck_assert_int_eq(
            gqa_gguf_content_produce(c->made, 1, 0, at, n, out + at), GQA_OK);
    }
    for (uint64_t i = c->tensor.n_bytes; i < size; i++)
        ck_assert_uint_eq(out[i], 0);
    for (uint64_t i = size; i < size + 4; i++)
        ck_assert_uint_eq(out[i], 0xee);
    return (float *)(void *)out;
}

/* ours: which of our elements is theirs `i`. */
static void check_all(struct contents *c, uint64_t step,
                      float (*ours)(const struct contents *c, uint64_t i))
{
    float *out = take_all(c, step);

    for (uint64_t i = 0; i < c->tensor.n_elements; i++)
        if (out[i] != ours(c, i))
            ck_abort_msg("element %llu of %llu: %g, not %g",
                         (unsigned long long)i,
                         (unsigned long long)c->tensor.n_elements,
                         (double)out[i], (double)ours(c, i));
    free(out);
}

static void end(struct contents *c)
{
    gqa_gguf_content_free(c->made);
}

static float by_row(const struct contents *c, uint64_t i)
{
    const uint64_t length = c->tensor.shape[1];
    const uint64_t row = gqa_gguf_original_row(&c->piece.place, i / length);

    /* What reading does undoes it. */
    if (gqa_gguf_row(&c->piece.place, row) != i / length)
        ck_abort_msg("row %llu", (unsigned long long)row);
    return number(2, row * length + i % length);
}

static const uint64_t steps[] = {4, 12, 100, 4096, 1 << 20, 1 << 30};

/* Heads of 6: pairs (0, 3), (1, 4), (2, 5) side by side. */
START_TEST(pairs_rows_of_heads)
{
    const struct gqa_gguf_place place = {GQA_GGUF_PAIRED, 4, 4, 6};
    struct contents c;
    float *all;

    begin(&c, 24, 5, place, 1);
    all = take_all(&c, 1 << 20);
    ck_assert(all[0] == number(2, 0) && all[5] == number(2, 15));
    ck_assert(all[10] == number(2, 5) && all[30] == number(2, 30));
    free(all);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_all(&c, steps[i], by_row);
    end(&c);
    /* A bias is rows of one. */
    begin(&c, 24, 1, place, 1);
    check_all(&c, 12, by_row);
    end(&c);
    /* Rows of which one or three fit the room */
    begin(&c, 24, 100000, place, 1);
    check_all(&c, 4 << 20, by_row);
    end(&c);
    begin(&c, 24, 40000, place, 1);
    check_all(&c, 4 << 20, by_row);
    /* Both halves of each head come in runs, and those of a block's rows. */
    ck_assert_uint_le(c.n_calls, 24);
    end(&c);
    begin(&c, 12, 200000, (struct gqa_gguf_place){GQA_GGUF_PAIRED, 2, 2, 6}, 1);
    check_all(&c, 4 << 20, by_row);
    end(&c);
}
END_TEST

/* Groups of two queries, a key and a value, to all of each. */
START_TEST(parts_groups)
{
    const struct gqa_gguf_place place = {GQA_GGUF_BY_GROUPS, 4, 2, 3};
    struct contents c;
    float *all;

    /* Rows of 7 */
    begin(&c, 24, 7, place, 1);
    all = take_all(&c, 1 << 20);
    /* The third query is behind key and value of the first group. */
    ck_assert(all[42] == number(2, 84));
    ck_assert(all[84] == number(2, 42));   /* key 0 */
    ck_assert(all[105] == number(2, 126)); /* key 1 */
    ck_assert(all[126] == number(2, 63));  /* value 0 */
    free(all);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_all(&c, steps[i], by_row);
    end(&c);
}
END_TEST

/* Of pairs 3 apart, queries, keys and values that are one in ours */
static float by_third(const struct contents *c, uint64_t i)
{
    const struct gqa_gguf_place *p = &c->piece.place;
    const uint64_t length = c->tensor.shape[1];
    const unsigned slice = gqa_gguf_slice(p->order);
    const uint64_t before = slice == 0   ? 0
                            : slice == 1 ? p->n_heads
                                         : p->n_heads + p->n_kv_heads;
    const uint64_t row = gqa_gguf_original_row(p, i / length);

    /* Reading counts through all three. */
    ck_assert_uint_eq(gqa_gguf_n_slices(p->order), 3);
    if (gqa_gguf_row(p, row) != before * p->head_dim + i / length)
        ck_abort_msg("row %llu", (unsigned long long)row);
    return number(2, row * length + i % length);
}

static void takes_third(enum gqa_gguf_order order, uint64_t n_rows,
                        uint64_t second, uint64_t third)
{
    struct contents c;
    float *all;

    begin(&c, n_rows, 7, (struct gqa_gguf_place){order, 4, 2, 6}, 1);
    all = take_all(&c, 1 << 20);
    ck_assert(all[7] == number(2, 7 * second));
    ck_assert(all[84] == number(2, 7 * third));
    free(all);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_all(&c, steps[i], by_third);
    end(&c);
}

/* Four queries, two keys and two values of 6 rows: row 1 of each, and row 12,
 * the first of the third query; there is none of a third key. */
START_TEST(parts_what_is_fused)
{
    struct contents c;

    takes_third(GQA_GGUF_QUERIES, 24, 3, 12);
    takes_third(GQA_GGUF_GROUPED_QUERIES, 24, 3, 24);
    begin(&c, 12, 7, (struct gqa_gguf_place){GQA_GGUF_GROUPED_KEYS, 4, 2, 6},
          1);
    check_all(&c, 100, by_third);
    ck_assert_uint_eq(gqa_gguf_original_row(&c.piece.place, 1), 15);
    ck_assert_uint_eq(gqa_gguf_original_row(&c.piece.place, 6), 36);
    c.piece.place.order = GQA_GGUF_GROUPED_VALUES;
    check_all(&c, 100, by_third);
    ck_assert_uint_eq(gqa_gguf_original_row(&c.piece.place, 1), 19);
    ck_assert_uint_eq(gqa_gguf_original_row(&c.piece.place, 6), 42);
    c.piece.place.order = GQA_GGUF_KEYS;
    check_all(&c, 100, by_third);
    ck_assert_uint_eq(gqa_gguf_original_row(&c.piece.place, 1), 27);
    c.piece.place.order = GQA_GGUF_VALUES;
    check_all(&c, 100, by_third);
    ck_assert_uint_eq(gqa_gguf_original_row(&c.piece.place, 1), 37);
    end(&c);
    /* Values come in runs, three of these rows at a time. */
    begin(&c, 12, 40000, (struct gqa_gguf_place){GQA_GGUF_VALUES, 4, 2, 6}, 1);
    check_all(&c, 4 << 20, by_third);
    ck_assert_uint_le(c.n_calls, 4);
    end(&c);
}
END_TEST

static float by_column(const struct contents *c, uint64_t i)
{
    const uint64_t rows = c->tensor.shape[0], length = c->tensor.shape[1];

    return number(2, i % length * rows + i / length);
}

START_TEST(turns_matrices)
{
    const struct gqa_gguf_place place = {.order = GQA_GGUF_TURNED};
    struct contents c;

    begin(&c, 24, 7, place, 1);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_all(&c, steps[i], by_column);
    end(&c);
    /* More rows, and longer ones, than the room takes */
    begin(&c, 150000, 3, place, 1);
    check_all(&c, 4 << 20, by_column);
    end(&c);
    begin(&c, 3, 150000, place, 1);
    check_all(&c, 4 << 20, by_column);
    end(&c);
}
END_TEST

static float by_part(const struct contents *c, uint64_t i)
{
    const uint64_t each = c->tensor.n_elements / 3;

    return number(c->parts[i / each], i % each);
}

static float one_more(const struct contents *c, uint64_t i)
{
    (void)c;
    return number(2, i) + 1;
}

static float own(const struct contents *c, uint64_t i)
{
    (void)c;
    return (float)i / 2;
}

START_TEST(joins_experts_and_adds_to_norms)
{
    const struct gqa_gguf_place place = {.order = GQA_GGUF_AS_IT_IS};
    const struct gqa_gguf_place more = {.order = GQA_GGUF_ONE_MORE};
    float values[33];
    struct contents c;

    begin(&c, 9, 5, place, 3);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        check_all(&c, steps[i], by_part);
    end(&c);
    begin(&c, 300, 999, more, 1);
    for (size_t i = 3; i < sizeof steps / sizeof *steps; i++)
        check_all(&c, steps[i], one_more);
    end(&c);
    begin(&c, 33, 1, place, 0);
    for (size_t i = 0; i < 33; i++)
        values[i] = (float)i / 2;
    c.piece.values = values;
    check_all(&c, 8, own);
    ck_assert_uint_eq(c.n_calls, 0);
    end(&c);
}
END_TEST

/* --- Whole files ---------------------------------------------------------- */

static enum gqa_status stay_silent(const struct gqa_conversion *c)
{
    (void)c;
    return GQA_OK;
}

/* Arguments of gqa-convert, before input and output, that end in NULL. */
static enum gqa_status run(const char *input, const char *output,
                           const char *const *more)
{
    char *arguments[16] = {(char *)(uintptr_t) "gqa-convert"};
    struct gqa_convert_options options;
    struct gqa_conversion c;
    int n = 1;
    enum gqa_status st;

    for (; *more; more++)
        arguments[n++] = (char *)(uintptr_t)*more;
    arguments[n++] = (char *)(uintptr_t)input;
    arguments[n++] = (char *)(uintptr_t)output;
    st = gqa_convert_options_parse(&options, n, arguments);
    if (st == GQA_OK)
        st = gqa_convert(&c, &options, stay_silent);
    if (st == GQA_OK)
        gqa_conversion_clear(&c);
    gqa_convert_options_clear(&options);
    return st;
}

static void convert(const char *input, const char *output,
                    const char *const *more)
{
    ck_assert_msg(run(input, output, more) == GQA_OK, "%s: %s", input,
                  gqa_error_message());
}

static struct gqa_checkpoint *open_file(const char *path)
{
    struct gqa_checkpoint *c = NULL;

    ck_assert_msg(gqa_checkpoint_open(&c, path,
                                      &(const struct gqa_checkpoint_options){
                                          .config_path = NULL}) == GQA_OK,
                  "%s", gqa_error_message());
    return c;
}

/* Matrices bit for bit; norms and biases, which may be wider, by number, and
 * where one is added to them, as float32 has it then. */
static void same_tensor(struct gqa_checkpoint *a, size_t i,
                        struct gqa_checkpoint *b, size_t k, bool one_more)
{
    const struct gqa_tensor *x = gqa_checkpoint_tensor(a, i);
    const struct gqa_tensor *y = gqa_checkpoint_tensor(b, k);
    double *from = twins_read(a, i), *to = twins_read(b, k);

    ck_assert_uint_eq(x->rank, y->rank);
    ck_assert_uint_eq(x->n_elements, y->n_elements);
    ck_assert(y->dtype == x->dtype ||
              (y->dtype == GQA_F32 && gqa_dtype_is_half(x->dtype)));
    for (uint64_t n = 0; n < x->n_elements; n++)
        if (!(one_more && strstr(x->name, "norm")
                  ? (float)(from[n] + 1) - 1 == (float)to[n]
                  : from[n] == to[n] && !signbit(from[n]) == !signbit(to[n])))
            ck_abort_msg("%s: %a and %a", x->name, from[n], to[n]);
    free(from);
    free(to);
}

/* n_copies: of an embedding, that theirs has besides. */
static void same_checkpoint(const char *ours, const char *theirs, bool one_more,
                            size_t n_copies)
{
    struct gqa_checkpoint *a = open_file(ours), *b = open_file(theirs);
    size_t k;

    ck_assert_uint_eq(gqa_checkpoint_n_tensors(a) + n_copies,
                      gqa_checkpoint_n_tensors(b));
    for (size_t i = 0; i < gqa_checkpoint_n_tensors(a); i++) {
        const char *name = gqa_checkpoint_tensor(a, i)->name;

        for (k = 0; k < gqa_checkpoint_n_tensors(b); k++)
            if (strcmp(gqa_checkpoint_tensor(b, k)->name, name) == 0)
                break;
        ck_assert_msg(k < gqa_checkpoint_n_tensors(b), "no %s", name);
        same_tensor(a, i, b, k, one_more);
    }
    ck_assert(json_equal(gqa_checkpoint_config(a), gqa_checkpoint_config(b)));
    gqa_checkpoint_close(a);
    gqa_checkpoint_close(b);
}

static const struct {
    const char *source, *groups;
    bool one_more;
    size_t n_copies;
} models[] = {
    {"runtime/llama", "1", false, 0},
    {"runtime/llama-grouped", "1", false, 0},
    {"runtime/mistral", "1", false, 0},
    {"runtime/qwen2", "2", false, 0},
    {"runtime/llama-llama3", "1", false, 0},
    {"runtime/llama-longrope", "1", false, 0},
    {"runtime/llama-linear", "1", false, 0},
    {"runtime/llama-yarn", "1", false, 0},
    {"good/gpt2", "2", false, 0},
    {"good/tf-gpt2", "2", false, 0},
    {"good/gpt_neox", "2", false, 0},
    {"good/kerashub-gpt_neox", "1", false, 1},
    {"families/phi3", "1", false, 0},
    {"families/phi3-long", "1", false, 0},
    {"families/phi", "2", false, 0},
    {"families/qwen3", "1", false, 0},
    {"families/gemma", "1", true, 0},
    {"families/stablelm", "2", false, 0},
    {"families/stablelm-parallel", "2", false, 0},
    {"families/bloom", "2", false, 0},
    {"families/falcon-40b", "1", false, 0},
    {"families/olmo2", "1", false, 0},
    {"families/cohere", "1", false, 0},
    {"families/starcoder2", "1", false, 0},
    {"families/mixtral", "1", false, 0},
    {"families/qwen2_moe-all", "2", false, 0},
    {"families/qwen3_moe-all", "1", false, 0},
    {"families/olmoe", "4", false, 0},
    {"families/deepseek", "2", false, 0},
    {"families/internlm2", "1", false, 0},
    {"families/internlm2", "2", false, 0},
    {"families/cohere2", "2", false, 0},
    {"families/mpt", "2", false, 0},
    {"families/mpt-clip", "2", false, 0},
    {"families/granite", "2", false, 0},
    {"families/granitemoe", "1", false, 0},
    {"families/nemotron", "2", true, 0},
    {"families/glm4", "1", false, 0},
    {"families/glm", "2", false, 0},
    {"families/chatglm2", "1", false, 0},
    {"families/chatglm2-long", "1", false, 0},
    {"families/arcee", "2", false, 0},
    {"families/apertus", "2", false, 0},
    {"families/xverse", "1", false, 0},
    {"families/orion", "2", false, 0},
    {"families/minicpm", "2", false, 0},
    {"families/gpt_bigcode", "2", false, 0},
    {"families/gpt_bigcode-mqa", "1", false, 0},
    {"families/olmo3", "2", false, 0},
    {"families/exaone", "1", false, 0},
    {"families/exaone4-full", "1", false, 0},
    {"families/exaone_moe", "2", false, 0},
    {"families/glm4_moe", "1", false, 0},
    {"families/solar_open", "1", false, 0},
    {"families/ernie4_5_moe", "2", false, 0},
    {"families/hunyuan", "1", false, 0},
    {"families/hunyuan-alpha", "2", false, 0},
    {"families/hunyuan-moe", "1", false, 0},
    {"families/minimax_m2", "2", false, 0},
    {"families/granitemoeshared", "2", false, 0},
    {"families/granitemoehybrid", "1", false, 0},
    {"families/jais2", "2", false, 0},
    {"families/internlm", "2", false, 0},
    {"families/internlm3", "1", false, 0},
    {"families/ministral", "2", false, 0},
    {"families/cwm", "1", false, 0},
};

/* The very bits of a conversion to safetensors, and its configuration. */
START_TEST(holds_what_was_converted)
{
    const char *const options[] = {"--force", "--groups", models[_i].groups,
                                   "--allow-extra", NULL};
    char *made = strdup(scratch_path("made.gguf"));
    char *ours = strdup(scratch_path("ours.safetensors"));
    char *source = strdup(test_data(models[_i].source));

    convert(source, made, options);
    convert(source, ours, options);
    same_checkpoint(ours, made, models[_i].one_more, models[_i].n_copies);
    free(source);
    free(ours);
    free(made);
}
END_TEST

/* Keys of a file, without what is ours. */
static char *keys_of(const char *path)
{
    struct gqa_gguf_header header = {0};
    const int fd = open(path, O_RDONLY);
    char *text;

    ck_assert_int_ge(fd, 0);
    ck_assert_msg(gqa_gguf_header_read(
                      &header, fd, (uint64_t)lseek(fd, 0, SEEK_END)) == GQA_OK,
                  "%s", gqa_error_message());
    close(fd);
    ck_assert(json_is_string(json_object_get(header.keys, "gqa.recipe")));
    json_object_del(header.keys, "gqa.config");
    json_object_del(header.keys, "gqa.recipe");
    text = json_dumps(header.keys, JSON_COMPACT | JSON_REAL_PRECISION(6));
    gqa_gguf_header_clear(&header);
    return text;
}

static void has_keys(const char *source, const char *const *options,
                     const char *keys)
{
    char *made = strdup(scratch_path("made.gguf"));
    char *text;

    convert(test_data(source), made, options);
    text = keys_of(made);
    ck_assert_str_eq(text, keys);
    free(text);
    free(made);
}

START_TEST(has_keys_of_llama_cpp)
{
    has_keys("good/gpt2", (const char *const[]){"--groups", "2", NULL},
             "{\"general.architecture\":\"gpt2\",\"general.file_type\":0,"
             "\"gpt2.context_length\":8,\"gpt2.embedding_length\":20,"
             "\"gpt2.feed_forward_length\":9,\"gpt2.block_count\":1,"
             "\"gpt2.attention.head_count\":4,"
             "\"gpt2.attention.head_count_kv\":2,"
             "\"gpt2.attention.layer_norm_epsilon\":1e-5,"
             "\"gpt2.vocab_size\":13,\"gqa.version\":\"1\","
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    /* What grows with longer texts is not said. */
    has_keys("runtime/llama-dynamic",
             (const char *const[]){"-f", "--groups", "1", NULL},
             "{\"general.architecture\":\"llama\",\"general.file_type\":1,"
             "\"llama.context_length\":8,\"llama.embedding_length\":24,"
             "\"llama.feed_forward_length\":29,\"llama.block_count\":2,"
             "\"llama.attention.head_count\":4,"
             "\"llama.attention.head_count_kv\":1,"
             "\"llama.rope.freq_base\":10000.0,"
             "\"llama.attention.key_length\":8,"
             "\"llama.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,\"llama.vocab_size\":61,"
             "\"llama.rope.dimension_count\":8,"
             "\"llama.attention.value_length\":8,\"gqa.version\":\"1\","
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    has_keys("runtime/llama-llama3",
             (const char *const[]){"-f", "--groups", "1", NULL},
             "{\"general.architecture\":\"llama\",\"general.file_type\":1,"
             "\"llama.context_length\":64,\"llama.embedding_length\":24,"
             "\"llama.feed_forward_length\":29,\"llama.block_count\":2,"
             "\"llama.attention.head_count\":4,"
             "\"llama.attention.head_count_kv\":1,"
             "\"llama.rope.freq_base\":500.0,"
             "\"llama.attention.key_length\":16,"
             "\"llama.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,\"llama.vocab_size\":61,"
             "\"llama.rope.dimension_count\":16,"
             "\"llama.attention.value_length\":16,\"gqa.version\":\"1\","
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    has_keys("families/phi3-long",
             (const char *const[]){"-f", "--groups", "1", NULL},
             "{\"general.architecture\":\"phi3\",\"general.file_type\":1,"
             "\"phi3.context_length\":3,\"phi3.embedding_length\":32,"
             "\"phi3.feed_forward_length\":29,\"phi3.block_count\":2,"
             "\"phi3.attention.head_count\":4,"
             "\"phi3.attention.head_count_kv\":1,"
             "\"phi3.rope.freq_base\":10000.0,"
             "\"phi3.rope.scaling.original_context_length\":16,"
             "\"phi3.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"phi3.attention.sliding_window\":3,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,"
             "\"tokenizer.ggml.padding_token_id\":0,\"phi3.vocab_size\":47,"
             "\"phi3.rope.dimension_count\":6,\"gqa.version\":\"1\","
             "\"phi3.rope.scaling.type\":\"longrope\","
             "\"phi3.rope.scaling.attn_factor\":1.22474,"
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    has_keys("families/mixtral",
             (const char *const[]){"-f", "--groups", "1", NULL},
             "{\"general.architecture\":\"llama\",\"general.file_type\":1,"
             "\"llama.context_length\":3,\"llama.embedding_length\":32,"
             "\"llama.feed_forward_length\":6,\"llama.block_count\":2,"
             "\"llama.attention.head_count\":4,"
             "\"llama.attention.head_count_kv\":1,"
             "\"llama.rope.freq_base\":1e6,"
             "\"llama.attention.key_length\":8,"
             "\"llama.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"llama.expert_count\":4,\"llama.expert_used_count\":2,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,"
             "\"tokenizer.ggml.padding_token_id\":0,\"llama.vocab_size\":47,"
             "\"llama.rope.dimension_count\":8,\"llama.attention.value_"
             "length\":8,\"gqa.version\":\"1\","
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    /* Constants of activations, of both layers. */
    has_keys("families/apertus",
             (const char *const[]){"-f", "--groups", "1", NULL},
             "{\"general.architecture\":\"apertus\",\"general.file_type\":1,"
             "\"apertus.context_length\":64,\"apertus.embedding_length\":32,"
             "\"apertus.feed_forward_length\":29,\"apertus.block_count\":2,"
             "\"apertus.attention.head_count\":4,"
             "\"apertus.attention.head_count_kv\":1,"
             "\"apertus.rope.freq_base\":1.2e7,"
             "\"apertus.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,"
             "\"tokenizer.ggml.padding_token_id\":0,\"apertus.vocab_size\":47,"
             "\"apertus.rope.dimension_count\":8,"
             "\"gqa.version\":\"1\","
             "\"xielu.alpha_p\":[-0.412109,0.728027],"
             "\"xielu.alpha_n\":[-0.171631,-0.0387573],"
             "\"xielu.beta\":[0.5,0.5],"
             "\"xielu.eps\":[-1.01328e-6,-1.01328e-6],"
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    /* 10000 times 100 to the power of 6 / 4. */
    has_keys("families/hunyuan-alpha",
             (const char *const[]){"-f", "--groups", "2", NULL},
             "{\"general.architecture\":\"hunyuan-dense\","
             "\"general.file_type\":1,\"hunyuan-dense.context_length\":64,"
             "\"hunyuan-dense.embedding_length\":32,"
             "\"hunyuan-dense.feed_forward_length\":29,"
             "\"hunyuan-dense.block_count\":2,"
             "\"hunyuan-dense.attention.head_count\":4,"
             "\"hunyuan-dense.attention.head_count_kv\":2,"
             "\"hunyuan-dense.rope.freq_base\":1e7,"
             "\"hunyuan-dense.attention.key_length\":6,"
             "\"hunyuan-dense.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,"
             "\"tokenizer.ggml.padding_token_id\":0,"
             "\"hunyuan-dense.vocab_size\":47,"
             "\"hunyuan-dense.rope.dimension_count\":6,"
             "\"hunyuan-dense.attention.value_length\":6,"
             "\"gqa.version\":\"1\",\"tokenizer.ggml.model\":\"no_vocab\"}");
    /* Of types that llama.cpp demands, and sizes that no configuration says. */
    has_keys("families/exaone_moe",
             (const char *const[]){"-f", "--groups", "1", NULL},
             "{\"general.architecture\":\"exaone-moe\","
             "\"general.file_type\":1,\"exaone-moe.context_length\":64,"
             "\"exaone-moe.embedding_length\":32,"
             "\"exaone-moe.feed_forward_length\":29,"
             "\"exaone-moe.block_count\":2,"
             "\"exaone-moe.attention.head_count\":4,"
             "\"exaone-moe.attention.head_count_kv\":1,"
             "\"exaone-moe.rope.freq_base\":10000.0,"
             "\"exaone-moe.attention.key_length\":8,"
             "\"exaone-moe.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"exaone-moe.attention.sliding_window\":3,"
             "\"exaone-moe.attention.sliding_window_pattern\":[true,false],"
             "\"exaone-moe.expert_count\":4,"
             "\"exaone-moe.expert_used_count\":2,"
             "\"exaone-moe.expert_group_count\":1,"
             "\"exaone-moe.expert_group_used_count\":1,"
             "\"exaone-moe.expert_weights_norm\":true,"
             "\"exaone-moe.expert_weights_scale\":2.5,"
             "\"exaone-moe.expert_feed_forward_length\":6,"
             "\"exaone-moe.leading_dense_block_count\":1,"
             "\"exaone-moe.expert_shared_count\":1,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,"
             "\"tokenizer.ggml.padding_token_id\":0,"
             "\"exaone-moe.vocab_size\":47,"
             "\"exaone-moe.rope.dimension_count\":8,"
             "\"exaone-moe.expert_gating_func\":2,"
             "\"exaone-moe.expert_shared_feed_forward_length\":6,"
             "\"exaone-moe.attention.value_length\":8,"
             "\"gqa.version\":\"1\",\"tokenizer.ggml.model\":\"no_vocab\"}");
    /* Layers that differ in KV heads: a list, in the architecture that takes
     * one, or where it is asked for. */
    has_keys("runtime/llama",
             (const char *const[]){"-f", "--groups", "3", "--layer-groups",
                                   "1=1", NULL},
             "{\"general.architecture\":\"deci\",\"general.file_type\":0,"
             "\"deci.context_length\":64,\"deci.embedding_length\":24,"
             "\"deci.feed_forward_length\":29,\"deci.block_count\":2,"
             "\"deci.attention.head_count\":3,"
             "\"deci.attention.head_count_kv\":[3,1],"
             "\"deci.rope.freq_base\":10000.0,"
             "\"deci.attention.key_length\":8,"
             "\"deci.attention.layer_norm_rms_epsilon\":1e-5,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,\"deci.vocab_size\":61,"
             "\"deci.rope.dimension_count\":8,"
             "\"deci.attention.value_length\":8,\"gqa.version\":\"1\","
             "\"tokenizer.ggml.model\":\"no_vocab\"}");
    has_keys("runtime/gpt2",
             (const char *const[]){"-f", "--groups", "4", "--layer-groups",
                                   "1=1", "--allow-hybrid", NULL},
             "{\"general.architecture\":\"gpt2\",\"general.file_type\":0,"
             "\"gpt2.context_length\":24,\"gpt2.embedding_length\":20,"
             "\"gpt2.feed_forward_length\":31,\"gpt2.block_count\":2,"
             "\"gpt2.attention.head_count\":4,"
             "\"gpt2.attention.head_count_kv\":[4,1],"
             "\"gpt2.attention.layer_norm_epsilon\":1e-5,"
             "\"tokenizer.ggml.bos_token_id\":1,"
             "\"tokenizer.ggml.eos_token_id\":2,\"gpt2.vocab_size\":61,"
             "\"gqa.version\":\"1\",\"tokenizer.ggml.model\":\"no_vocab\"}");
}
END_TEST

/* The pair of a key, as it lies in the file; the caller frees. */
static unsigned char *take_pair(const char *path, const char *key, size_t *n)
{
    struct gqa_gguf_header header = {0};
    const int fd = open(path, O_RDONLY);
    unsigned char *bytes = NULL;

    ck_assert_int_eq(
        gqa_gguf_header_read(&header, fd, (uint64_t)lseek(fd, 0, SEEK_END)),
        GQA_OK);
    for (size_t i = 0; i < header.n_pairs; i++)
        if (strcmp(header.pairs[i].key, key) == 0) {
            *n = (size_t)header.pairs[i].n_bytes;
            bytes = malloc(*n);
            ck_assert_int_eq(
                gqa_file_read(fd, bytes, *n, header.pairs[i].offset), GQA_OK);
        }
    ck_assert_msg(bytes != NULL, "%s: no %s", path, key);
    gqa_gguf_header_clear(&header);
    close(fd);
    return bytes;
}

/* Vocabulary and name of a GGUF file, over what the configuration says. */
START_TEST(takes_along_the_vocabulary)
{
    static const char *const keys[] = {"tokenizer.ggml.tokens", "general.name"};
    static const char *const options[] = {"--groups", "1", NULL};
    char *made = strdup(scratch_path("made.gguf"));
    char *source = strdup(test_data("gguf/gpt2.gguf"));

    convert(source, made, options);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t n = 0, m = 0;
        unsigned char *ours = take_pair(source, keys[i], &n);
        unsigned char *theirs = take_pair(made, keys[i], &m);

        ck_assert_uint_eq(n, m);
        ck_assert_mem_eq(ours, theirs, n);
        free(ours);
        free(theirs);
    }
    ck_assert(gqa_gguf_key_travels("tokenizer.chat_template"));
    ck_assert(!gqa_gguf_key_travels("general.file_type"));
    ck_assert(!gqa_gguf_key_travels("gpt2.block_count"));
    free(source);
    free(made);
}
END_TEST

static void refused(const char *source, enum gqa_status status,
                    const char *message, const char *const *options)
{
    char *made = strdup(scratch_path("made.gguf"));

    ck_assert_int_eq(run(test_data(source), made, options), status);
    ck_assert_msg(strstr(gqa_error_message(), message), "%s",
                  gqa_error_message());
    ck_assert_int_ne(access(made, F_OK), 0);
    free(made);
}

START_TEST(refuses_what_it_cannot_say)
{
    static const char *const one[] = {"--groups", "1", NULL};
    static const char *const dry[] = {"--dry-run", "--groups", "1", NULL};

    refused("families/codegen", GQA_ERR_UNSUPPORTED,
            "a model of the type codegen cannot be written as GGUF; models of "
            "these types can: mixtral, internlm, llama, mistral, ministral",
            (const char *const[]){"--groups", "4", NULL});
    refused("families/gptj", GQA_ERR_UNSUPPORTED, "cannot be written", dry);
    refused("runtime/t5-v1_1", GQA_ERR_UNSUPPORTED,
            "llama.cpp takes no fewer KV heads than the 4 heads", one);
    refused("families/llava", GQA_ERR_UNSUPPORTED,
            "a model that is a part of another ('text_config')", one);
    refused("runtime/gpt2-variant", GQA_ERR_UNSUPPORTED,
            "scale_attn_weights is false", one);
    refused("families/gemma2", GQA_ERR_UNSUPPORTED,
            "query_pre_attn_scalar is 24 in the configuration, and a GGUF file "
            "of the architecture gemma2 can say 6 alone",
            one);
    refused("families/baichuan", GQA_ERR_UNSUPPORTED,
            "by its 2 layers llama.cpp takes a model of the architecture "
            "baichuan for one with no positions, and this has RoPE",
            one);
    refused("families/exaone4", GQA_ERR_UNSUPPORTED,
            "by its 2 layers llama.cpp takes a model of the architecture "
            "exaone4 for one without layers that see a window",
            one);
    refused("families/dots1", GQA_ERR_UNSUPPORTED,
            "llama.cpp takes no fewer KV heads than the 4 heads in the "
            "architecture dots1",
            one);
    refused("families/olmo", GQA_ERR_UNSUPPORTED,
            "has no place for in the architecture olmo", one);
    refused("runtime/gpt_neox-nobias", GQA_ERR_UNSUPPORTED,
            "would have no blk.%.attn_qkv.bias as GGUF", one);
    refused("runtime/qwen2-tied", GQA_ERR_UNSUPPORTED,
            "4 heads of 6 do not make the stream's 20", one);
    refused("good/llama-f64", GQA_ERR_UNSUPPORTED,
            "is F64, which is not written as GGUF; give --dtype", one);
    refused(
        "runtime/gpt2", GQA_ERR_USAGE,
        "its layers would differ in KV heads, which llama.cpp does not "
        "take in the architecture gpt2",
        (const char *const[]){"--groups", "4", "--layer-groups", "1=1", NULL});
}
END_TEST

/* --- Trouble -------------------------------------------------------------- */

static enum gqa_status give_trouble(void *ctx, unsigned worker, size_t tensor,
                                    uint64_t offset, size_t n, void *buf)
{
    (void)worker;
    (void)tensor;
    (void)offset;
    memset(buf, 0, n);
    /* A second signal would end the program. */
    if (ctx && atomic_exchange((atomic_int *)ctx, 0))
        raise(SIGTERM);
    return ctx ? GQA_OK : gqa_fail(GQA_ERR_FORMAT, "chunk 7 is damaged");
}

/* A model whose contents do not come. */
static enum gqa_status write_failing(void *ctx)
{
    const struct gqa_model_hints hints = {0};
    struct gqa_output_tensor list[64] = {0};
    struct gqa_output_summary summary;
    struct gqa_checkpoint *c = open_file(test_data("good/gpt2"));
    struct gqa_model *m = NULL;
    enum gqa_status st;

    ck_assert_int_eq(gqa_model_create(&m, c, &hints), GQA_OK);
    ck_assert_uint_le(m->n_params, 64);
    for (size_t i = 0; i < m->n_params; i++)
        list[i] = (struct gqa_output_tensor){.name = m->params[i].name,
                                             .dtype = m->params[i].dtype,
                                             .rank = m->params[i].rank,
                                             .shape = m->params[i].shape,
                                             .n_bytes = m->params[i].n_bytes};
    st = gqa_output_write(&summary, scratch_path("made.gguf"), list,
                          m->n_params, give_trouble, ctx,
                          &(const struct gqa_output_options){
                              .writer = &gqa_writer_gguf,
                              .n_threads = 2,
                              .config = m->config,
                              .model = m,
                              .n_kv_heads = gqa_model_kv_heads(m)});
    gqa_model_free(m);
    gqa_checkpoint_close(c);
    return st;
}

START_TEST(trouble_leaves_nothing)
{
    atomic_int signals = 1;

    ck_assert_int_eq(write_failing(NULL), GQA_ERR_FORMAT);
    ck_assert_str_eq(gqa_error_message(), "chunk 7 is damaged");
    ck_assert_int_ne(access(scratch_path("made.gguf"), F_OK), 0);
    gqa_interrupt_catch(NULL);
    ck_assert_int_eq(write_failing(&signals), GQA_ERR_INTERRUPTED);
    ck_assert_int_ne(access(scratch_path("made.gguf"), F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf_write");
    TCase *contents = tcase_create("contents");
    TCase *files = tcase_create("files");

    tcase_add_test(contents, pairs_rows_of_heads);
    tcase_add_test(contents, parts_groups);
    tcase_add_test(contents, parts_what_is_fused);
    tcase_add_test(contents, turns_matrices);
    tcase_add_test(contents, joins_experts_and_adds_to_norms);
    tcase_add_checked_fixture(files, scratch_create, scratch_remove);
    tcase_add_loop_test(files, holds_what_was_converted, 0,
                        sizeof models / sizeof *models);
    tcase_add_test(files, has_keys_of_llama_cpp);
    tcase_add_test(files, takes_along_the_vocabulary);
    tcase_add_test(files, refuses_what_it_cannot_say);
    tcase_add_test(files, trouble_leaves_nothing);
    suite_add_tcase(suite, contents);
    suite_add_tcase(suite, files);
    return suite_run(suite);
}
