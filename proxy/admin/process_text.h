/* Writes the usual process_* metrics of this process as Prometheus text.
 *
 * Reads /proc; owns nothing. Leaves out what it cannot read. */
#ifndef HUSK_ADMIN_PROCESS_TEXT_H
#define HUSK_ADMIN_PROCESS_TEXT_H

#include <stddef.h>

enum { PROCESS_TEXT_BYTES = 2048 };

/* Writes the terminated text into `text`, which has at least PROCESS_TEXT_BYTES. Returns its length. */
size_t process_text_render(char *text, size_t size);

#endif
