/* What programs share that run a command again and again, and look at it. */
#ifndef GQA_TESTS_TRIAL_H
#define GQA_TESTS_TRIAL_H

#include <stdbool.h>
#include <stddef.h>

struct bytes {
    char *data;
    size_t n;
};

/* Ends the program; errno says why. */
_Noreturn void die(const char *what);

void append(struct bytes *to, const void *data, size_t n);
/* Of a file below a folder, as for openat(). */
void append_file(struct bytes *to, int folder, const char *name);
/*
 * Names and contents of all in a folder, in the order of the names; of those
 * alone that is_wanted() says, if it is not NULL.
 */
void append_folder(struct bytes *to, int parent, const char *name,
                   bool (*is_wanted)(const char *name));

bool same(const struct bytes *a, const struct bytes *b);
bool has(const struct bytes *text, const char *words);

/* Make a folder empty, or a copy of another one, if seed is not NULL. */
void prepare_folder(const char *folder, const char *seed);

/* Let what is written to a descriptor go into a file. */
void send_to(int fd, const char *path);

#endif
