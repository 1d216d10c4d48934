/* What the kernel says about this process, as Prometheus text: the usual process_* families.
 *
 * Reads /proc; owns nothing. What /proc does not tell is left out. */
#ifndef HUSK_ADMIN_PROCESS_TEXT_H
#define HUSK_ADMIN_PROCESS_TEXT_H

#include <stddef.h>

enum { PROCESS_TEXT_BYTES = 2048 };

/* Writes the families into `text`, which has PROCESS_TEXT_BYTES or more, terminated. Returns their length. */
size_t process_text_render(char *text, size_t size);

#endif
