/* Configurations that say one thing more, or less. */
#ifndef GQA_TESTS_CHANGED_CONFIG_H
#define GQA_TESTS_CHANGED_CONFIG_H

/* The fixture's configuration with one key changed ("outer.inner"), or without
 * it where value is NULL; its path, lent as scratch_path() does. */
const char *changed_config(const char *fixture, const char *key,
                           const char *value);

#endif
