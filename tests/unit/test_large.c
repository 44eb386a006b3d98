/* Memory of large pages: where the system has them, it is asked for them. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/large.h"
#include "suite.h"

enum { N_BYTES = 64 << 20 };

/* Whether the pages in the middle of it are said to be advised of ("hg"). */
static bool is_advised(const char *memory)
{
    const uintptr_t middle = (uintptr_t)(memory + N_BYTES / 2);
    FILE *maps = fopen("/proc/self/smaps", "r");
    bool inside = false, found = false;
    char line[4096];

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long begin, end;

        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            inside = begin <= middle && middle < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " hg") != NULL;
    }
    fclose(maps);
    return found;
}

START_TEST(is_memory)
{
    char *memory = gqa_large_malloc(N_BYTES);
    char *zeros = gqa_large_calloc(N_BYTES / 8, 8);
    size_t n_right = 0;

    ck_assert_ptr_nonnull(memory);
    ck_assert_ptr_nonnull(zeros);
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0) {
        ck_assert(is_advised(memory));
        ck_assert(is_advised(zeros));
    }
    memset(memory, 3, N_BYTES);
    for (size_t i = 0; i < N_BYTES; i++)
        n_right += memory[i] == 3 && zeros[i] == 0;
    ck_assert_uint_eq(n_right, N_BYTES);
    free(memory);
    free(zeros);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* which ends the process of such a size */
START_TEST(is_refused)
{
    volatile size_t much = SIZE_MAX / 2;

    ck_assert_ptr_null(gqa_large_malloc(much));
    ck_assert_ptr_null(gqa_large_calloc(much, 8));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("large");
    TCase *all = tcase_create("all");

    tcase_add_test(all, is_memory);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(all, is_refused);
#endif
    suite_add_tcase(suite, all);
    return suite_run(suite);
}
