/* What --force replaces, and what is never deleted. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/atomic.h"
#include "common/sha256.h"
#include "output_model.h"
#include "scratch.h"
#include "suite.h"

/*
 * Called in place of renameat2() by the code under test: what others do at
 * the very last moment, and file systems that cannot exchange.
 */
static void (*at_the_last_moment)(void);
static bool cannot_exchange;
static int n_moments_before; /* calls that pass, before that one */

int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to,
                     unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to,
                     unsigned flags);

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to,
                     unsigned flags)
{
    void (*act)(void) = n_moments_before > 0 ? NULL : at_the_last_moment;

    if (n_moments_before > 0)
        n_moments_before--;
    else
        at_the_last_moment = NULL;
    if (act)
        act();
    if (cannot_exchange) {
        errno = EINVAL;
        return -1;
    }
    return __real_renameat2(from_fd, from, to_fd, to, flags);
}

static void set_up(void)
{
    at_the_last_moment = NULL;
    n_moments_before = 0;
    cannot_exchange = false;
    scratch_create();
}

static void check_text(const char *name, const char *text)
{
    size_t n;
    unsigned char *bytes = read_file(scratch_path(name), &n);

    ck_assert_str_eq((char *)bytes, text);
    free(bytes);
}

static bool exists(const char *name)
{
    return access(scratch_path(name), F_OK) == 0;
}

static void failed_with(const char *message)
{
    ck_assert_msg(strstr(gqa_error_message(), message) != NULL, "%s",
                  gqa_error_message());
    ck_assert_ptr_null(strchr(gqa_error_message(), '\n'));
}

/* Write a folder with config.json, and copies from `source` if that exists. */
static enum gqa_status write_folder(bool force)
{
    struct gqa_output_options options = model_options(&gqa_writer_folder);
    json_t *config =
        json_pack("{s:s, s:i}", "model_type", "llama", "hidden_size", 8);
    struct model_trouble none = {0};
    struct gqa_output_summary summary;
    enum gqa_status st;

    options.settings.shard_bytes = 12582932;
    options.config = config;
    options.force = force;
    options.copy_from = exists("source") ? scratch_path("source") : NULL;
    st = gqa_output_write(&summary, scratch_path("out"), model_tensors,
                          N_MODEL_TENSORS, model_produce, &none, &options);
    json_decref(config);
    return st;
}

static void is_replaced(void)
{
    ck_assert_msg(write_folder(true) == GQA_OK, "%s", gqa_error_message());
}

static void is_refused(const char *message)
{
    ck_assert_int_eq(write_folder(true), GQA_ERR_USAGE);
    failed_with(message);
}

static void make_source(void)
{
    ck_assert_int_eq(mkdir(scratch_path("source"), 0755), 0);
    scratch_write_text("source/README.md", "theirs");
    scratch_write_text("source/tokenizer.json", "{}");
    scratch_write_text("source/gqa-manifest.json", "of the source");
}

static void digest_is(const json_t *file, const char *name, bool is_weights)
{
    const char *key = is_weights ? "xxh3_128" : "sha256";
    unsigned char digest[GQA_SHA256_BYTES];
    char hex[GQA_SHA256_DIGITS + 1];
    size_t n;
    unsigned char *bytes = read_file(scratch_path(name), &n);

    if (is_weights) {
        const XXH128_hash_t hash = XXH3_128bits(bytes, n);

        snprintf(hex, sizeof hex, "%016llx%016llx",
                 (unsigned long long)hash.high64,
                 (unsigned long long)hash.low64);
    } else {
        ck_assert_int_eq(gqa_sha256(digest, bytes, n), GQA_OK);
        gqa_sha256_format(hex, digest);
    }
    ck_assert_str_eq(json_string_value(json_object_get(file, key)), hex);
    ck_assert_int_eq(json_integer_value(json_object_get(file, "bytes")),
                     (json_int_t)n);
    free(bytes);
}

START_TEST(a_manifest_lists_what_was_written)
{
    static const char *const names[] = {
        "README.md",
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    };
    json_t *root, *files;
    char path[128];

    make_source();
    ck_assert_int_eq(write_folder(false), GQA_OK);
    root = json_load_file(scratch_path("out/gqa-manifest.json"), 0, NULL);
    ck_assert_int_eq(
        json_integer_value(json_object_get(root, "schema_version")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(root, "tool")),
                     "gqa-convert " GQA_VERSION);
    files = json_object_get(root, "files");
    ck_assert_uint_eq(json_array_size(files), 6);
    for (size_t i = 0; i < 6; i++) {
        const json_t *file = json_array_get(files, i);

        ck_assert_str_eq(json_string_value(json_object_get(file, "name")),
                         names[i]);
        ck_assert_uint_eq(json_object_size(file), 3);
        snprintf(path, sizeof path, "out/%s", names[i]);
        digest_is(file, path, i == 2 || i == 3);
    }
    json_decref(root);
    ck_assert_uint_eq(count_entries(scratch_path("out")), 7);
    is_replaced();
    ck_assert_uint_eq(count_entries(scratch_path("out")), 7);
    ck_assert_uint_eq(count_entries(scratch_folder()), 2);
}
END_TEST

static const char *const strangers[] = {
    ".DS_Store",
    ".hidden",
    ".out.partial-abcdef",
    "LICENSE",
    "README.md",
    "adapter.safetensors",
    "chat_template.jinja",
    "data.npz",
    "events.out.tfevents.1",
    "generation_config.json",
    "labels.csv",
    "merges.txt",
    "model-00001-of-00009.safetensors",
    "model.gguf",
    "model.onnx",
    "model.safetensors.index.json.bak",
    "my.h5",
    "notes",
    "optimizer.pt",
    "other.gqa",
    "other.gguf",
    "pytorch_model.bin",
    "results.json",
    "spiece.model",
    "state.ckpt",
    "thesis.keras",
    "tokenizer.json",
    "vocab.txt",
};
enum { N_STRANGERS = sizeof strangers / sizeof *strangers };

static void write_stranger(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "out/%s", name);
    scratch_write_text(path, name);
}

static void check_stranger(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "out/%s", name);
    check_text(path, name);
}

START_TEST(a_folder_of_strangers_stays)
{
    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    for (size_t i = 0; i < N_STRANGERS; i++)
        write_stranger(strangers[i]);
    scratch_write_text("out/config.json", "{\"compilerOptions\": {}}");
    scratch_write_text("out/model.safetensors", "weights?");
    ck_assert_int_eq(mkdir(scratch_path("out/runs"), 0755), 0);
    ck_assert_int_eq(symlink("notes", scratch_path("out/link")), 0);
    is_refused("/out: not replaced, as it holds what no conversion "
               "wrote there: .DS_Store, .hidden, .out.partial-abcdef, LICENSE, "
               "README.md, adapter.safetensors and 26 more; move that away, or "
               "choose another name");
    for (size_t i = 0; i < N_STRANGERS; i++)
        check_stranger(strangers[i]);
    check_text("out/config.json", "{\"compilerOptions\": {}}");
    ck_assert_uint_eq(count_entries(scratch_path("out")), N_STRANGERS + 4);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(a_stranger_alone_keeps_a_folder)
{
    char message[256];

    ck_assert_int_eq(write_folder(false), GQA_OK);
    write_stranger(strangers[_i]);
    snprintf(message, sizeof message, "wrote there: %s; move", strangers[_i]);
    is_refused(message);
    check_stranger(strangers[_i]);
    ck_assert_uint_eq(count_entries(scratch_path("out")), 6);
}
END_TEST

START_TEST(nothing_but_regular_files_is_deleted)
{
    ck_assert_int_eq(write_folder(false), GQA_OK);
    ck_assert_int_eq(
        rename(scratch_path("out/config.json"), scratch_path("elsewhere")), 0);
    ck_assert_int_eq(symlink("../elsewhere", scratch_path("out/config.json")),
                     0);
    is_refused("wrote there: config.json; move");
    ck_assert_int_eq(unlink(scratch_path("out/config.json")), 0);
    ck_assert_int_eq(mkdir(scratch_path("out/config.json"), 0755), 0);
    is_refused("wrote there: config.json; move");
    ck_assert_int_eq(rmdir(scratch_path("out/config.json")), 0);
    ck_assert_int_eq(mkfifo(scratch_path("out/pipe"), 0600), 0);
    is_refused("wrote there: pipe; move");
    ck_assert_int_eq(unlink(scratch_path("out/pipe")), 0);
    is_replaced();
}
END_TEST

START_TEST(what_was_changed_since_is_kept)
{
    make_source();
    ck_assert_int_eq(write_folder(false), GQA_OK);
    scratch_write_text("out/README.md", "mine  ");
    scratch_write_text("out/a", "mine");
    is_refused("wrote there: README.md (changed since), a; move");
    check_text("out/README.md", "mine  ");
    /* Back to what the source has: nothing is lost. */
    scratch_write_text("out/README.md", "theirs");
    ck_assert_int_eq(unlink(scratch_path("out/a")), 0);
    is_replaced();
    /* A configuration may be mended by hand, as long as it is one. */
    scratch_write_text("out/config.json", "{\"model_type\": \"llama\", "
                                          "\"architectures\": []}");
    is_replaced();
    scratch_write_text("out/config.json",
                       "{\"architectures\": [\"x64\", \"arm64\"]}");
    is_refused("wrote there: config.json (changed since); move");
    scratch_write_text("out/config.json", "{\"model_type\": \"printer 3\"}");
    is_refused("wrote there: config.json (changed since); move");
    scratch_write_text("out/config.json", "[]");
    is_refused("wrote there: config.json (changed since); move");
}
END_TEST

START_TEST(a_name_that_is_not_utf8_is_known_again)
{
    make_source();
    scratch_write_text("source/gr\xfcn", "theirs");
    ck_assert_int_eq(write_folder(false), GQA_OK);
    check_text("out/gr\xfcn", "theirs");
    /* Nothing but the manifest knows that a conversion wrote it. */
    ck_assert_int_eq(unlink(scratch_path("source/gr\xfcn")), 0);
    is_replaced();
    ck_assert(!exists("out/gr\xfcn"));
    scratch_write_text("source/gr\xfcn", "theirs");
    is_replaced();
    ck_assert_int_eq(unlink(scratch_path("source/gr\xfcn")), 0);
    scratch_write_text("out/gr\xfcn", "mine");
    is_refused("n (changed since); move");
}
END_TEST

/* The whole mode goes on: set-group-ID of a folder that a group shares. */
START_TEST(a_folder_keeps_its_mode)
{
    struct stat info;

    ck_assert_int_eq(write_folder(false), GQA_OK);
    ck_assert_int_eq(chmod(scratch_path("out"), 02750), 0);
    is_replaced();
    ck_assert_int_eq(stat(scratch_path("out"), &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 02750);
}
END_TEST

START_TEST(shards_are_known_by_their_bytes)
{
    const char *shard = "out/model-00001-of-00002.safetensors";
    size_t n;
    unsigned char *bytes;

    ck_assert_int_eq(write_folder(false), GQA_OK);
    ck_assert_int_eq(unlink(scratch_path("out/model.safetensors.index.json")),
                     0);
    bytes = read_file(scratch_path(shard), &n);
    bytes[20] ^= 1;
    scratch_write(shard, bytes, n);
    is_refused(": model-00001-of-00002.safetensors (changed since); move");
    bytes[20] ^= 1;
    /* A weight that was trained on. */
    bytes[n - 1] ^= 1;
    scratch_write(shard, bytes, n);
    is_refused(": model-00001-of-00002.safetensors (changed since); move");
    bytes[n - 1] ^= 1;
    scratch_write(shard, bytes, n - 1);
    is_refused(": model-00001-of-00002.safetensors (changed since); move");
    memset(bytes, 0xff, 8);
    scratch_write(shard, bytes, n);
    is_refused(": model-00001-of-00002.safetensors (changed since); move");
    scratch_write(shard, bytes, 4);
    is_refused(": model-00001-of-00002.safetensors (changed since); move");
    free(bytes);
}
END_TEST

static const char *const damaged[] = {
    "",
    "{",
    "[]",
    "{\"schema_version\": 2, \"tool\": \"gqa-convert 9\", \"files\": []}",
    "{\"schema_version\": 1, \"tool\": \"other 1\", \"files\": []}",
    "{\"schema_version\": 1, \"tool\": \"gqa-convert 1\"}",
    "{\"schema_version\": 1, \"tool\": \"gqa-convert 1\", \"files\": [1]}",
#define LISTING(name)                                     \
    "{\"name\": \"" name "\", \"bytes\": 2, \"sha256\": " \
    "\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"}"
#define MANIFEST(files)                                                       \
    "{\"schema_version\": 1, \"tool\": \"gqa-convert 1\", \"files\": [" files \
    "]}"
    MANIFEST(LISTING("a") ", " LISTING("a")),
    MANIFEST(LISTING("a") ", " LISTING("../a")),
    MANIFEST(LISTING("a") ", " LISTING("..")),
    MANIFEST(LISTING("a") ", " LISTING("")),
    MANIFEST(LISTING("a") ", " LISTING("gqa-manifest.json")),
    MANIFEST("{\"name\": \"a\", \"bytes\": -1, \"sha256\": \"\"}"),
};
enum { N_DAMAGED = sizeof damaged / sizeof *damaged };

START_TEST(a_damaged_manifest_is_none)
{
    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    scratch_write_text("out/a", "{}");
    scratch_write_text("out/gqa-manifest.json", damaged[_i]);
    is_refused("wrote there: a, gqa-manifest.json; move");
    scratch_write_text("out/gqa-manifest.json", MANIFEST(LISTING("a")));
    is_replaced();
}
END_TEST

START_TEST(a_manifest_that_is_too_long_is_none)
{
    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    scratch_write_text("out/gqa-manifest.json", MANIFEST(LISTING("a")));
    ck_assert_int_eq(
        truncate(scratch_path("out/gqa-manifest.json"), (off_t)1 << 40), 0);
    is_refused("wrote there: gqa-manifest.json; move");
}
END_TEST

/* As a version that wrote no manifest left it. */
START_TEST(a_folder_without_a_manifest_is_known_by_its_names)
{
    make_source();
    ck_assert_int_eq(write_folder(false), GQA_OK);
    ck_assert_int_eq(unlink(scratch_path("out/gqa-manifest.json")), 0);
    is_replaced();
    ck_assert_int_eq(unlink(scratch_path("out/gqa-manifest.json")), 0);
    scratch_write_text("out/README.md", "mine");
    scratch_write_text("out/model-00003-of-00003.safetensors", "mine");
    is_refused(": README.md, model-00003-of-00003.safetensors; move");
    ck_assert_int_eq(unlink(scratch_path("out/README.md")), 0);
    scratch_write_text("out/model.safetensors.index.json",
                       "{\"weight_map\": {\"a\": "
                       "\"model-00003-of-00003.safetensors\", \"b\": 1}}");
    is_refused(": model-00001-of-00002.safetensors, "
               "model-00002-of-00002.safetensors; move");
    ck_assert_int_eq(
        unlink(scratch_path("out/model-00001-of-00002.safetensors")), 0);
    ck_assert_int_eq(
        unlink(scratch_path("out/model-00002-of-00002.safetensors")), 0);
    scratch_write_text("out/model.safetensors", "beside a config.json");
    is_replaced();
}
END_TEST

/* The atomic API, with a judge that lets everything go. */
static enum gqa_status all_ours(void *ctx, int folder_fd,
                                struct gqa_entries *entries)
{
    (void)ctx;
    (void)folder_fd;
    for (size_t i = 0; i < entries->n; i++)
        entries->list[i].verdict = GQA_VERDICT_OURS;
    return GQA_OK;
}

static const struct gqa_atomic_judge lenient = {.judge = all_ours};

/* out/ with old.txt, and a new out/ with new.txt to be committed. */
static struct gqa_atomic *begin_folder(void)
{
    struct gqa_atomic *a = NULL;
    int fd;

    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    scratch_write_text("out/old.txt", "old");
    ck_assert_int_eq(
        gqa_atomic_create_folder(&a, scratch_path("out"), true, &lenient),
        GQA_OK);
    ck_assert_int_eq(gqa_atomic_create_in(a, &fd, "new.txt"), GQA_OK);
    ck_assert_int_eq(write(fd, "new", 3), 3);
    close(fd);
    return a;
}

START_TEST(what_comes_before_the_commit_is_kept)
{
    struct gqa_atomic *a = begin_folder();

    scratch_write_text("out/late.txt", "late");
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: not replaced, as late.txt in it has come to exist "
                "meanwhile");
    gqa_atomic_free(a);
    check_text("out/late.txt", "late");
    check_text("out/old.txt", "old");
    ck_assert_uint_eq(count_entries(scratch_path("out")), 2);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(what_changes_before_the_commit_is_kept)
{
    struct gqa_atomic *a = begin_folder();

    scratch_write_text("out/old.txt", "older");
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: not replaced, as old.txt in it was changed meanwhile");
    gqa_atomic_free(a);
    check_text("out/old.txt", "older");
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(another_folder_is_not_replaced)
{
    struct gqa_atomic *a = begin_folder();

    ck_assert_int_eq(rename(scratch_path("out"), scratch_path("moved")), 0);
    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    scratch_write_text("out/old.txt", "other");
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: was changed meanwhile, and is not replaced");
    gqa_atomic_free(a);
    check_text("out/old.txt", "other");
    check_text("moved/old.txt", "old");
    ck_assert_uint_eq(count_entries(scratch_folder()), 2);
}
END_TEST

START_TEST(a_folder_that_went_away_is_no_obstacle)
{
    struct gqa_atomic *a = begin_folder();

    ck_assert_int_eq(rename(scratch_path("out"), scratch_path("moved")), 0);
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    check_text("out/new.txt", "new");
    check_text("moved/old.txt", "old");
}
END_TEST

static void write_late(void)
{
    scratch_write_text("out/late.txt", "late");
    ck_assert_int_eq(mkdir(scratch_path("out/late"), 0755), 0);
    scratch_write_text("out/late/inner.txt", "inner");
}

START_TEST(what_comes_at_the_last_moment_moves_over)
{
    struct gqa_atomic *a = begin_folder();

    at_the_last_moment = write_late;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    check_text("out/new.txt", "new");
    check_text("out/late.txt", "late");
    check_text("out/late/inner.txt", "inner");
    ck_assert_uint_eq(count_entries(scratch_path("out")), 3);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

static void write_into_old(void)
{
    scratch_write_text("out/old.txt", "older");
    scratch_write_text("out/new.txt", "not that new one");
}

/* The scratch folder's entry whose name begins with this. */
static const char *find_beside(const char *start)
{
    static char name[512];
    struct gqa_entries entries = {0};
    const int fd = open(scratch_folder(), O_RDONLY | O_DIRECTORY);

    *name = '\0';
    ck_assert_int_eq(gqa_entries_list(&entries, fd), GQA_OK);
    for (size_t i = 0; i < entries.n; i++)
        if (strncmp(entries.list[i].name, start, strlen(start)) == 0)
            snprintf(name, sizeof name, "%s", entries.list[i].name);
    gqa_entries_clear(&entries);
    close(fd);
    ck_assert_msg(*name != '\0', "no %s", start);
    return name;
}

START_TEST(what_has_no_place_in_the_new_folder_stays_in_sight)
{
    struct gqa_atomic *a = begin_folder();
    char path[1024];

    at_the_last_moment = write_into_old;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    check_text("out/new.txt", "new");
    /* There is no other old.txt in the new folder. */
    check_text("out/old.txt", "older");
    snprintf(path, sizeof path, "%s/new.txt", find_beside("out.replaced-"));
    check_text(path, "not that new one");
    ck_assert_uint_eq(count_entries(scratch_folder()), 2);
}
END_TEST

static void put_in_place_of_old(void)
{
    char path[1024];

    scratch_write_text("stranger", "stranger");
    snprintf(path, sizeof path, "%s/old.txt", find_beside(".out.partial-"));
    ck_assert_int_eq(rename(scratch_path("stranger"), scratch_path(path)), 0);
}

/* It came after the last look, and before the old file was deleted. */
START_TEST(another_file_in_the_old_folder_moves_over)
{
    struct gqa_atomic *a = begin_folder();

    n_moments_before = 1;
    at_the_last_moment = put_in_place_of_old;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    check_text("out/new.txt", "new");
    check_text("out/old.txt", "stranger");
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

static void swap_folder(void)
{
    ck_assert_int_eq(rename(scratch_path("out"), scratch_path("moved")), 0);
    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    scratch_write_text("out/old.txt", "other");
}

START_TEST(another_folder_at_the_last_moment_comes_back)
{
    struct gqa_atomic *a = begin_folder();

    at_the_last_moment = swap_folder;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: was changed meanwhile, and is not replaced");
    gqa_atomic_free(a);
    check_text("out/old.txt", "other");
    check_text("moved/old.txt", "old");
    ck_assert_uint_eq(count_entries(scratch_folder()), 2);
}
END_TEST

START_TEST(a_folder_that_comes_to_exist_is_kept)
{
    struct gqa_atomic *a = NULL;

    cannot_exchange = _i == 1;
    ck_assert_int_eq(
        gqa_atomic_create_folder(&a, scratch_path("out"), true, &lenient),
        GQA_OK);
    ck_assert_int_eq(mkdir(scratch_path("out"), 0755), 0);
    scratch_write_text("out/old.txt", "other");
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: has come to exist meanwhile, and is not replaced");
    gqa_atomic_free(a);
    check_text("out/old.txt", "other");
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(a_new_folder_needs_no_exchange)
{
    struct gqa_atomic *a = NULL;

    cannot_exchange = true;
    ck_assert_int_eq(
        gqa_atomic_create_folder(&a, scratch_path("out"), false, &lenient),
        GQA_OK);
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    ck_assert(exists("out"));
}
END_TEST

START_TEST(an_old_folder_stays_where_none_can_be_exchanged)
{
    struct gqa_atomic *a = begin_folder();

    cannot_exchange = true;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_IO);
    failed_with("/out: not replaced, as its file system cannot let two folders "
                "change places; remove it first, or choose another name");
    gqa_atomic_free(a);
    check_text("out/old.txt", "old");
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(a_failed_run_deletes_its_own_files_alone)
{
    struct gqa_atomic *a = begin_folder();
    char path[1024];
    int fd;

    ck_assert_int_eq(gqa_atomic_create_in(a, &fd, "again.txt"), GQA_OK);
    close(fd);
    snprintf(path, sizeof path, "%s/late.txt", find_beside(".out.partial-"));
    scratch_write_text(path, "late");
    (void)gqa_fail(GQA_ERR_IO, "why it failed");
    gqa_atomic_free(a);
    ck_assert_str_eq(gqa_error_message(), "why it failed");
    check_text(path, "late");
    *strrchr(path, '/') = '\0';
    ck_assert_uint_eq(count_entries(scratch_path(path)), 1);
    check_text("out/old.txt", "old");
}
END_TEST

/* A file `out` to be replaced by one that says "new". */
static struct gqa_atomic *begin_file(bool exists_already)
{
    struct gqa_atomic *a = NULL;

    if (exists_already)
        scratch_write_text("out", "old");
    ck_assert_int_eq(gqa_atomic_create_file(&a, scratch_path("out"), true),
                     GQA_OK);
    ck_assert_int_eq(write(gqa_atomic_fd(a), "new", 3), 3);
    return a;
}

static void check_alone(const char *text)
{
    check_text("out", text);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}

START_TEST(a_file_is_replaced)
{
    struct gqa_atomic *a = begin_file(true);

    cannot_exchange = _i == 1;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    check_alone("new");
}
END_TEST

START_TEST(a_file_that_comes_to_exist_is_kept)
{
    struct gqa_atomic *a = begin_file(false);

    scratch_write_text("out", "late");
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: has come to exist meanwhile, and is not replaced");
    gqa_atomic_free(a);
    check_alone("late");
}
END_TEST

START_TEST(a_file_that_changes_is_kept)
{
    struct gqa_atomic *a = begin_file(true);

    cannot_exchange = _i == 1;
    scratch_write_text("out", "late");
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: was changed meanwhile, and is not replaced");
    gqa_atomic_free(a);
    check_alone("late");
}
END_TEST

START_TEST(a_file_that_went_away_is_no_obstacle)
{
    struct gqa_atomic *a = begin_file(true);

    ck_assert_int_eq(unlink(scratch_path("out")), 0);
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_OK);
    gqa_atomic_free(a);
    check_alone("new");
}
END_TEST

static void swap_file(void)
{
    scratch_write_text("late", "late");
    ck_assert_int_eq(rename(scratch_path("late"), scratch_path("out")), 0);
}

START_TEST(another_file_at_the_last_moment_comes_back)
{
    struct gqa_atomic *a = begin_file(true);

    at_the_last_moment = swap_file;
    ck_assert_int_eq(gqa_atomic_commit(a), GQA_ERR_USAGE);
    failed_with("/out: was changed meanwhile, and is not replaced");
    gqa_atomic_free(a);
    check_alone("late");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replace");
    TCase *judged = tcase_create("judged");
    TCase *folder = tcase_create("folder races");
    TCase *file = tcase_create("file races");

    tcase_add_checked_fixture(judged, set_up, scratch_remove);
    tcase_add_test(judged, a_manifest_lists_what_was_written);
    tcase_add_test(judged, a_folder_of_strangers_stays);
    tcase_add_loop_test(judged, a_stranger_alone_keeps_a_folder, 0,
                        N_STRANGERS);
    tcase_add_test(judged, nothing_but_regular_files_is_deleted);
    tcase_add_test(judged, what_was_changed_since_is_kept);
    tcase_add_test(judged, a_name_that_is_not_utf8_is_known_again);
    tcase_add_test(judged, a_folder_keeps_its_mode);
    tcase_add_test(judged, shards_are_known_by_their_bytes);
    tcase_add_loop_test(judged, a_damaged_manifest_is_none, 0, N_DAMAGED);
    tcase_add_test(judged, a_manifest_that_is_too_long_is_none);
    tcase_add_test(judged, a_folder_without_a_manifest_is_known_by_its_names);
    suite_add_tcase(suite, judged);
    tcase_add_checked_fixture(folder, set_up, scratch_remove);
    tcase_add_test(folder, what_comes_before_the_commit_is_kept);
    tcase_add_test(folder, what_changes_before_the_commit_is_kept);
    tcase_add_test(folder, another_folder_is_not_replaced);
    tcase_add_test(folder, a_folder_that_went_away_is_no_obstacle);
    tcase_add_test(folder, what_comes_at_the_last_moment_moves_over);
    tcase_add_test(folder, what_has_no_place_in_the_new_folder_stays_in_sight);
    tcase_add_test(folder, another_file_in_the_old_folder_moves_over);
    tcase_add_test(folder, another_folder_at_the_last_moment_comes_back);
    tcase_add_loop_test(folder, a_folder_that_comes_to_exist_is_kept, 0, 2);
    tcase_add_test(folder, a_new_folder_needs_no_exchange);
    tcase_add_test(folder, an_old_folder_stays_where_none_can_be_exchanged);
    tcase_add_test(folder, a_failed_run_deletes_its_own_files_alone);
    suite_add_tcase(suite, folder);
    tcase_add_checked_fixture(file, set_up, scratch_remove);
    tcase_add_loop_test(file, a_file_is_replaced, 0, 2);
    tcase_add_test(file, a_file_that_comes_to_exist_is_kept);
    tcase_add_loop_test(file, a_file_that_changes_is_kept, 0, 2);
    tcase_add_test(file, a_file_that_went_away_is_no_obstacle);
    tcase_add_test(file, another_file_at_the_last_moment_comes_back);
    suite_add_tcase(suite, file);
    return suite_run(suite);
}
