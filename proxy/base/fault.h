/* One setup failure, told in words.
 *
 * Owns nothing but its text. A fault is filled where the failure is found, wrapped on the way up by whoever
 * knows more, and logged once, by the caller that gives up. Runtime ends of connections are not faults: they
 * are `enum end_reason`. */
#ifndef HUSK_BASE_FAULT_H
#define HUSK_BASE_FAULT_H

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, va) __attribute__((format(printf, fmt, va)))

enum { FAULT_TEXT_BYTES = 512 };

struct fault {
    char text[FAULT_TEXT_BYTES]; /* always terminated; longer texts are cut */
};

/* Replaces the text. */
void fault_set(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts "…: " in front of the text. */
void fault_wrap(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
