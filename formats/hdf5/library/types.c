#include "formats/hdf5/library/private.h"

static bool find_float(hid_t type, enum gqa_dtype *dtype)
{
    static const struct {
        enum gqa_dtype dtype;
        size_t sign, exponent, exponent_bits, mantissa_bits, bias;
    } known[] = {
        {GQA_F16, 15, 10, 5, 10, 15},
        {GQA_BF16, 15, 7, 8, 7, 127},
        {GQA_F32, 31, 23, 8, 23, 127},
        {GQA_F64, 63, 52, 11, 52, 1023},
    };
    size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;

    if (H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa,
                      &mantissa_bits) < 0 ||
        H5Tget_norm(type) != H5T_NORM_IMPLIED || mantissa != 0 ||
        H5Tget_offset(type) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (sign == known[i].sign && exponent == known[i].exponent &&
            exponent_bits == known[i].exponent_bits &&
            mantissa_bits == known[i].mantissa_bits &&
            H5Tget_ebias(type) == known[i].bias &&
            8 * H5Tget_size(type) == known[i].sign + 1) {
            *dtype = known[i].dtype;
            return true;
        }
    return false;
}

static bool find_integer(hid_t type, enum gqa_dtype *dtype)
{
    static const struct {
        size_t size;
        enum gqa_dtype plain, with_sign;
    } known[] = {
        {1, GQA_U8, GQA_I8},
        {2, GQA_U16, GQA_I16},
        {4, GQA_U32, GQA_I32},
        {8, GQA_U64, GQA_I64},
    };
    const size_t size = H5Tget_size(type);
    const bool has_sign = H5Tget_sign(type) == H5T_SGN_2;

    if (H5Tget_precision(type) != 8 * size || H5Tget_offset(type) != 0)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size == known[i].size) {
            *dtype = has_sign ? known[i].with_sign : known[i].plain;
            return true;
        }
    return false;
}

/* h5py writes truth values as a one-byte enumeration of FALSE and TRUE. */
static bool is_truth_value(hid_t type)
{
    unsigned char no = 1, yes = 0;

    return H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 &&
           H5Tenum_valueof(type, "FALSE", &no) >= 0 && no == 0 &&
           H5Tenum_valueof(type, "TRUE", &yes) >= 0 && yes == 1;
}

static enum gqa_status describe_number(struct gqa_h5_file *file,
                                       struct gqa_h5_object *object,
                                       hid_t dataset, hid_t type,
                                       H5T_class_t class)
{
    struct gqa_h5_dataset *d = &object->dataset;
    const H5T_order_t order = H5Tget_order(type);
    const bool known = class == H5T_FLOAT ? find_float(type, &d->dtype)
                                          : find_integer(type, &d->dtype);

    if (!known || (order != H5T_ORDER_LE && order != H5T_ORDER_BE &&
                   H5Tget_size(type) > 1))
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "%s: numbers of %zu bytes in a format that is not "
                        "supported",
                        d->path, H5Tget_size(type));
    d->big_endian = order == H5T_ORDER_BE && H5Tget_size(type) > 1;
    if ((d->dtype == GQA_U16 || d->dtype == GQA_I16) &&
        (gqa_h5_attribute_is_true(dataset, "is_bfloat16") ||
         gqa_h5_attribute_is(file, dataset, "dtype", "bfloat16")))
        d->dtype = GQA_BF16;
    return GQA_OK;
}

/* HDF5 has had no bfloat16: Keras and others write two opaque bytes. */
static enum gqa_status describe_opaque(struct gqa_h5_file *file,
                                       struct gqa_h5_object *object,
                                       hid_t dataset, hid_t type)
{
    struct gqa_h5_dataset *d = &object->dataset;

    if (H5Tget_size(type) != 2)
        return gqa_fail(GQA_ERR_UNSUPPORTED, "%s: opaque elements of %zu bytes",
                        d->path, H5Tget_size(type));
    d->dtype = GQA_BF16;
    if (H5Aexists(dataset, "dtype") > 0) {
        if (!gqa_h5_attribute_is(file, dataset, "dtype", "bfloat16"))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "%s: opaque elements whose attribute dtype is "
                            "not bfloat16",
                            d->path);
    } else {
        object->kind = GQA_H5_BARE_OPAQUE;
    }
    return GQA_OK;
}

enum gqa_status gqa_h5_describe_type(struct gqa_h5_file *file,
                                     struct gqa_h5_object *object,
                                     hid_t dataset, hid_t type)
{
    const H5T_class_t class = H5Tget_class(type);

    switch (class) {
    case H5T_FLOAT:
    case H5T_INTEGER:
        return describe_number(file, object, dataset, type, class);
    case H5T_ENUM:
        if (!is_truth_value(type))
            return gqa_h5_is_other(object, "an enumeration");
        object->dataset.dtype = GQA_BOOL;
        return GQA_OK;
    case H5T_OPAQUE:
        return describe_opaque(file, object, dataset, type);
    case H5T_STRING:
        return gqa_h5_is_other(object, "text");
    case H5T_COMPOUND:
        return gqa_h5_is_other(object, "compound values");
    case H5T_REFERENCE:
        return gqa_h5_is_other(object, "references");
    case H5T_VLEN:
        return gqa_h5_is_other(object, "lists of varying length");
    case H5T_NO_CLASS:
        return gqa_h5_damaged(object->dataset.path, "the element type");
    default:
        return gqa_h5_is_other(object,
                               "values of a type that weights do not have");
    }
}
