#include "common/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static enum gqa_status open_library(void **out, const char *soname,
                                    const char *what)
{
    const char *why;

    errno = 0;
    *out = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);
    if (*out)
        return GQA_OK;
    if (errno == ENOMEM)
        return gqa_fail_nomem();
    if (errno == EMFILE || errno == ENFILE)
        return gqa_fail_errno("cannot load %s", what);
    why = dlerror();
    return gqa_fail(GQA_ERR_UNSUPPORTED, "%s cannot be loaded: %s%s", what, why,
                    /* The loader does not say more. */
                    strstr(why, "failed to map")
                        ? "; perhaps out of memory (ulimit -v), or it lies on "
                          "a file system mounted noexec"
                        : "; install it, or put its folder in "
                          "LD_LIBRARY_PATH");
}

enum gqa_status gqa_library_load(const char *soname, const char *what,
                                 const struct gqa_library_symbol *symbols,
                                 size_t n)
{
    void *library;
    enum gqa_status st = open_library(&library, soname, what);

    for (size_t i = 0; i < n && st == GQA_OK; i++)
        if (!(*symbols[i].address = dlsym(library, symbols[i].name)))
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "%s that is installed has no %s: it is not of the "
                          "version that this was built with",
                          what, symbols[i].name);
    return st;
}
