/* Rows of the options by which all tools are told what a model is. */
#ifndef GQA_FORMATS_MODEL_OPTION_ROWS_H
#define GQA_FORMATS_MODEL_OPTION_ROWS_H

#include "common/advice.h"
#include "common/options.h"

/* at: offset of a const char * in the tool's options. */
#define GQA_FAMILY_ROW(at)                                          \
    {                                                               \
        .name = "family", .kind = GQA_OPTION_FILE, .value = "FILE", \
        .offset = (at),                                             \
        .help = "description of a family that is not built "        \
                "in"                                                \
    }

/* at: offset of a uint64_t. most: more heads, or larger, than any model's. */
#define GQA_HEADS_ROW(row, at, most, text)                                     \
    {                                                                          \
        .name = (row), .kind = GQA_OPTION_COUNT, .value = "N", .offset = (at), \
        .min = 1, .max = (most), .help = (text)                                \
    }

/* Beside these a tool has --config; what they can do about failures. */
#define GQA_MODEL_ADVICES                                       \
    [GQA_ADVICE_CONFIG] = "; give it with --config",            \
    [GQA_ADVICE_THIS_CONFIG] = " (and this one with --config)", \
    [GQA_ADVICE_FAMILY] = "; --family FILE describes another",  \
    [GQA_ADVICE_HEADS] = "; give --n-heads N or --config FILE"

#endif
