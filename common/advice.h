/*
 * What a tool can do about a failure. The libraries that find one do not know
 * how a tool's options are called: they say what would help, and the tool,
 * which has the option, lends the words.
 */
#ifndef GQA_COMMON_ADVICE_H
#define GQA_COMMON_ADVICE_H

enum gqa_advice {
    GQA_ADVICE_REPLACE,     /* what exists may be replaced */
    GQA_ADVICE_CONFIG,      /* a configuration is needed */
    GQA_ADVICE_THIS_CONFIG, /* a configuration was given in place of weights */
    GQA_ADVICE_FAMILY,      /* a family is not known */
    GQA_ADVICE_HEADS,       /* the number of heads is not known */
    GQA_ADVICE_CPU,         /* the memory of a device is short */
    GQA_ADVICE_ONE_THREAD,  /* threads take more memory than there is */
    GQA_N_ADVICES,
};

/*
 * Each ends a message, "; --force would replace it", and is NULL where the
 * tool has nothing that helps. words: [GQA_N_ADVICES], lent for good; NULL:
 * nothing at all does. Before other threads are started.
 */
void gqa_advice_use(const char *const words[]);

/* The words, or "". */
const char *gqa_advice(enum gqa_advice which);

#endif
