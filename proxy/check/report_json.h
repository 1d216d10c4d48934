/* Writes a report as one JSON object (RFC 8259), for scripts:
 *
 *   {"verdict": "problem", "problems": 1, "warnings": 0, "incomplete": false,
 *    "findings": [{"section": …, "level": "problem", "subject": …, "setting": …, "line": 3, "column": 5,
 *                  "text": …, "advice": …}, …]}
 *
 * "verdict" is the highest level of the findings. A finding about no setting has no "setting"; "line" and
 * "column" are there if a file gives the setting. A finding without advice has no "advice". */
#ifndef HUSK_CHECK_REPORT_JSON_H
#define HUSK_CHECK_REPORT_JSON_H

#include "check/report.h"

/* Prints the object and a line end. False when out of memory: nothing is printed. */
MUST_CHECK bool report_json_print(const struct report *report, FILE *out);

#endif
