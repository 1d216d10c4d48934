/* Asks for a secret at the terminal of the process. */
#ifndef HUSK_PKI_TERMINAL_H
#define HUSK_PKI_TERMINAL_H

#include "trust/passphrase.h"

#include <stdbool.h>

enum { TERMINAL_QUESTION_BYTES = 1200 };

/* Writes the question to the terminal and reads a line without showing it. False: there is no terminal, or
 * nothing was typed. A signal that ends the process meanwhile leaves the terminal as it was. */
bool terminal_ask(const char *question, struct passphrase *passphrase);

#endif
