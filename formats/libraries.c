#include "formats/libraries.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <zstd.h>

#include "formats/hdf5/library/library.h"

void gqa_format_libraries(char *out, size_t size)
{
    char hdf5[32];

    gqa_h5_version(hdf5, sizeof hdf5);
    snprintf(out, size, "HDF5 %s, zstd %s, OpenSSL %s", hdf5,
             ZSTD_versionString(), OpenSSL_version(OPENSSL_VERSION_STRING));
}
