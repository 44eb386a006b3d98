/* Finding the checkpoint in a folder, and names of files in it. */
#ifndef GQA_FORMATS_FOLDER_FOLDER_H
#define GQA_FORMATS_FOLDER_FOLDER_H

#include <stdbool.h>

#include "common/status.h"

/* "folder/name"; NULL when out of memory. The caller frees it. */
char *gqa_path_join(const char *folder, const char *name);

/* The folder that a file lies in: "." when path has none. As above. */
char *gqa_path_folder(const char *path);

/*
 * The file to open for a folder: an index, or one file of weights, by the
 * names that their writers use. *path is the caller's to free. say: warn of
 * what is there too, and is not read.
 *
 * Errors GQA_ERR_FORMAT: nothing there, or several and none of a usual name;
 *        the message says what was looked for. GQA_ERR_UNSUPPORTED: only
 *        weights that we do not read. GQA_ERR_IO, GQA_ERR_NOMEM.
 */
GQA_MUST_USE
enum gqa_status gqa_folder_find(char **path, const char *folder, bool say);

/*
 * *alone: whether the file of that name is all there is of weights in the
 * folder, so that what else lies there is its own. Errors GQA_ERR_IO.
 */
GQA_MUST_USE
enum gqa_status gqa_folder_is_of(bool *alone, const char *folder,
                                 const char *name);

#endif
