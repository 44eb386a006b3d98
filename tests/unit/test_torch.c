/* Files of torch.save(): what they hold, and what is refused of them. */
#include <check.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "formats/torch/reader.h"
#include "formats/torch/unpickle.h"
#include "scratch.h"
#include "suite.h"
#include "twins.h"
#include "zip_file.h"

static enum gqa_status open_source(struct gqa_source **out, const char *path)
{
    uint64_t size;
    int fd;

    ck_assert_int_eq(gqa_file_open(&fd, &size, path), GQA_OK);
    return gqa_torch_open(out, &(const struct gqa_file_handle){
                                   .path = path, .fd = fd, .size = size});
}

static void refused_file(const char *path, enum gqa_status status,
                         const char *message)
{
    struct gqa_source *source;

    ck_assert_msg(open_source(&source, path) == status, "%s: %s", message,
                  gqa_error_message());
    ck_assert_str_eq(gqa_error_message(), message);
}

/* --- What the real writer wrote ------------------------------------------- */

static const struct {
    const char *file, *same;
} twins[] = {
    {"torch/zip", "good/llama"},
    {"torch/old", "good/gpt2"},
    {"torch/sharded", "good/t5-sharded"},
    {"torch/trainer", "good/llama"},
};

START_TEST(reads_what_safetensors_says)
{
    twins_are_same(twins[_i].file, twins[_i].same);
}
END_TEST

/* --- Pickles -------------------------------------------------------------- */

#define DICT    "ccollections\nOrderedDict\n)R"
#define SIZE1   "K\002\205"
#define STRIDE1 "K\001\205"
/* numel elements of data/0, which has 16 bytes */
#define STORAGE_OF(type, key, numel)                                          \
    "(X\007\000\000\000storagectorch\n" type "Storage\nX\001\000\000\000" key \
    "X\003\000\000\000cpu" numel "tQ"
#define STORAGE STORAGE_OF("Float", "0", "K\004")
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define TENSOR_OF(storage, offset, size, stride) \
    REBUILD "(" storage offset size stride "\211" DICT "tR"
#define MATRIX  TENSOR_OF(STORAGE, "K\000", "K\002K\002\206", "K\002K\001\206")
#define NAME(c) "X\001\000\000\000" c

/* A file whose pickle is this, in one array for sizeof. */
static const char *write_pickle(const char *pickle, size_t n)
{
    static const float values[4] = {1, 2, 3, 4};
    struct zip_file *zip = calloc(1, sizeof *zip);
    const char *path;

    zip_file_add(zip, "x/data.pkl", pickle, n);
    zip_file_add(zip, "x/data/0", values, sizeof values);
    zip_file_end(zip);
    path = scratch_write("x", zip->bytes, zip->n);
    free(zip);
    return path;
}

#define WRITE_PICKLE(text) write_pickle(text, sizeof text - 1)

static struct gqa_source *open_good(const char *path)
{
    struct gqa_source *source = NULL;

    ck_assert_msg(open_source(&source, path) == GQA_OK, "%s",
                  gqa_error_message());
    return source;
}

static void holds(struct gqa_source *source, size_t i, const char *name,
                  const float *values, size_t n)
{
    const struct gqa_span all = {0, 4 * n, 0, 1};
    float found[4];

    ck_assert_uint_gt(source->n_tensors, i);
    ck_assert_str_eq(source->tensors[i].name, name);
    ck_assert_uint_eq(source->tensors[i].n_bytes, 4 * n);
    ck_assert_int_eq(source->ops->read(source, i, &all, found), GQA_OK);
    ck_assert_mem_eq(found, values, 4 * n);
}

START_TEST(reads_views)
{
    struct gqa_source *source = open_good(WRITE_PICKLE(
        "\200\002}(" NAME("a") MATRIX
            /* transposed */
            NAME("b")
                TENSOR_OF(STORAGE, "K\000", "K\002K\002\206", "K\001K\002\206")
        /* two of bytes, whose type the tensor says */
        NAME("c") "ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE_OF(
            "Untyped", "0", "K\020") "K\002" SIZE1 STRIDE1 "\211" DICT
                                     "ctorch\nfloat32\ntR"
        /* a scalar, and a parameter without elements */
        NAME("d") TENSOR_OF(STORAGE, "K\003", ")", ")")
            NAME("e") "ctorch._utils\n_rebuild_parameter\n(" TENSOR_OF(
                STORAGE, "K\004", "K\000\205", STRIDE1) "\211" DICT "tR"
        /* what is no tensor */
        NAME("f") "N" NAME("g") "K\001u."));

    ck_assert_uint_eq(source->n_tensors, 5);
    holds(source, 0, "a", (const float[]){1, 2, 3, 4}, 4);
    holds(source, 1, "b", (const float[]){1, 3, 2, 4}, 4);
    holds(source, 2, "c", (const float[]){3, 4}, 2);
    holds(source, 3, "d", (const float[]){4}, 1);
    holds(source, 4, "e", (const float[]){0}, 0);
    ck_assert_uint_eq(source->tensors[3].rank, 0);
    gqa_source_close(source);
}
END_TEST

/* Below keys; beside those of an optimiser, which go by numbers, and what has
 * no matrix. */
START_TEST(finds_the_state_dict)
{
    struct gqa_source *source = open_good(WRITE_PICKLE(
        "\200\002}(" NAME("o") "}K\000}" NAME("w") MATRIX
        "ss" NAME("r") TENSOR_OF(STORAGE, "K\000", SIZE1, STRIDE1)
            NAME("n") "cargparse\nNamespace\n)\201}" NAME("k") "NsbNK\001" NAME(
                "s") "}" NAME("m") "}" NAME("w") MATRIX "ssu."));

    ck_assert_uint_eq(source->n_tensors, 1);
    holds(source, 0, "w", (const float[]){1, 2, 3, 4}, 4);
    gqa_source_close(source);
    /* An ordered dictionary of pairs, as Python 2 makes it */
    source = open_good(WRITE_PICKLE(
        "\200\002ccollections\nOrderedDict\n]](" NAME("w") MATRIX "ea\205R."));
    ck_assert_uint_eq(source->n_tensors, 1);
    gqa_source_close(source);
}
END_TEST

static const struct {
    const char *pickle;
    size_t n;
    enum gqa_status status;
    const char *message;
} bad[] = {
#define BAD(text, status, message)             \
    {                                          \
        text, sizeof text - 1, status, message \
    }
#define GLOBAL_WORDS                                                     \
    "; tensors and plain values are read, and nothing is run: save the " \
    "state_dict() alone, where it was made"
    /* What it may not refer to */
    BAD("\200\002cos\nsystem\nX\002\000\000\000id\205R.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 2: the pickle refers to os.system" GLOBAL_WORDS),
    BAD("\200\004\214\010builtins\214\004eval\223.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 18: the pickle refers to builtins.eval" GLOBAL_WORDS),
    BAD("\200\002ctorch._utils\n_rebuild_qtensor\n.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 2: the pickle refers to torch._utils."
        "_rebuild_qtensor" GLOBAL_WORDS),
    BAD("\200\002c\033[2J\nx\n.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 2: the pickle refers to ?[2J.x" GLOBAL_WORDS),
    BAD("\200\002(X\006\000\000\000moduletQ.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 15: a whole model with its code, of which nothing "
        "is run; save its state_dict() where it was made"),
    BAD("\200\002}K\001\205R.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 6: a call of what is no function by name"),
    BAD("\200\002I1\n.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 2: code 0x49 of a pickle, which PyTorch does not "
        "write"),
    BAD("\200\006.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 0: protocol 6; the newest that is read is 5"),
    /* Damage */
    BAD("\200\002", GQA_ERR_FORMAT,
        "x/data.pkl: byte 2: the pickle ends early"),
    BAD("\200\002.", GQA_ERR_FORMAT,
        "x/data.pkl: more is taken than was put there"),
    BAD("\200\002X\377\377\000\000a.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 2: text of 65535 bytes, where 2 are left"),
    BAD("\200\002\215\377\377\377\377\377\377\377\377.", GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 2: text of 18446744073709551615 bytes; no "
        "checkpoint has as many"),
    BAD("\200\002Nr\377\377\377\377.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 3: a value is kept as number 4294967295"),
    BAD("\200\002h\005.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 2: value number 5, which was not kept"),
    BAD("\200\002t.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 2: a list without a beginning"),
    BAD("\200\002N(R.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 4: more is taken than was put there"),
    BAD("\200\002](Nu.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 5: items for no list"),
    BAD("\200\002](NNu.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 6: items for what is no list of such"),
    BAD("\200\002NNb.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 4: attributes of what has none"),
    /* Storages and tensors */
    BAD("\200\002NQ.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 3: a reference to a storage that is not as PyTorch "
        "makes it"),
    BAD("\200\002}" NAME("a") TENSOR_OF(STORAGE_OF("Float", "9", "K\004"),
                                        "K\000", SIZE1, STRIDE1) "s.",
        GQA_ERR_FORMAT, "tensor a: its storage, 9, is not in the file"),
    BAD("\200\002}" NAME("a") TENSOR_OF(STORAGE_OF("Double", "0", "K\004"),
                                        "K\000", SIZE1, STRIDE1) "s.",
        GQA_ERR_FORMAT, "x/data/0 has 16 bytes, too few for its 4 elements"),
    BAD("\200\002" TENSOR_OF(STORAGE, "K\003", SIZE1, STRIDE1) ".",
        GQA_ERR_FORMAT,
        "x/data.pkl: byte 124: a tensor that begins with element 3 reaches "
        "beyond its storage of 4"),
    BAD("\200\002" TENSOR_OF(
            STORAGE, "K\000", "K\002\205",
            "\212\010\377\377\377\377\377\377\377\177\205") ".",
        GQA_ERR_FORMAT,
        "x/data.pkl: byte 132: a tensor that begins with element 0 reaches "
        "beyond its storage of 4"),
    /* The negative of what is stored, which PyTorch says in a seventh place */
    BAD("\200\002" REBUILD "(" STORAGE "K\000" SIZE1 STRIDE1 "\211" DICT "}("
        "X\004\000\000\000conj\211X\003\000\000\000neg\210utR.",
        GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 146: a tensor that stands for the negative of what "
        "is stored; save its clone()"),
    BAD("\200\002" REBUILD "(" STORAGE "K\000" SIZE1 STRIDE1 "\211" DICT "NtR.",
        GQA_ERR_FORMAT,
        "x/data.pkl: byte 125: torch._utils._rebuild_tensor_v2 is not called "
        "as PyTorch calls it"),
    /* One element, a million times */
    BAD("\200\002" TENSOR_OF(STORAGE, "K\000", "J\000\000\020\000\205",
                             "K\000\205") ".",
        GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 127: a tensor of more elements than its storage, "
        "which has 4 of them; save it made contiguous"),
    BAD("\200\002" TENSOR_OF(
            STORAGE, "K\000", "(K\001K\001K\001K\001K\001K\001K\001K\001K\001t",
            "(K\001K\001K\001K\001K\001K\001K\001K\001K\001t") ".",
        GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 158: a tensor of 9 dimensions; at most 8 are read"),
    BAD("\200\002" TENSOR_OF(STORAGE, "K\000", "\212\001\377\205", STRIDE1) ".",
        GQA_ERR_FORMAT,
        "x/data.pkl: byte 125: torch._utils._rebuild_tensor_v2 is not called "
        "as PyTorch calls it"),
    BAD("\200\002" TENSOR_OF(STORAGE_OF("ComplexDouble", "0", "K\001"), "K\000",
                             ")", ")") ".",
        GQA_ERR_UNSUPPORTED,
        "x/data.pkl: byte 128: a tensor of elements that are not read "
        "(complex128 or quantised)"),
    /* State dictionaries */
    BAD("\200\002}K\001N]s.", GQA_ERR_FORMAT,
        "x/data.pkl: byte 7: items for what is no list of such"),
    BAD("\200\002N.", GQA_ERR_UNSUPPORTED,
        "a PyTorch file without tensors by name: no state_dict of a model"),
    BAD("\200\002}(" NAME("a") "}" NAME("w") MATRIX "s" NAME("b") "}" NAME("w")
            MATRIX "su.",
        GQA_ERR_UNSUPPORTED,
        "a PyTorch file with several state_dicts: a, b; --state-dict NAME "
        "reads one of them"),
    BAD("\200\002}(" NAME("w") MATRIX NAME("w") MATRIX "u.", GQA_ERR_FORMAT,
        "two tensors are called w"),
    BAD("\200\002}" NAME("\000") MATRIX "s.", GQA_ERR_FORMAT,
        "the name of a tensor, \"\", holds a NUL"),
    BAD("\200\002}" NAME("\377") MATRIX "s.", GQA_ERR_FORMAT,
        "the name of a tensor, \"\377\", is not UTF-8"),
#undef BAD
};

START_TEST(refuses_bad_pickles)
{
    refused_file(write_pickle(bad[_i].pickle, bad[_i].n), bad[_i].status,
                 bad[_i].message);
}
END_TEST

/* More than any checkpoint has of anything: refused when it comes to that. */
START_TEST(survives_bombs)
{
    static const struct {
        const char *repeated;
        const char *message;
    } bombs[] = {
        {"]", "byte 2097152: more than 2097152 values: no checkpoint has as "
              "many"},
        {"(", "byte 3145728: the pickle ends early"},
    };
    static char bytes[3 << 20];

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        struct gqa_input *in = malloc(sizeof *in);
        struct gqa_pickle_values values = {0};
        const size_t n = strlen(bombs[i].repeated);
        uint64_t size;
        uint32_t root;
        int fd;

        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = bombs[i].repeated[k % n];
        ck_assert_int_eq(
            gqa_file_open(&fd, &size, scratch_write("x", bytes, sizeof bytes)),
            GQA_OK);
        gqa_input_begin(in, "the pickle", fd, 0, size);
        ck_assert_int_ne(gqa_unpickle(&root, &values, in), GQA_OK);
        ck_assert_str_eq(gqa_error_message(), bombs[i].message);
        gqa_pickle_values_clear(&values);
        close(fd);
        free(in);
    }
}
END_TEST

/* A value of bytes in a file. */
static void unpickle(struct gqa_pickle_values *values, uint32_t *root,
                     const void *bytes, size_t n_bytes)
{
    struct gqa_input *in = malloc(sizeof *in);
    uint64_t size;
    int fd;

    ck_assert_int_eq(
        gqa_file_open(&fd, &size, scratch_write("x", bytes, n_bytes)), GQA_OK);
    gqa_input_begin(in, "the pickle", fd, 0, size);
    ck_assert_int_eq(gqa_unpickle(root, values, in), GQA_OK);
    close(fd);
    free(in);
}

/* Three million losses, a thousand at a time as Python writes them, take no
 * room; what may be referred to again does. */
START_TEST(forgets_numbers_in_lists)
{
    enum { BATCH = 2 * 1000 + 2, N_BATCHES = 3000 };
    static const char start[] = "\200\002]q\000";
    static const char held[] =
        "\200\002]q\000(K\007q\001K\011eK\0052\206h\001\207.";
    static char bytes[N_BATCHES * BATCH + 16];
    struct gqa_pickle_values values = {0};
    uint32_t root = 0, items[3] = {0};
    size_t n = sizeof start - 1;

    memcpy(bytes, start, n);
    for (int i = 0; i < N_BATCHES; i++) {
        bytes[n++] = '(';
        for (int k = 0; k < 1000; k++) {
            bytes[n++] = 'K';
            bytes[n++] = 1;
        }
        bytes[n++] = 'e';
    }
    bytes[n++] = '.';
    unpickle(&values, &root, bytes, n);
    ck_assert_int_eq(gqa_pickle_kind_of(&values, root), GQA_PICKLE_LIST);
    ck_assert_uint_le(values.n_values, 2);
    gqa_pickle_values_clear(&values);

    /* ([7, 9], (5, 5), 7), where 7 is kept for the end */
    unpickle(&values, &root, held, sizeof held - 1);
    ck_assert(gqa_pickle_items(&values, root, items, 3));
    ck_assert_int_eq(values.values[items[2]].is.integer, 7);
    gqa_pickle_values_clear(&values);
}
END_TEST

/* --- Archives ------------------------------------------------------------- */

static const struct {
    size_t offset; /* in the second entry of the directory, or from its end */
    bool is_end;
    const char *bytes;
    size_t n;
    enum gqa_status status;
    const char *message;
} damages[] = {
#define ENTRY(offset, bytes, status, message)                   \
    {                                                           \
        offset, false, bytes, sizeof bytes - 1, status, message \
    }
#define END(offset, bytes, status, message)                    \
    {                                                          \
        offset, true, bytes, sizeof bytes - 1, status, message \
    }
    ENTRY(0, "x", GQA_ERR_FORMAT,
          "member 1 of the zip archive's directory is damaged"),
    ENTRY(8, "\1", GQA_ERR_UNSUPPORTED, "x/data/0 is encrypted"),
    ENTRY(10, "\14", GQA_ERR_UNSUPPORTED,
          "x/data/0 is compressed by method 12 of zip, not stored or deflated"),
    ENTRY(10, "\10", GQA_ERR_FORMAT,
          "x/data/0: at byte 42 is not what the archive's directory says"),
    ENTRY(20, "\17", GQA_ERR_FORMAT,
          "x/data/0 is stored in 15 bytes and has 16"),
    ENTRY(20, "\21\0\0\0\21", GQA_ERR_FORMAT,
          "x/data/0: 17 bytes from byte 80 on are more than the archive has "
          "before its directory at byte 96"),
    ENTRY(20, "\377\377\377\377", GQA_ERR_FORMAT,
          "x/data/0: its sizes of zip64 are missing"),
    ENTRY(28, "\377\377", GQA_ERR_FORMAT,
          "member 1 of the zip archive's directory is damaged"),
    ENTRY(42, "\0", GQA_ERR_FORMAT,
          "x/data/0: at byte 0 is not what the archive's directory says"),
    ENTRY(42, "\0\1", GQA_ERR_FORMAT,
          "x/data/0 begins at byte 256, outside of the archive's 96 bytes"),
    ENTRY(46, "y", GQA_ERR_FORMAT,
          "y/data/0: at byte 42 is not what the archive's directory says"),
    END(0, "x", GQA_ERR_FORMAT,
        "a zip archive without its end, which lists what is in it; the file "
        "is cut off"),
    END(4, "\1", GQA_ERR_UNSUPPORTED, "one of several zip files"),
    END(10, "\377", GQA_ERR_FORMAT,
        "the zip archive claims 255 members in a directory of 110 bytes"),
    END(10, "\1", GQA_ERR_FORMAT,
        "54 bytes behind the last member in the zip archive's directory"),
    END(12, "\1", GQA_ERR_FORMAT,
        "the zip archive's directory (1 bytes from byte 96) does not lie "
        "before its end at byte 206"),
#undef ENTRY
#undef END
};

START_TEST(refuses_damaged_archives)
{
    struct zip_file *zip = calloc(1, sizeof *zip);
    size_t at;

    zip_file_add(zip, "x/data.pkl", "N.", 2);
    zip_file_add(zip, "x/data/0", "0123456789abcdef", 16);
    at = zip_file_end(zip) + 46 + strlen("x/data.pkl");
    if (damages[_i].is_end)
        at = zip->n - 22;
    memcpy(zip->bytes + at + damages[_i].offset, damages[_i].bytes,
           damages[_i].n);
    refused_file(scratch_write("x", zip->bytes, zip->n), damages[_i].status,
                 damages[_i].message);
    free(zip);
}
END_TEST

static const char state[] = "\200\002}" NAME("a") MATRIX "s.";

/* Two entries for one place, and two places of one name. */
START_TEST(refuses_members_that_are_not_apart)
{
    struct zip_file *zip = calloc(1, sizeof *zip);

    zip_file_add(zip, "x/data.pkl", state, sizeof state - 1);
    zip_file_add(zip, "x/data/0", "0123456789abcdef", 16);
    zip_file_add(zip, "x/data/0", "0123456789abcdef", 16);
    zip_file_end(zip);
    refused_file(scratch_write("x", zip->bytes, zip->n), GQA_ERR_FORMAT,
                 "the zip archive has two members called x/data/0");
    memset(zip, 0, sizeof *zip);
    zip_file_add(zip, "x/data.pkl", "N.", 2);
    zip_file_add(zip, "x/data/0",
                 "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                 "\0\0\0\0\1\0\0\0z",
                 31);
    zip_file_add(zip, "z", "", 0);
    /* The third, said to lie in the second */
    zip->directory[46 + 10 + 46 + 8 + 42] = 42 + 38;
    zip_file_end(zip);
    refused_file(scratch_write("x", zip->bytes, zip->n), GQA_ERR_FORMAT,
                 "the members x/data/0 and z of the zip archive overlap");
    free(zip);
}
END_TEST

static void refused_with(const char *name, const char *text,
                         const char *message)
{
    struct zip_file *zip = calloc(1, sizeof *zip);

    zip_file_add(zip, "x/data.pkl", state, sizeof state - 1);
    zip_file_add(zip, name, text, strlen(text));
    zip_file_add(zip, "x/data/0", "0123456789abcdef", 16);
    zip_file_end(zip);
    refused_file(scratch_write("x", zip->bytes, zip->n), GQA_ERR_UNSUPPORTED,
                 message);
    free(zip);
}

START_TEST(refuses_other_archives_of_pytorch)
{
    struct zip_file *zip = calloc(1, sizeof *zip);

    refused_with("x/byteorder", "big",
                 "numbers are of the byte order \"big\"; load and save it on a "
                 "little-endian machine");
    refused_with("x/constants.pkl", "",
                 "a TorchScript archive, which holds code with its weights; "
                 "write these alone: python3 -c 'import torch; "
                 "torch.save(torch.jit.load(\"FILE\").state_dict(), "
                 "\"pytorch_model.bin\")'");
    zip_file_add(zip, "x/y/data.pkl", "N.", 2);
    zip_file_end(zip);
    refused_file(scratch_write("x", zip->bytes, zip->n), GQA_ERR_FORMAT,
                 "a PyTorch file without data.pkl, which says what it holds");
    free(zip);
}
END_TEST

/* A sound archive's storages, compressed by others. */
START_TEST(refuses_compressed_storages)
{
    struct zip_file *zip = calloc(1, sizeof *zip);
    size_t at;

    zip_file_add(zip, "x/data.pkl", state, sizeof state - 1);
    at = zip_file_add(zip, "x/data/0", "0123456789abcdef", 16);
    zip->bytes[at - 30 - 8 + 8] = 8;
    zip->directory[46 + 10 + 10] = 8;
    zip_file_end(zip);
    refused_file(scratch_write("x", zip->bytes, zip->n), GQA_ERR_UNSUPPORTED,
                 "x/data/0 is compressed, which PyTorch does not do: unpack "
                 "the archive and pack it again without compression (zip -0 "
                 "-r)");
    free(zip);
}
END_TEST

/* --- Cut off and changed -------------------------------------------------- */

static unsigned char *load(const char *name, size_t *n)
{
    FILE *file = fopen(test_data(name), "rb");
    unsigned char *bytes = malloc(65536);

    ck_assert_ptr_nonnull(file);
    *n = fread(bytes, 1, 65536, file);
    fclose(file);
    return bytes;
}

static const char *const wholes[] = {"torch/zip/pytorch_model.bin",
                                     "torch/old/pytorch_model.bin"};

/* Cut anywhere, nothing is taken for whole; nor with bytes behind the end. */
START_TEST(refuses_what_is_cut_off)
{
    size_t n;
    unsigned char *bytes = load(wholes[_i], &n);
    struct gqa_source *source;

    for (size_t k = 1; k < n; k += k < 2000 ? 7 : 131)
        ck_assert_msg(open_source(&source, scratch_write("x", bytes, k)) !=
                          GQA_OK,
                      "cut at %zu", k);
    bytes[n] = 0;
    ck_assert_int_eq(open_source(&source, scratch_write("x", bytes, n + 1)),
                     GQA_ERR_FORMAT);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torch");
    TCase *good = tcase_create("good"), *tests = tcase_create("bad");

    tcase_add_checked_fixture(good, scratch_create, scratch_remove);
    tcase_add_loop_test(good, reads_what_safetensors_says, 0,
                        (int)(sizeof twins / sizeof *twins));
    tcase_add_test(good, reads_views);
    tcase_add_test(good, finds_the_state_dict);
    suite_add_tcase(suite, good);
    tcase_add_checked_fixture(tests, scratch_create, scratch_remove);
    tcase_add_loop_test(tests, refuses_bad_pickles, 0,
                        (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tests, survives_bombs);
    tcase_add_test(tests, forgets_numbers_in_lists);
    tcase_add_loop_test(tests, refuses_damaged_archives, 0,
                        (int)(sizeof damages / sizeof *damages));
    tcase_add_test(tests, refuses_members_that_are_not_apart);
    tcase_add_test(tests, refuses_other_archives_of_pytorch);
    tcase_add_test(tests, refuses_compressed_storages);
    tcase_add_loop_test(tests, refuses_what_is_cut_off, 0,
                        (int)(sizeof wholes / sizeof *wholes));
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
