#include <stdbool.h>
#include <string.h>

#include "formats/tensor.h"

/* Those of ASCII, and U+0080 to U+009F, which terminals obey too. */
static bool is_control(const unsigned char *at)
{
    return at[0] < 0x20 || at[0] == 0x7f ||
           (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0);
}

enum gqa_status gqa_tensor_name_check(const char *name)
{
    const size_t length = strlen(name);

    if (length > GQA_MAX_NAME)
        return gqa_fail(GQA_ERR_UNSUPPORTED,
                        "a tensor name of %zu bytes (\"%.60s...\"); at most "
                        "%d are allowed",
                        length, name, GQA_MAX_NAME);
    for (size_t i = 0; i < length; i++)
        if (is_control((const unsigned char *)name + i))
            return gqa_fail(GQA_ERR_UNSUPPORTED,
                            "the tensor name \"%s\" holds a control "
                            "character (byte %zu)",
                            name, i);
    return GQA_OK;
}
