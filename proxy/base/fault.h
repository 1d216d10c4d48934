/* The description of one setup failure.
 *
 * The function that finds a failure fills the fault. Callers that know more wrap it. The caller that gives up
 * logs it once. The end of a connection at run time is not a fault but an `enum end_reason`. */
#ifndef HUSK_BASE_FAULT_H
#define HUSK_BASE_FAULT_H

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))

#include <stdbool.h>

enum { FAULT_TEXT_BYTES = 512 };

struct fault {
    char text[FAULT_TEXT_BYTES]; /* zero-terminated; longer texts are cut */
    bool is_final;               /* trying the same again cannot help, and may do harm */
};

/* Replaces the text; the fault is not final. */
void fault_set(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "…: " in front of the text. */
void fault_wrap(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
