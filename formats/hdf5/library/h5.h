/*
 * What is called of libhdf5, by its own names, through a table that is filled
 * when the library is loaded: the thirty libraries that it needs take longer
 * to load than a tool takes that reads no HDF5. Included in place of hdf5.h.
 */
#ifndef GQA_FORMATS_HDF5_LIBRARY_H5_H
#define GQA_FORMATS_HDF5_LIBRARY_H5_H

#include <hdf5.h>

#include "common/status.h"

/*
 * H5Dchunk_iter tells where all chunks lie. Before 1.14.4 it forgot the user
 * block; 1.10.10 and 1.12.3 have it with the same fault.
 */
#define GQA_H5_HAS_CHUNK_ITER H5_VERSION_GE(1, 14, 4)

#define FUNCTION(name) __typeof__(name) *name;
#define VARIABLE(name) __typeof__(name) *name;
struct gqa_h5_symbols {
#include "formats/hdf5/library/symbols.inl"
};

extern struct gqa_h5_symbols gqa_h5;

/*
 * Fill the table: before anything else of the library.
 * Errors GQA_ERR_UNSUPPORTED: it is not installed; GQA_ERR_NOMEM, GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_h5_load(void);

/* Who fills the table needs the names themselves. */
#ifndef GQA_H5_FILLS_TABLE
#define H5Aclose                     gqa_h5.H5Aclose
#define H5Aexists                    gqa_h5.H5Aexists
#define H5Aget_space                 gqa_h5.H5Aget_space
#define H5Aget_storage_size          gqa_h5.H5Aget_storage_size
#define H5Aget_type                  gqa_h5.H5Aget_type
#define H5Aopen                      gqa_h5.H5Aopen
#define H5Aread                      gqa_h5.H5Aread
#define H5Dchunk_iter                gqa_h5.H5Dchunk_iter
#define H5Dclose                     gqa_h5.H5Dclose
#define H5Dget_create_plist          gqa_h5.H5Dget_create_plist
#define H5Dget_num_chunks            gqa_h5.H5Dget_num_chunks
#define H5Dget_offset                gqa_h5.H5Dget_offset
#define H5Dget_space                 gqa_h5.H5Dget_space
#define H5Dget_space_status          gqa_h5.H5Dget_space_status
#define H5Dget_storage_size          gqa_h5.H5Dget_storage_size
#define H5Dget_type                  gqa_h5.H5Dget_type
#define H5Dopen2                     gqa_h5.H5Dopen2
#define H5Dread                      gqa_h5.H5Dread
#define H5Dread_chunk                gqa_h5.H5Dread_chunk
#define H5Dvlen_reclaim              gqa_h5.H5Dvlen_reclaim
#define H5Eset_auto2                 gqa_h5.H5Eset_auto2
#define H5Ewalk2                     gqa_h5.H5Ewalk2
#define H5FDregister                 gqa_h5.H5FDregister
#define H5Fopen                      gqa_h5.H5Fopen
#define H5Gclose                     gqa_h5.H5Gclose
#define H5Gopen2                     gqa_h5.H5Gopen2
#define H5Iget_type                  gqa_h5.H5Iget_type
#define H5Lexists                    gqa_h5.H5Lexists
#define H5Literate                   gqa_h5.H5Literate
#define H5Literate2                  gqa_h5.H5Literate2
#define H5Lunregister                gqa_h5.H5Lunregister
#define H5Oclose                     gqa_h5.H5Oclose
#define H5Oget_info2                 gqa_h5.H5Oget_info2
#define H5Oget_info3                 gqa_h5.H5Oget_info3
#define H5Oopen                      gqa_h5.H5Oopen
#define H5PLset_loading_state        gqa_h5.H5PLset_loading_state
#define H5Pclose                     gqa_h5.H5Pclose
#define H5Pcreate                    gqa_h5.H5Pcreate
#define H5Pfill_value_defined        gqa_h5.H5Pfill_value_defined
#define H5Pget_chunk                 gqa_h5.H5Pget_chunk
#define H5Pget_chunk_opts            gqa_h5.H5Pget_chunk_opts
#define H5Pget_driver_info           gqa_h5.H5Pget_driver_info
#define H5Pget_external_count        gqa_h5.H5Pget_external_count
#define H5Pget_fill_time             gqa_h5.H5Pget_fill_time
#define H5Pget_fill_value            gqa_h5.H5Pget_fill_value
#define H5Pget_filter2               gqa_h5.H5Pget_filter2
#define H5Pget_layout                gqa_h5.H5Pget_layout
#define H5Pget_nfilters              gqa_h5.H5Pget_nfilters
#define H5Pset_driver                gqa_h5.H5Pset_driver
#define H5Sclose                     gqa_h5.H5Sclose
#define H5Sget_simple_extent_dims    gqa_h5.H5Sget_simple_extent_dims
#define H5Sget_simple_extent_ndims   gqa_h5.H5Sget_simple_extent_ndims
#define H5Sget_simple_extent_npoints gqa_h5.H5Sget_simple_extent_npoints
#define H5Sget_simple_extent_type    gqa_h5.H5Sget_simple_extent_type
#define H5Tclose                     gqa_h5.H5Tclose
#define H5Tcopy                      gqa_h5.H5Tcopy
#define H5Tenum_valueof              gqa_h5.H5Tenum_valueof
#define H5Tget_class                 gqa_h5.H5Tget_class
#define H5Tget_cset                  gqa_h5.H5Tget_cset
#define H5Tget_ebias                 gqa_h5.H5Tget_ebias
#define H5Tget_fields                gqa_h5.H5Tget_fields
#define H5Tget_nmembers              gqa_h5.H5Tget_nmembers
#define H5Tget_norm                  gqa_h5.H5Tget_norm
#define H5Tget_offset                gqa_h5.H5Tget_offset
#define H5Tget_order                 gqa_h5.H5Tget_order
#define H5Tget_precision             gqa_h5.H5Tget_precision
#define H5Tget_sign                  gqa_h5.H5Tget_sign
#define H5Tget_size                  gqa_h5.H5Tget_size
#define H5Tget_strpad                gqa_h5.H5Tget_strpad
#define H5Tis_variable_str           gqa_h5.H5Tis_variable_str
#define H5Tset_cset                  gqa_h5.H5Tset_cset
#define H5Tset_size                  gqa_h5.H5Tset_size
#define H5check_version              gqa_h5.H5check_version
#define H5dont_atexit                gqa_h5.H5dont_atexit
#define H5open                       gqa_h5.H5open
#define H5E_NOSPACE_g                (*gqa_h5.H5E_NOSPACE_g)
#define H5E_RESOURCE_g               (*gqa_h5.H5E_RESOURCE_g)
#define H5P_CLS_FILE_ACCESS_ID_g     (*gqa_h5.H5P_CLS_FILE_ACCESS_ID_g)
#define H5T_C_S1_g                   (*gqa_h5.H5T_C_S1_g)
#endif

#endif
