/*
 * gqa-convert on every file of tests/data/bad: one clear line, exit status
 * 2, and nothing written. Where the HDF5 library reads beyond its memory, a
 * sanitizer may say more.
 *
 * Usage: bad_inputs GQA_CONVERT TESTS_DATA
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"

/* Seconds that the worst of them may take, sanitizers and all. */
enum { TIME_LIMIT = 60, TICKS_A_SECOND = 200 };

extern char **environ;

/* Entries of a folder but for "." and "..". */
static unsigned count_entries(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    unsigned n = 0;

    while (dir && (entry = readdir(dir)))
        n +=
            strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

/* Run the tool; its messages go to a file. Returns the wait status. */
static int run(const char *tool, const char *input, const char *messages)
{
    char *argv[] = {(char *)(uintptr_t)tool, (char *)"--groups=1",
                    (char *)(uintptr_t)input, (char *)"out.safetensors", NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages,
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null",
                                     O_WRONLY, 0);
    if (posix_spawn(&pid, tool, &actions, NULL, argv, environ) != 0) {
        perror(tool);
        exit(EXIT_FAILURE);
    }
    posix_spawn_file_actions_destroy(&actions);
    for (int ticks = 0; waitpid(pid, &status, WNOHANG) == 0; ticks++) {
        if (ticks == TIME_LIMIT * TICKS_A_SECOND) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        usleep(1000000 / TICKS_A_SECOND);
    }
    return status;
}

/* The last line begins with the tool's name, those before are warnings. */
static const char *judge_messages(const char *path, char *line, size_t size,
                                  bool has_report)
{
    FILE *f = fopen(path, "r");
    unsigned n_errors = 0;

    line[0] = '\0';
    while (f && fgets(line, (int)size, f)) {
        if (strncmp(line, "gqa-convert: ", 13) == 0) {
            n_errors += strncmp(line + 13, "warning: ", 9) != 0;
        } else if (!has_report) {
            fclose(f);
            return "a line of another form";
        }
    }
    if (f)
        fclose(f);
    line[strcspn(line, "\n")] = '\0';
    return n_errors == 1 ? NULL : "not exactly one error line";
}

static int check(const char *tool, const char *data, const json_t *item,
                 const char *messages)
{
    const char *name = json_string_value(json_object_get(item, "path"));
    const bool has_report =
        json_is_true(json_object_get(item, "library_overreads"));
    const char *wrong = NULL;
    char path[4096], line[4096];
    int status;

    snprintf(path, sizeof path, "%s/%s", data, name);
    status = run(tool, path, messages);
    if (status == -1)
        wrong = "no end within the time limit";
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 2)
        wrong = "exit status is not 2";
    else if (count_entries(".") != 0)
        wrong = "something was written";
    if (wrong)
        judge_messages(messages, line, sizeof line, has_report);
    else
        wrong = judge_messages(messages, line, sizeof line, has_report);
    printf("%s %s: %s\n", wrong ? "FAIL" : "ok  ", name, line);
    if (wrong)
        printf("     %s (%s)\n", wrong,
               json_string_value(json_object_get(item, "fault")));
    return wrong != NULL;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/gqa-bad-XXXXXX";
    char messages[sizeof folder + 16], list[4096], out[sizeof folder + 8];
    json_t *all = NULL;
    int n_failed = 0;

    if (argc != 3)
        return EXIT_FAILURE;
    snprintf(list, sizeof list, "%s/bad.json", argv[2]);
    if (gqa_json_load_file(&all, list, 1 << 20) != GQA_OK ||
        json_array_size(all) == 0 || !mkdtemp(folder)) {
        fprintf(stderr, "%s\n", gqa_error_message());
        return EXIT_FAILURE;
    }
    snprintf(messages, sizeof messages, "%s/messages", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    if (mkdir(out, 0700) != 0 || chdir(out) != 0)
        return EXIT_FAILURE;
    for (size_t i = 0; i < json_array_size(all); i++)
        n_failed += check(argv[1], argv[2], json_array_get(all, i), messages);
    printf("%zu inputs, %d failed\n", json_array_size(all), n_failed);
    json_decref(all);
    unlink(messages);
    if (chdir("/") != 0 || rmdir(out) != 0 || rmdir(folder) != 0)
        return EXIT_FAILURE;
    return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
