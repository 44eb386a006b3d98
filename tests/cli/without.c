/*
 * Run a program as on a system that lacks something.
 *
 * usage: without [seccomp|landlock|fork]... -- PROGRAM [ARGUMENT]...
 *        without          0 where the system has Landlock, else 77
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deprive.h"

static unsigned parse(const char *word)
{
    static const struct {
        const char *word;
        unsigned what;
    } known[] = {{"seccomp", DEPRIVE_FILTER},
                 {"landlock", DEPRIVE_LANDLOCK},
                 {"fork", DEPRIVE_FORK}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(word, known[i].word) == 0)
            return known[i].what;
    return 0;
}

int main(int argc, char **argv)
{
    unsigned what = 0, one = 1;
    int i = 1;

    if (argc == 1)
        return deprive_has_landlock() ? 0 : 77;
    for (; i < argc && strcmp(argv[i], "--") != 0 && one; i++)
        what |= one = parse(argv[i]);
    if (i + 1 >= argc || !one) {
        fputs("usage: without [seccomp|landlock|fork]... -- PROGRAM...\n",
              stderr);
        return 2;
    }
    deprive(what);
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 2;
}
