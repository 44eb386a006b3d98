#include "formats/libraries.h"

#include <H5public.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <zstd.h>

void gqa_format_libraries(char *out, size_t size)
{
    /* HDF5 ends the process where it is not the version of its headers; to
     * ask it would initialise it outside its sandbox. */
    snprintf(out, size, "HDF5 %d.%d.%d, zstd %s, OpenSSL %s", H5_VERS_MAJOR,
             H5_VERS_MINOR, H5_VERS_RELEASE, ZSTD_versionString(),
             OpenSSL_version(OPENSSL_VERSION_STRING));
}
