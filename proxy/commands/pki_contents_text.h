/* Prints for people what a file or a server holds. */
#ifndef HUSK_COMMANDS_PKI_CONTENTS_TEXT_H
#define HUSK_COMMANDS_PKI_CONTENTS_TEXT_H

#include "pki/contents.h"

#include <stdint.h>
#include <stdio.h>

/* `now`: seconds since the epoch. */
void pki_contents_text_print(const char *source, const struct contents *contents, int64_t now, FILE *out);

#endif
