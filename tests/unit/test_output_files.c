/* What appears under which name, what is replaced, what is left behind. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/advice.h"
#include "output_model.h"
#include "scratch.h"
#include "suite.h"

static void check_content(const char *path, unsigned seed)
{
    size_t n, n_expected;
    unsigned char *bytes = read_file(path, &n);
    unsigned char *expected = model_content(seed, &n_expected);

    ck_assert_uint_eq(n, n_expected);
    ck_assert(memcmp(bytes, expected, n) == 0);
    free(expected);
    free(bytes);
}

static void check_text(const char *path, const char *text)
{
    size_t n;
    unsigned char *bytes = read_file(path, &n);

    ck_assert_str_eq((char *)bytes, text);
    free(bytes);
}

/* Writing the model there is refused with this message. */
static void refused(const char *path, const struct gqa_output_options *options,
                    enum gqa_status status, const char *message)
{
    struct model_trouble none = {0};
    struct gqa_output_summary summary;

    ck_assert_int_eq(gqa_output_write(&summary, path, model_tensors,
                                      N_MODEL_TENSORS, model_produce, &none,
                                      options),
                     status);
    ck_assert_msg(strstr(gqa_error_message(), message) != NULL, "%s",
                  gqa_error_message());
}

START_TEST(an_existing_file_needs_force)
{
    static const char *const words[GQA_N_ADVICES] = {
        [GQA_ADVICE_REPLACE] = "; --yes would replace it"};
    struct gqa_output_options options = model_options(&gqa_writer_safetensors);
    struct model_trouble trouble = {.fails = true};
    const char *path = scratch_write_text("model", "mine");
    struct gqa_output_summary summary;
    struct stat info;

    refused(path, &options, GQA_ERR_USAGE, "/model: exists");
    gqa_advice_use(words);
    refused(path, &options, GQA_ERR_USAGE,
            "/model: exists; --yes would replace it");
    check_text(path, "mine");
    options.force = true;
    ck_assert_int_eq(gqa_output_write(&summary, path, model_tensors,
                                      N_MODEL_TENSORS, model_produce, &trouble,
                                      &options),
                     GQA_ERR_FORMAT);
    check_text(path, "mine");
    ck_assert_int_eq(chmod(path, 0640), 0);
    model_write(path, &options, 7);
    check_content(path, 7);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0640);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(a_link_stays_and_its_file_is_replaced)
{
    struct gqa_output_options options = model_options(&gqa_writer_safetensors);
    const char *link = scratch_path("link");
    struct stat info;

    ck_assert_int_eq(symlink("nowhere", link), 0);
    refused(link, &options, GQA_ERR_USAGE,
            "a symbolic link that leads nowhere");
    scratch_write_text("nowhere", "mine");
    refused(link, &options, GQA_ERR_USAGE, "exists");
    options.force = true;
    model_write(link, &options, 0);
    ck_assert_int_eq(lstat(link, &info), 0);
    ck_assert(S_ISLNK(info.st_mode));
    check_content(scratch_path("nowhere"), 0);
}
END_TEST

START_TEST(nothing_but_files_is_replaced)
{
    struct gqa_output_options options = model_options(&gqa_writer_gqa);
    const char *pipe = scratch_path("pipe");
    const char *folder = scratch_path("folder");

    options.force = true;
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    refused(pipe, &options, GQA_ERR_USAGE, "is not a regular file");
    refused("/dev/null", &options, GQA_ERR_USAGE, "is not a regular file");
    refused(folder, &options, GQA_ERR_USAGE, "is a folder");
    refused(scratch_path("folder/new/"), &options, GQA_ERR_USAGE,
            "does not name a file");
    refused(scratch_path("none/new"), &options, GQA_ERR_IO,
            "there is no folder");
    refused(scratch_path("pipe/new"), &options, GQA_ERR_IO, "Not a directory");
}
END_TEST

START_TEST(a_name_of_the_longest_kind_is_fine)
{
    struct gqa_output_options options = model_options(&gqa_writer_safetensors);
    char name[256];

    memset(name, 'x', 255);
    name[255] = '\0';
    for (int i = 0; i < 2; i++) {
        model_write(scratch_path(name), &options, 0);
        options.force = true;
    }
    check_content(scratch_path(name), 0);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

/* The signal that comes with it would end the process. */
START_TEST(a_limit_on_file_sizes_is_an_error)
{
    const struct gqa_output_options options =
        model_options(_i ? &gqa_writer_folder : &gqa_writer_gqa);
    struct rlimit limit, before;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 10 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    refused(scratch_path("model"), &options, GQA_ERR_IO,
            "larger than a file may be here, after 10485760 ");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_uint_eq(count_entries(scratch_folder()), 0);
}
END_TEST

static bool put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    return file && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* A file system of a few megabytes at path, for this process alone. */
static bool mount_small(const char *path)
{
    char map[64];

    snprintf(map, sizeof map, "0 %u 1", getuid());
    if (getuid() != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
            !put_text("/proc/self/setgroups", "deny") ||
            !put_text("/proc/self/uid_map", map))
            return false;
    } else if (unshare(CLONE_NEWNS) != 0) {
        return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=12m") == 0;
}

START_TEST(a_full_disk_is_told_of_before_or_when_it_happens)
{
    struct gqa_output_options options = model_options(&gqa_writer_gqa);
    const char *small = scratch_path("small");
    char path[512];

    ck_assert_int_eq(mkdir(small, 0700), 0);
    if (!mount_small(small))
        return; /* containers may forbid it */
    snprintf(path, sizeof path, "%s/model", small);
    refused(path, &options, GQA_ERR_IO, "no space left on the device, after ");
    ck_assert_uint_eq(count_entries(small), 0);
    options.settings.store = true;
    refused(path, &options, GQA_ERR_IO,
            "model: needs 22021378 bytes, but 12582912 are free there");
    options.writer = &gqa_writer_folder;
    refused(path, &options, GQA_ERR_IO, "bytes, but 12582912 are free there");
    ck_assert_uint_eq(count_entries(small), 0);
    umount(small);
}
END_TEST

/* Whoever reads at any time finds the old file or the new one. */
START_TEST(a_killed_run_leaves_the_old_or_the_new)
{
    struct gqa_output_options options =
        model_options(_i ? &gqa_writer_folder : &gqa_writer_safetensors);
    const char *path = scratch_path("model");
    const char *file = _i ? scratch_path("model/model.safetensors") : path;
    size_t n, n_expected;
    unsigned char *one = model_content(0, &n_expected);
    unsigned char *other = model_content(1, &n_expected);

    options.n_threads = 2;
    model_write(path, &options, 0);
    options.force = true;
    for (unsigned i = 0; i < 20; i++) {
        const pid_t child = fork();
        unsigned char *bytes;

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            model_write(path, &options, 1 - i % 2);
            _exit(0);
        }
        usleep(i * i * 1000);
        kill(child, SIGKILL);
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        bytes = read_file(file, &n);
        ck_assert_uint_eq(n, n_expected);
        ck_assert(memcmp(bytes, one, n) == 0 || memcmp(bytes, other, n) == 0);
        free(bytes);
    }
    free(other);
    free(one);
}
END_TEST

static const char folder_index[] =
    "{\n"
    "  \"metadata\": {\n"
    "    \"total_size\": 22020135\n"
    "  },\n"
    "  \"weight_map\": {\n"
    "    \"big\": \"model-00002-of-00002.safetensors\",\n"
    "    \"block\": \"model-00001-of-00002.safetensors\",\n"
    "    \"byte\": \"model-00002-of-00002.safetensors\",\n"
    "    \"empty\": \"model-00001-of-00002.safetensors\",\n"
    "    \"norm\": \"model-00001-of-00002.safetensors\",\n"
    "    \"over\": \"model-00001-of-00002.safetensors\",\n"
    "    \"scalar\": \"model-00001-of-00002.safetensors\",\n"
    "    \"under\": \"model-00001-of-00002.safetensors\"\n"
    "  }\n"
    "}\n";

/* A folder to take other files from; the caller frees its name. */
static char *make_source(void)
{
    char *folder = strdup(scratch_path("source"));

    ck_assert_int_eq(mkdir(folder, 0755), 0);
    scratch_write_text("source/tokenizer.json", "{}");
    scratch_write_text("source/notes.txt", "as they were");
    scratch_write_text("source/config.json", "{\"old\": 1}");
    scratch_write_text("source/pytorch_model.bin", "weights");
    scratch_write_text("source/model.safetensors", "weights");
    scratch_write_text("source/model.safetensors.index.json", "{}");
    scratch_write_text("source/.gitattributes", "hidden");
    scratch_write_text("elsewhere", "behind a link");
    ck_assert_int_eq(symlink("../elsewhere", scratch_path("source/linked")), 0);
    ck_assert_int_eq(symlink("nowhere", scratch_path("source/broken")), 0);
    ck_assert_int_eq(mkdir(scratch_path("source/onnx"), 0755), 0);
    return folder;
}

/*
 * The first six tensors, 3 * 4 MiB + 20 bytes, fill the first shard to the
 * last byte.
 */
START_TEST(a_folder_has_shards_config_and_other_files)
{
    struct gqa_output_options options = model_options(&gqa_writer_folder);
    json_t *config = json_pack("{s:s, s:f, s:[], s:i, s:f, s:n}", "model_type",
                               "llama", "rms_norm_eps", 1e-05, "list", "a", 1,
                               "theta", 10000.0, "none");
    char *source = make_source();
    struct gqa_output_summary summary;

    options.n_threads = 2;
    options.settings.shard_bytes = 12582932;
    options.config = config;
    options.copy_from = source;
    summary = model_write(scratch_path("out/"), &options, 0);
    ck_assert_uint_eq(summary.n_files, 3);
    check_text(scratch_path("out/model.safetensors.index.json"), folder_index);
    check_text(scratch_path("out/config.json"), "{\n"
                                                "  \"model_type\": \"llama\",\n"
                                                "  \"rms_norm_eps\": 1e-5,\n"
                                                "  \"list\": [],\n"
                                                "  \"a\": 1,\n"
                                                "  \"theta\": 10000.0,\n"
                                                "  \"none\": null\n"
                                                "}\n");
    check_text(scratch_path("out/tokenizer.json"), "{}");
    check_text(scratch_path("out/notes.txt"), "as they were");
    check_text(scratch_path("out/linked"), "behind a link");
    ck_assert_uint_eq(count_entries(scratch_path("out")), 8);
    free(source);
    json_decref(config);
}
END_TEST

START_TEST(a_small_folder_has_one_file_as_alone)
{
    const struct gqa_output_options options = model_options(&gqa_writer_folder);

    model_write(scratch_path("out"), &options, 3);
    check_content(scratch_path("out/model.safetensors"), 3);
    ck_assert_uint_eq(count_entries(scratch_path("out")), 2);
}
END_TEST

/* What else may be in it, and may not: test_replace.c. */
START_TEST(an_existing_folder_needs_force)
{
    struct gqa_output_options options = model_options(&gqa_writer_folder);
    const char *out = scratch_path("out");
    struct stat info;

    ck_assert_int_eq(mkdir(out, 0750), 0);
    model_write(out, &options, 0);
    refused(out, &options, GQA_ERR_USAGE, "/out: exists and is not empty");
    options.force = true;
    model_write(out, &options, 5);
    check_content(scratch_path("out/model.safetensors"), 5);
    ck_assert_int_eq(stat(out, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0750);
    ck_assert_uint_eq(count_entries(scratch_path("out")), 2);
    ck_assert_uint_eq(count_entries(scratch_folder()), 1);
}
END_TEST

START_TEST(a_file_is_not_replaced_by_a_folder)
{
    struct gqa_output_options options = model_options(&gqa_writer_folder);

    options.force = true;
    refused(scratch_write_text("out", "mine"), &options, GQA_ERR_USAGE,
            "exists and is not a folder");
    refused(scratch_path("."), &options, GQA_ERR_USAGE, "not replaced");
    refused(scratch_path("none/out"), &options, GQA_ERR_IO,
            "there is no folder");
    refused("", &options, GQA_ERR_USAGE, "does not name a folder to create");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("output files");
    TCase *file = tcase_create("file");
    TCase *folder = tcase_create("folder");

    tcase_add_checked_fixture(file, scratch_create, scratch_remove);
    tcase_set_timeout(file, 60);
    tcase_add_test(file, an_existing_file_needs_force);
    tcase_add_test(file, a_link_stays_and_its_file_is_replaced);
    tcase_add_test(file, nothing_but_files_is_replaced);
    tcase_add_test(file, a_name_of_the_longest_kind_is_fine);
    tcase_add_loop_test(file, a_limit_on_file_sizes_is_an_error, 0, 2);
    tcase_add_test(file, a_full_disk_is_told_of_before_or_when_it_happens);
    tcase_add_loop_test(file, a_killed_run_leaves_the_old_or_the_new, 0, 2);
    suite_add_tcase(suite, file);
    tcase_add_checked_fixture(folder, scratch_create, scratch_remove);
    tcase_set_timeout(folder, 60);
    tcase_add_test(folder, a_folder_has_shards_config_and_other_files);
    tcase_add_test(folder, a_small_folder_has_one_file_as_alone);
    tcase_add_test(folder, an_existing_folder_needs_force);
    tcase_add_test(folder, a_file_is_not_replaced_by_a_folder);
    suite_add_tcase(suite, folder);
    return suite_run(suite);
}
