#define GQA_H5_FILLS_TABLE
#include <dlfcn.h>
#include <errno.h>

#include "formats/hdf5/library/h5.h"

struct gqa_h5_symbols gqa_h5;

/* An object pointer that holds a function's, as POSIX has it. */
#define FUNCTION(symbol) {#symbol, (void **)&gqa_h5.symbol},
#define VARIABLE(symbol) FUNCTION(symbol)
static const struct {
    const char *name;
    void **address;
} symbols[] = {
#include "formats/hdf5/library/symbols.inl"
};

static enum gqa_status open_library(void **out)
{
    errno = 0;
    *out = dlopen(GQA_HDF5_SONAME, RTLD_LAZY | RTLD_LOCAL);
    if (*out)
        return GQA_OK;
    if (errno == ENOMEM)
        return gqa_fail_nomem();
    if (errno == EMFILE || errno == ENFILE)
        return gqa_fail_errno("cannot load the HDF5 library");
    return gqa_fail(GQA_ERR_UNSUPPORTED,
                    "the HDF5 library that this was built with cannot be "
                    "loaded: %s; install it, or put its folder in "
                    "LD_LIBRARY_PATH",
                    dlerror());
}

enum gqa_status gqa_h5_load(void)
{
    void *library;
    enum gqa_status st = open_library(&library);

    for (size_t i = 0; i < sizeof symbols / sizeof *symbols && st == GQA_OK;
         i++)
        if (!(*symbols[i].address = dlsym(library, symbols[i].name)))
            st = gqa_fail(GQA_ERR_UNSUPPORTED,
                          "the HDF5 library that is installed has no %s: it "
                          "is not of the version that this was built with",
                          symbols[i].name);
    return st;
}
