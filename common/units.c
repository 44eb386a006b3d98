#include "common/units.h"

#include <stdio.h>

const char *gqa_units_bytes(char *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    unsigned i = 0;

    if (bytes < 1024) {
        snprintf(out, GQA_UNITS_MAX, "%u B", (unsigned)bytes);
        return out;
    }
    /* 1023.95 would round to "1024.0". */
    while (value >= 1023.95) {
        value /= 1024;
        i++;
    }
    snprintf(out, GQA_UNITS_MAX, "%.1f %s", value, units[i]);
    return out;
}
