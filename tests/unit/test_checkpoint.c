#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/checkpoint.h"
#include "formats/foreign/words.h"
#include "scratch.h"
#include "suite.h"
#include "tests/find_tensor.h"

static const struct gqa_checkpoint_options defaults;

/* A safetensors header with one tensor of four bytes. */
#define HEADER(name)                                 \
    "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[4]," \
    "\"data_offsets\":[0,4]}}"

#define INDEX(map) "{\"metadata\":{},\"weight_map\":{" map "}}"

static void write_tensor(const char *file, const char *header)
{
    scratch_write_safetensors(file, header, "abcd", 4);
}

static struct gqa_checkpoint *open_with(
    const char *path, const struct gqa_checkpoint_options *options)
{
    struct gqa_checkpoint *c = NULL;

    ck_assert_msg(gqa_checkpoint_open(&c, path, options) == GQA_OK, "%s",
                  gqa_error_message());
    return c;
}

static struct gqa_checkpoint *open_good(const char *path)
{
    return open_with(path, &defaults);
}

/* The message is "SCRATCH/" and then `message`. */
static void refused_with(const char *path,
                         const struct gqa_checkpoint_options *options,
                         enum gqa_status status, const char *message)
{
    struct gqa_checkpoint *c = NULL;
    const size_t n = strlen(scratch_folder());

    ck_assert_int_eq(gqa_checkpoint_open(&c, path, options), status);
    ck_assert_ptr_null(c);
    ck_assert_int_eq(strncmp(gqa_error_message(), scratch_folder(), n), 0);
    ck_assert_str_eq(gqa_error_message() + n, message);
}

static void refused(const char *name, enum gqa_status status,
                    const char *message)
{
    refused_with(scratch_path(name), &defaults, status, message);
}

static void refused_folder(enum gqa_status status, const char *message)
{
    refused_with(scratch_folder(), &defaults, status, message);
}

static int config_value(const struct gqa_checkpoint *c)
{
    return (int)json_integer_value(
        json_object_get(gqa_checkpoint_config(c), "v"));
}

START_TEST(opens_one_file)
{
    struct gqa_checkpoint *c;
    size_t i = 9;

    write_tensor("weights", HEADER("a"));
    c = open_good(scratch_path("weights"));
    ck_assert_str_eq(gqa_checkpoint_kind(c), "safetensors");
    ck_assert_str_eq(gqa_checkpoint_path(c), scratch_path("weights"));
    ck_assert_str_eq(gqa_checkpoint_folder(c), scratch_folder());
    ck_assert(!gqa_checkpoint_is_folder(c));
    ck_assert_uint_eq(gqa_checkpoint_n_sources(c), 1);
    ck_assert_uint_eq(gqa_checkpoint_n_tensors(c), 1);
    ck_assert_int_eq(gqa_checkpoint_naming(c), GQA_NAMES_TORCH);
    ck_assert_ptr_null(gqa_checkpoint_config(c));
    ck_assert(find_tensor(c, "a", &i));
    ck_assert_uint_eq(i, 0);
    ck_assert(!find_tensor(c, "b", &i));
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(names_the_folder_of_a_bare_name)
{
    struct gqa_checkpoint *c;

    write_tensor("weights", HEADER("a"));
    ck_assert_int_eq(chdir(scratch_folder()), 0);
    c = open_good("weights");
    ck_assert_str_eq(gqa_checkpoint_folder(c), ".");
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(opens_a_folder)
{
    struct gqa_checkpoint *c;

    write_tensor("model.safetensors", HEADER("a"));
    write_tensor("other.safetensors", HEADER("b"));
    c = open_good(scratch_folder());
    ck_assert(gqa_checkpoint_is_folder(c));
    ck_assert_str_eq(gqa_checkpoint_folder(c), scratch_folder());
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "a");
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(takes_the_only_file_of_a_folder)
{
    struct gqa_checkpoint *c;

    write_tensor("adapter.safetensors", HEADER("a"));
    scratch_write_text("README.md", "hello");
    c = open_good(scratch_folder());
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "a");
    gqa_checkpoint_close(c);
}
END_TEST

#define OURS(name)                                      \
    "{\"__metadata__\":{\"gqa.recipe\":\"{}\"},\"" name \
    "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}"

/* As transformers does, whatever the index says. */
START_TEST(takes_the_file_before_its_index)
{
    struct gqa_checkpoint *c;

    write_tensor("model.safetensors", HEADER("a"));
    write_tensor("1.safetensors", HEADER("b"));
    scratch_write_text("model.safetensors.index.json",
                       INDEX("\"b\":\"1.safetensors\""));
    c = open_good(scratch_folder());
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "a");
    ck_assert_str_eq(gqa_checkpoint_file(c), scratch_path("model.safetensors"));
    gqa_checkpoint_close(c);
    c = open_good(scratch_path("model.safetensors.index.json"));
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "b");
    gqa_checkpoint_close(c);
}
END_TEST

/* What a conversion wrote is its source no more. */
START_TEST(takes_no_output_beside_a_source)
{
    struct gqa_checkpoint *c;

    write_tensor("out.safetensors", OURS("a"));
    c = open_good(scratch_folder());
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "a");
    gqa_checkpoint_close(c);
    write_tensor("weights.safetensors", HEADER("b"));
    scratch_write_text("out.gqa", "not looked at");
    scratch_write_text("._weights.safetensors", "of macOS");
    c = open_good(scratch_folder());
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "b");
    gqa_checkpoint_close(c);
}
END_TEST

/* Shards in the order of their names, whatever the index begins with. */
START_TEST(joins_shards)
{
    struct gqa_checkpoint *c;
    const struct gqa_span middle = {1, 2, 2, 1};
    char buf[2];
    size_t i;

    write_tensor("1.safetensors", HEADER("a"));
    scratch_write_safetensors("2.safetensors", HEADER("b"), "efgh", 4);
    scratch_write_text("model.safetensors.index.json",
                       INDEX("\"b\":\"2.safetensors\","
                             "\"a\":\"1.safetensors\""));
    c = open_good(scratch_folder());
    ck_assert_str_eq(gqa_checkpoint_kind(c), "safetensors, 2 shards");
    ck_assert_uint_eq(gqa_checkpoint_n_tensors(c), 2);
    ck_assert_str_eq(gqa_checkpoint_source(c, 0)->path,
                     scratch_path("1.safetensors"));
    ck_assert(find_tensor(c, "b", &i));
    ck_assert_uint_eq(i, 1);
    ck_assert_int_eq(gqa_checkpoint_read(c, i, &middle, buf), GQA_OK);
    ck_assert_mem_eq(buf, "fg", 2);
    gqa_checkpoint_close(c);
}
END_TEST

/* TensorFlow's index keeps the model's name in front, the files do not. */
START_TEST(matches_tensorflow_names)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"tf\"},\"h/kernel:0\":{\"dtype\":"
        "\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    struct gqa_checkpoint *c;

    write_tensor("1", header);
    scratch_write_text("i", INDEX("\"tf_model_1/h/kernel:0\":\"1\""));
    c = open_good(scratch_path("i"));
    ck_assert_str_eq(gqa_checkpoint_kind(c),
                     "safetensors (TensorFlow), 1 shard");
    gqa_checkpoint_close(c);
    scratch_write_text("i", INDEX("\"h/kernel:0\":\"1\""));
    gqa_checkpoint_close(open_good(scratch_path("i")));
    scratch_write_text("i", INDEX("\"tf_model_1/g/kernel:0\":\"1\""));
    refused("i", GQA_ERR_FORMAT,
            "/i: \"tf_model_1/g/kernel:0\" is not in 1, where the index puts "
            "it; do index and files belong together?");
}
END_TEST

/* As the writers make them: unstripped names; layers that span two files. */
START_TEST(joins_hdf5_shards)
{
    struct gqa_checkpoint *c = open_good(test_data("good/tf-t5-sharded"));

    ck_assert_str_eq(gqa_checkpoint_kind(c), "HDF5 (TensorFlow), 3 shards");
    ck_assert_int_eq(gqa_checkpoint_naming(c), GQA_NAMES_TF);
    gqa_checkpoint_close(c);
    c = open_good(test_data("good/kerashub-gpt2-sharded"));
    ck_assert_str_eq(gqa_checkpoint_kind(c), "HDF5 (Keras), 3 shards");
    ck_assert_int_eq(gqa_checkpoint_naming(c), GQA_NAMES_KERAS);
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(finds_the_configuration)
{
    struct gqa_checkpoint_options options = {0};
    struct gqa_checkpoint *c;

    write_tensor("weights", HEADER("a"));
    scratch_write_text("config.json", "{\"v\":1}");
    c = open_good(scratch_path("weights"));
    ck_assert_int_eq(config_value(c), 1);
    ck_assert_str_eq(gqa_checkpoint_config_path(c),
                     scratch_path("config.json"));
    gqa_checkpoint_close(c);

    scratch_write_safetensors(
        "inside", "{\"__metadata__\":{\"gqa.config\":\"{\\\"v\\\":2}\"}}", "",
        0);
    c = open_good(scratch_path("inside"));
    ck_assert_int_eq(config_value(c), 2);
    ck_assert_str_eq(gqa_checkpoint_config_path(c), scratch_path("inside"));
    gqa_checkpoint_close(c);

    options.config_path = scratch_write_text("mine.json", "{\"v\":3}");
    c = open_with(scratch_path("inside"), &options);
    ck_assert_int_eq(config_value(c), 3);
    gqa_checkpoint_close(c);

    options.config_path = scratch_folder();
    c = open_with(scratch_path("inside"), &options);
    ck_assert_int_eq(config_value(c), 1);
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(refuses_bad_configurations)
{
    struct gqa_checkpoint_options options = {0};

    write_tensor("weights", HEADER("a"));
    scratch_write_text("config.json", "[]");
    refused("weights", GQA_ERR_FORMAT, "/config.json: not a JSON object");
    scratch_write_text("config.json", "{\"v\" 1}");
    refused("weights", GQA_ERR_FORMAT,
            "/config.json: not valid JSON: ':' expected near '1' (line 1, "
            "column 6)");
    options.config_path = scratch_path("none.json");
    refused_with(scratch_path("weights"), &options, GQA_ERR_IO,
                 "/none.json: No such file or directory");
}
END_TEST

START_TEST(refuses_spans_past_the_end)
{
    static const struct gqa_span spans[] = {
        {0, 5, 0, 1},          {5, 1, 0, 1},          {0, 1, 2, 3},
        {UINT64_MAX, 2, 0, 1}, {0, 1, UINT64_MAX, 2}, {0, UINT64_MAX, 0, 2},
        {0, 4, 0, UINT64_MAX},
    };
    struct gqa_checkpoint *c;
    char buf[8] = "";

    write_tensor("weights", HEADER("a"));
    c = open_good(scratch_path("weights"));
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        ck_assert_int_eq(gqa_checkpoint_read(c, 0, &spans[i], buf),
                         GQA_ERR_USAGE);
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(refuses_names_outside_the_folder)
{
    static const char *const names[] = {"../a", "/a", "d/a", "..", ".", ""};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[64], message[200];

        snprintf(text, sizeof text, INDEX("\"a\":\"%s\""), names[i]);
        snprintf(message, sizeof message,
                 "/i: weight_map names the file \"%s\"; only bare names of "
                 "files beside the index are allowed",
                 names[i]);
        scratch_write_text("i", text);
        refused("i", GQA_ERR_FORMAT, message);
    }
}
END_TEST

START_TEST(refuses_bad_indices)
{
    write_tensor("1", HEADER("a"));
    scratch_write_text("i", INDEX("\"a\":3"));
    refused("i", GQA_ERR_FORMAT,
            "/i: the file of \"a\" in weight_map is not a string");
    scratch_write_text("i", INDEX("\"a\":[]"));
    refused("i", GQA_ERR_FORMAT, "/i: weight_map names no file for \"a\"");
    scratch_write_text("i", INDEX(""));
    refused("i", GQA_ERR_FORMAT,
            "/i: weight_map is not an object that names tensors");
    scratch_write_text("i", INDEX("\"a\":\"1\",\"b\":\"1\""));
    refused("i", GQA_ERR_FORMAT,
            "/i: \"b\" is not in 1, where the index puts it; do index and "
            "files belong together?");
    scratch_write_text("i", "{\"model_type\":\"t5\"}");
    refused("i", GQA_ERR_UNSUPPORTED,
            "/i: a configuration, not weights; give the folder or the file "
            "of weights");
    scratch_write_text("i", "{\"a\":1}");
    refused("i", GQA_ERR_FORMAT,
            "/i: a JSON file, but no index of a checkpoint (it has no "
            "weight_map)");
    scratch_write_text("j", INDEX("\"a\":\"i\""));
    refused("j", GQA_ERR_FORMAT,
            "/i: a JSON file, where the index promises weights");
}
END_TEST

/* A tensor left over in a shard, and one whose old copy is left there. */
START_TEST(the_index_decides)
{
    struct gqa_checkpoint *c;
    char byte;

    scratch_write_safetensors(
        "1",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
        "\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
        "aox", 3);
    scratch_write_safetensors(
        "2", "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
        "n", 1);
    scratch_write_text("i", INDEX("\"a\":\"1\",\"b\":\"2\""));
    c = open_good(scratch_path("i"));
    ck_assert_uint_eq(gqa_checkpoint_n_tensors(c), 2);
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 0)->name, "a");
    ck_assert_str_eq(gqa_checkpoint_tensor(c, 1)->name, "b");
    ck_assert_ptr_eq(gqa_checkpoint_source_of(c, 1),
                     gqa_checkpoint_source(c, 1));
    ck_assert_int_eq(
        gqa_checkpoint_read(c, 1, &(const struct gqa_span){0, 1, 1, 1}, &byte),
        GQA_OK);
    ck_assert_int_eq(byte, 'n');
    gqa_checkpoint_close(c);
}
END_TEST

/* What macOS leaves on disks of others is nobody's checkpoint. */
START_TEST(attribute_files_of_macos_are_no_weights)
{
    struct gqa_checkpoint *c;

    write_tensor("any.safetensors", HEADER("a"));
    scratch_write_text("._any.safetensors", "attributes");
    scratch_write_text("._model.safetensors", "attributes");
    c = open_good(scratch_folder());
    ck_assert_uint_eq(gqa_checkpoint_n_tensors(c), 1);
    gqa_checkpoint_close(c);
}
END_TEST

START_TEST(refuses_shards_that_do_not_fit)
{
    struct gqa_checkpoint *c;

    write_tensor("1", HEADER("a"));
    write_tensor("2", HEADER("b"));
    scratch_write_text("i", INDEX("\"a\":\"1\",\"c\":\"2\""));
    refused("i", GQA_ERR_FORMAT,
            "/i: \"c\" is not in 2, where the index puts it; do index and "
            "files belong together?");
    scratch_write_text("i", INDEX("\"a\":\"2\",\"b\":\"1\""));
    refused("i", GQA_ERR_FORMAT,
            "/i: \"a\" is not in 2, where the index puts it; do index and "
            "files belong together?");
    unlink(scratch_path("2"));
    ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_path("i"), &defaults),
                     GQA_ERR_IO);
    ck_assert_ptr_nonnull(strstr(gqa_error_message(), "No such file"));
}
END_TEST

START_TEST(refuses_folders_without_a_choice)
{
    refused_folder(
        GQA_ERR_UNSUPPORTED,
        ": no checkpoint in this folder, which is empty (looked for "
        "model.safetensors, pytorch_model.bin, tf_model.h5, "
        "model.weights.h5, their indices, *.gqa, *.gguf, *.safetensors, "
        "*.bin, *.pt, *.pth, *.ckpt and *.h5)");
    write_tensor("y.safetensors", HEADER("a"));
    write_tensor("x.h5", HEADER("a"));
    refused_folder(GQA_ERR_UNSUPPORTED,
                   ": 2 files of weights and no index; give one of them by "
                   "name: x.h5, y.safetensors");
}
END_TEST

/* What the name tells, the content being of something else or of nothing. */
static const struct {
    const char *name;
    const char *words;
} named[] = {
    {"__0_0.distcp", DCP_WORDS},
    {".metadata", DCP_WORDS},
    {"mp_rank_00_model_states.pt", DEEPSPEED_WORDS},
    {"saved_model.pb", SAVED_MODEL_WORDS},
    {"model.ckpt-1000.data-00000-of-00001", TF_CHECKPOINT_WORDS},
    {"model.ckpt.index", TF_CHECKPOINT_WORDS},
    {"_CHECKPOINT_METADATA", ORBAX_WORDS},
    {"openvino_model.bin", OPENVINO_WORDS},
    {"rust_model.ot", RUST_BERT_WORDS},
};

START_TEST(says_what_a_name_means)
{
    char message[1024];

    scratch_write(named[_i].name, "PK\3\4\0\0\0\0\0\0data.pkl", 18);
    snprintf(message, sizeof message, "/%s: %s", named[_i].name,
             named[_i].words);
    refused(named[_i].name, GQA_ERR_UNSUPPORTED, message);
    snprintf(message, sizeof message,
             ": no checkpoint that we read; there is %s: %s", named[_i].name,
             named[_i].words);
    refused_folder(GQA_ERR_UNSUPPORTED, message);
}
END_TEST

START_TEST(refuses_shards_without_an_index)
{
    write_tensor("model-00001-of-00002.safetensors", HEADER("a"));
    write_tensor("model-00002-of-00002.safetensors", HEADER("b"));
    refused_folder(GQA_ERR_UNSUPPORTED,
                   ": 2 shards and no index, which says what belongs "
                   "together; fetch it (*.index.json): "
                   "model-00001-of-00002.safetensors, "
                   "model-00002-of-00002.safetensors");
}
END_TEST

/* What is there of one that is not. */
START_TEST(says_what_a_folder_lacks)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"config.json", ": no checkpoint in this folder; there is "
                        "config.json, and the weights that it is of are "
                        "missing (looked for "},
        {"m-00002-of-00003.gguf",
         ": no checkpoint in this folder; there is m-00002-of-00003.gguf, and "
         "the first file of that model is missing (looked for "},
        {"mmproj-m.gguf", ": no checkpoint that we read; there is "
                          "mmproj-m.gguf: what sees or hears for a model"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gqa_checkpoint *c = NULL;

        scratch_write(cases[i].file, "GGUF", 4);
        ck_assert_int_eq(gqa_checkpoint_open(&c, scratch_path("."), &defaults),
                         GQA_ERR_UNSUPPORTED);
        ck_assert_msg(strstr(gqa_error_message(), cases[i].says) != NULL, "%s",
                      gqa_error_message());
    }
}
END_TEST

/* Which have no index: what is there besides is none of them. */
START_TEST(asks_which_of_several_gguf_files)
{
    scratch_write("b.gguf", "GGUF", 4);
    scratch_write("a.gguf", "GGUF", 4);
    scratch_write("mmproj-a.gguf", "GGUF", 4);
    scratch_write("imatrix.gguf", "GGUF", 4);
    write_tensor("adapter_model.safetensors", HEADER("a"));
    refused_folder(GQA_ERR_UNSUPPORTED,
                   ": 2 models; give one of them by name: a.gguf, b.gguf");
    scratch_write("c-00001-of-00002.gguf", "GGUF", 4);
    scratch_write("c-00002-of-00002.gguf", "GGUF", 4);
    refused_folder(GQA_ERR_UNSUPPORTED,
                   ": 3 models; give one of them by name, one in several "
                   "files by the first: a.gguf, b.gguf, "
                   "c-00001-of-00002.gguf");
}
END_TEST

START_TEST(refuses_a_choice_that_no_loader_makes)
{
    write_tensor("tf_model.h5", HEADER("a"));
    write_tensor("model.weights.h5", HEADER("a"));
    refused_folder(GQA_ERR_UNSUPPORTED,
                   ": both tf_model.h5 and model.weights.h5 are there; give "
                   "one of them by name");
    write_tensor("model.safetensors", OURS("a"));
    refused_folder(GQA_ERR_UNSUPPORTED,
                   ": both model.safetensors and tf_model.h5 are there, and "
                   "the first is the output of a conversion; give one of them "
                   "by name");
}
END_TEST

/* An output beside what it may have been made of, and beside what it may not.
 */
static const struct {
    const char *ours;
    const char *beside;
    const char *bytes; /* NULL: a checkpoint */
    bool is_source;
} besides[] = {
    {"model.safetensors", "weights.safetensors", NULL, true},
    {"model.safetensors", "weights.h5", NULL, true},
    {"model.safetensors", "pytorch_model.bin", "\x80\2}q\0.", true},
    {"model.safetensors", "pytorch_model.bin.index.json", "{}", true},
    {"model.safetensors", "lit_model.pth", "PK\3\4\n\n\n\nmodel/data.pkl",
     true},
    {"model.safetensors", "other.safetensors.index.json", "{}", true},
    {"x.safetensors", "other.safetensors.index.json", "{}", true},
    {"model.safetensors", "y.gqa", "x", false},
    {"model.safetensors", "adapter_model.safetensors", NULL, false},
    {"model.safetensors", "training_args.bin", "\x80\2}q\0.", false},
    {"model.safetensors", "tokens.bin", "abcdefghijklmnop", false},
    {"model.safetensors", "model-f16.gguf", "GGUF\3\1\1\1\1\1\1\1", false},
    {"x.gqa", "training_args.bin", "\x80\2}q\0.", false},
};

START_TEST(reads_no_output_beside_its_source)
{
    struct gqa_checkpoint *c;
    char message[512];

    write_tensor(besides[_i].ours, OURS("a"));
    if (besides[_i].bytes)
        scratch_write_text(besides[_i].beside, besides[_i].bytes);
    else
        write_tensor(besides[_i].beside, HEADER("a"));
    if (!besides[_i].is_source) {
        ck_assert_msg(gqa_checkpoint_open(&c, scratch_folder(), &defaults) ==
                          GQA_OK,
                      "%s", gqa_error_message());
        gqa_checkpoint_close(c);
        return;
    }
    snprintf(message, sizeof message,
             ": both %s and %s are there, and the first is the output of a "
             "conversion; give one of them by name",
             besides[_i].ours, besides[_i].beside);
    refused_folder(GQA_ERR_UNSUPPORTED, message);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n;
    enum gqa_status status;
    const char *message;
} foreign[] = {
#define FOREIGN(bytes, status, message)          \
    {                                            \
        bytes, sizeof bytes - 1, status, message \
    }
    FOREIGN("", GQA_ERR_FORMAT, "/x: the file is empty"),
    FOREIGN("abc", GQA_ERR_FORMAT, "/x: 3 bytes: too short for a checkpoint"),
    FOREIGN("\0\0\0\0\0\0\0\0\0\0\0\0", GQA_ERR_FORMAT,
            "/x: not a checkpoint that we know (safetensors, PyTorch, .gqa, "
            "HDF5, GGUF or an index); it begins with zeros alone: a download "
            "that was not finished, or what is left of a file"),
    FOREIGN("\xff\0\0\0\0\0\0\0\0\0\0\0", GQA_ERR_FORMAT,
            "/x: not a checkpoint that we know (safetensors, PyTorch, .gqa, "
            "HDF5, GGUF or an index); it begins with the bytes ff 00 00 00 00 "
            "00 00 00"),
    FOREIGN("PK\3\4\0\0\0\0\0\0archive/data.pkl", GQA_ERR_FORMAT,
            "/x: a zip archive without its end, which lists what is in it; "
            "the file is cut off"),
    FOREIGN("PK\3\4\0\0\0\0\0\0lm_head.npy", GQA_ERR_UNSUPPORTED,
            "/x: " NPZ_WORDS),
    FOREIGN("PK\3\4\0\0\0\0\0\0hello.txt", GQA_ERR_UNSUPPORTED,
            "/x: a zip archive; unpack it first"),
    FOREIGN("\x80\x02}q", GQA_ERR_UNSUPPORTED, "/x: " PICKLE_WORDS),
    FOREIGN("GGUF\3\0\0\0\0\0", GQA_ERR_FORMAT, "/x: the header ends early"),
    FOREIGN("24ka\1\0\0\0\0", GQA_ERR_FORMAT,
            "/x: a file of llama2.c, cut off in its header"),
    FOREIGN("\x80\0\0\0\x58\1\0\0\5\0\0\0\10\0\0\0\4\0\0\0\0\2\0\0\0\2\0\0",
            GQA_ERR_FORMAT,
            "/x: as a file of llama2.c, of width 128, 5 layers and 8 heads, it "
            "would have 3925532 bytes; it has 28"),
    FOREIGN("\x1f\x8b\x08\0", GQA_ERR_UNSUPPORTED,
            "/x: compressed with gzip; decompress it first (gunzip)"),
    FOREIGN("version https://git-lfs.github.com/spec/v1\n", GQA_ERR_UNSUPPORTED,
            "/x: a Git LFS pointer in place of the file; fetch it (git lfs "
            "pull)"),
    FOREIGN("<!doctype html><html>", GQA_ERR_UNSUPPORTED,
            "/x: a web page; the download went wrong"),
    FOREIGN("\x83\xa7version\3", GQA_ERR_UNSUPPORTED,
            "/x: a T5X checkpoint; convert it to Hugging Face form first "
            "(transformers: convert_t5x_checkpoint_to_pytorch.py)"),
    /* '{' is the ninth byte of both; the first is text, the second is not */
    FOREIGN("{\"abcd\":{}}", GQA_ERR_FORMAT,
            "/x: a JSON file, but no index of a checkpoint (it has no "
            "weight_map)"),
    FOREIGN("\1\2\3\4\5\6\7\0{}", GQA_ERR_FORMAT,
            "/x: the header claims 1976943448883713 bytes, more than the "
            "100000000 that safetensors allows"),
#undef FOREIGN
};

START_TEST(says_what_a_foreign_file_is)
{
    scratch_write("x", foreign[_i].bytes, foreign[_i].n);
    refused("x", foreign[_i].status, foreign[_i].message);
}
END_TEST

static enum gqa_status status_of(const char *word)
{
    if (strcmp(word, "format") == 0)
        return GQA_ERR_FORMAT;
    if (strcmp(word, "unsupported") == 0)
        return GQA_ERR_UNSUPPORTED;
    ck_assert_str_eq(word, "io");
    return GQA_ERR_IO;
}

/* The files of tests/data/bad that opening alone must refuse. */
START_TEST(refuses_the_bad_files)
{
    json_t *list = json_load_file(test_data("bad.json"), 0, NULL), *item;
    size_t i, n = 0;

    json_array_foreach(list, i, item)
    {
        const char *path = json_string_value(json_object_get(item, "path"));
        const char *status = json_string_value(json_object_get(item, "status"));
        struct gqa_checkpoint *c;

        if (strncmp(path, "bad/st-", 7) != 0 &&
            strncmp(path, "bad/index-", 10) != 0)
            continue;
        n++;
        ck_assert_msg(gqa_checkpoint_open(&c, test_data(path), &defaults) ==
                          status_of(status),
                      "%s: not %s but %s", path, status, gqa_error_message());
    }
    ck_assert_uint_gt(n, 50);
    json_decref(list);
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
    struct gqa_checkpoint *c;

    refused("none", GQA_ERR_IO, "/none: No such file or directory");
    ck_assert_int_eq(mkfifo(scratch_path("pipe"), 0600), 0);
    refused("pipe", GQA_ERR_USAGE, "/pipe: not a regular file");
    ck_assert_int_eq(gqa_checkpoint_open(&c, "", &defaults), GQA_ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *good = tcase_create("good"), *bad = tcase_create("bad");

    tcase_add_checked_fixture(good, scratch_create, scratch_remove);
    tcase_add_test(good, opens_one_file);
    tcase_add_test(good, names_the_folder_of_a_bare_name);
    tcase_add_test(good, opens_a_folder);
    tcase_add_test(good, takes_the_only_file_of_a_folder);
    tcase_add_test(good, takes_the_file_before_its_index);
    tcase_add_test(good, takes_no_output_beside_a_source);
    tcase_add_test(good, joins_shards);
    tcase_add_test(good, matches_tensorflow_names);
    tcase_add_test(good, joins_hdf5_shards);
    tcase_add_test(good, finds_the_configuration);
    suite_add_tcase(suite, good);
    tcase_add_checked_fixture(bad, scratch_create, scratch_remove);
    tcase_add_test(bad, refuses_bad_configurations);
    tcase_add_test(bad, refuses_spans_past_the_end);
    tcase_add_test(bad, refuses_names_outside_the_folder);
    tcase_add_test(bad, refuses_bad_indices);
    tcase_add_test(bad, the_index_decides);
    tcase_add_test(bad, attribute_files_of_macos_are_no_weights);
    tcase_add_test(bad, refuses_shards_that_do_not_fit);
    tcase_add_test(bad, refuses_folders_without_a_choice);
    tcase_add_loop_test(bad, says_what_a_name_means, 0,
                        sizeof named / sizeof *named);
    tcase_add_test(bad, refuses_shards_without_an_index);
    tcase_add_test(bad, says_what_a_folder_lacks);
    tcase_add_test(bad, asks_which_of_several_gguf_files);
    tcase_add_test(bad, refuses_a_choice_that_no_loader_makes);
    tcase_add_loop_test(bad, reads_no_output_beside_its_source, 0,
                        (int)(sizeof besides / sizeof *besides));
    tcase_add_loop_test(bad, says_what_a_foreign_file_is, 0,
                        (int)(sizeof foreign / sizeof *foreign));
    tcase_add_test(bad, refuses_the_bad_files);
    tcase_add_test(bad, refuses_what_is_no_file);
    suite_add_tcase(suite, bad);
    return suite_run(suite);
}
