/* What is said where the CUDA plug-in cannot be used. Each test is a process
 * of its own, since a plug-in stays loaded. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"
#include "suite.h"

/* Load with GQA_CUDA_PLUGIN=path; the failure's message. */
static const char *refusal(const char *path)
{
    const struct gqa_backend *backend = NULL;

    setenv("GQA_CUDA_PLUGIN", path, 1);
    ck_assert_int_eq(gqa_cuda_backend_load(&backend), GQA_ERR_UNSUPPORTED);
    ck_assert_ptr_null(backend);
    ck_assert_ptr_null(strchr(gqa_error_message(), '\n'));
    return gqa_error_message();
}

static void expect(const char *message, const char *part)
{
    ck_assert_msg(strstr(message, part), "'%s' lacks '%s'", message, part);
}

START_TEST(names_the_missing_file)
{
    expect(refusal("/no/such/gqa-cuda.so"),
           "no CUDA plug-in at /no/such/gqa-cuda.so, where GQA_CUDA_PLUGIN "
           "points");
}
END_TEST

START_TEST(says_why_a_file_cannot_be_loaded)
{
    const char *message = refusal(NOT_A_LIBRARY);

    expect(message, "cannot be loaded");
    expect(message, "invalid ELF header");
}
END_TEST

START_TEST(refuses_a_library_that_is_no_plugin)
{
    expect(refusal(PLUGIN_FOREIGN), "is not the CUDA plug-in of gqa-tools");
}
END_TEST

START_TEST(refuses_another_version)
{
    const char *message = refusal(PLUGIN_OLD);

    expect(message, "is of another version: its interface is 0");
    expect(message, "install the two together");
}
END_TEST

START_TEST(fails_again_and_then_loads_once)
{
    const struct gqa_backend *first = NULL, *second = NULL;

    refusal("/no/such/gqa-cuda.so");
    setenv("GQA_CUDA_PLUGIN", PLUGIN_GOOD, 1);
    ck_assert_int_eq(gqa_cuda_backend_load(&first), GQA_OK);
    ck_assert_str_eq(first->name, "stub");
    setenv("GQA_CUDA_PLUGIN", "/no/such/gqa-cuda.so", 1);
    ck_assert_int_eq(gqa_cuda_backend_load(&second), GQA_OK);
    ck_assert_ptr_eq(first, second);
}
END_TEST

#ifdef PLUGIN_CUDA
/* The plug-in itself: loaded, or refused for what the machine lacks. */
START_TEST(loads_or_names_what_is_missing)
{
    const struct gqa_backend *backend = NULL;

    setenv("GQA_CUDA_PLUGIN", PLUGIN_CUDA, 1);
    if (gqa_cuda_backend_load(&backend) == GQA_OK)
        ck_assert_str_eq(backend->name, "cuda");
    else
        expect(gqa_error_message(), "NVIDIA driver");
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("cuda_load");
    TCase *tcase = tcase_create("messages");

    tcase_add_test(tcase, names_the_missing_file);
    tcase_add_test(tcase, says_why_a_file_cannot_be_loaded);
    tcase_add_test(tcase, refuses_a_library_that_is_no_plugin);
    tcase_add_test(tcase, refuses_another_version);
    tcase_add_test(tcase, fails_again_and_then_loads_once);
#ifdef PLUGIN_CUDA
    tcase_add_test(tcase, loads_or_names_what_is_missing);
#endif
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
