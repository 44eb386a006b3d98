/* How all unit tests end. */
#ifndef GQA_TESTS_SUITE_H
#define GQA_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Run it, as the environment says how loudly; the status to exit with. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
