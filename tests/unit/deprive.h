/* A system that lacks something, made of one that has it. */
#ifndef DEPRIVE_H
#define DEPRIVE_H

#include <stdbool.h>

bool deprive_has_landlock(void);

/* What this process and its children have no more. */
enum deprivation {
    DEPRIVE_FILTER = 1,   /* prctl(PR_SET_SECCOMP): EINVAL */
    DEPRIVE_LANDLOCK = 2, /* ENOSYS */
    DEPRIVE_FORK = 4,     /* EAGAIN */
};

/* what: or-ed. For good. */
void deprive(unsigned what);

#endif
