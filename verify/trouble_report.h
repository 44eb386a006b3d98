/* The report of a run that ended in trouble: an older one beside it would be
 * taken for its own. */
#ifndef GQA_VERIFY_TROUBLE_REPORT_H
#define GQA_VERIFY_TROUBLE_REPORT_H

#include "verify/report.h"

/*
 * The path of --report in a command line that could not be parsed to its
 * end; NULL: there is none.
 */
const char *gqa_trouble_report_path(int argc, char **argv);

/*
 * Write the report, which says what the trouble was, in the place of an older
 * one; where that cannot be done, remove that one. A file that may be read by
 * the run, which can be any that the command line names or a checkpoint
 * consists of, is left alone.
 */
void gqa_trouble_report_save(const char *path, const struct gqa_report *report,
                             int argc, char **argv);

#endif
