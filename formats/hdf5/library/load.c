#define GQA_H5_FILLS_TABLE
#include "common/library.h"
#include "formats/hdf5/library/h5.h"
#include "formats/hdf5/library/private.h"

struct gqa_h5_symbols gqa_h5;

#define FUNCTION(symbol) {#symbol, (void **)&gqa_h5.symbol},
#define VARIABLE(symbol) FUNCTION(symbol)
static const struct gqa_library_symbol symbols[] = {
#include "formats/hdf5/library/symbols.inl"
};

enum gqa_status gqa_h5_library_load(void)
{
    return gqa_library_load(GQA_HDF5_SONAME, "the HDF5 library", symbols,
                            sizeof symbols / sizeof *symbols);
}
