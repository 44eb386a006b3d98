#include "formats/hdf5/library/private.h"

#include <stdio.h>
#include <string.h>

/* What the library itself says of its last failure. */
static herr_t first_reason(unsigned n, const H5E_error2_t *error, void *text)
{
    if (n == 0 && error->desc)
        snprintf(text, 160, "%s", error->desc);
    return 0;
}

/* Addresses of the process are no business of the reader, nor twice the same:
 * "0x55d9a8e0" becomes "0x..". */
static void drop_addresses(char *text)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    char *to = text;

    while (*text) {
        const size_t n =
            strncmp(text, "0x", 2) == 0 ? strspn(text + 2, digits) : 0;

        if (n == 0) {
            *to++ = *text++;
            continue;
        }
        /* No longer than what was there. */
        memcpy(to, "0x..", n == 1 ? 3 : 4);
        to += n == 1 ? 3 : 4;
        text += 2 + n;
    }
    *to = '\0';
}

const char *gqa_h5_reason(void)
{
    static char text[160];

    snprintf(text, sizeof text, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, text);
    drop_addresses(text);
    return text;
}

enum gqa_status gqa_h5_damaged(const char *path, const char *what)
{
    const char *why = gqa_h5_reason();

    return gqa_fail(
        GQA_ERR_FORMAT, "%s: the HDF5 library cannot read %s (%s)%s", path,
        what, why,
        strstr(why, "version number") ? "; perhaps a newer HDF5 wrote it" : "");
}

enum gqa_status gqa_h5_not_in_file(const char *path, const char *what)
{
    return gqa_fail(GQA_ERR_FORMAT,
                    "%s: damaged: the file does not hold %s that the library "
                    "read from it",
                    path, what);
}
