#include <stdio.h>

#include "formats/hdf5/library/private.h"

void gqa_h5_version(char *out, size_t size)
{
    /* The library ends the process where it is not the version of its headers;
     * to ask it would initialise it outside its sandbox. */
    snprintf(out, size, "%d.%d.%d", H5_VERS_MAJOR, H5_VERS_MINOR,
             H5_VERS_RELEASE);
}
