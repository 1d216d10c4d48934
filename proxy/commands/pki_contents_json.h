/* Prints as JSON what files and servers hold: an array with an object for each source. */
#ifndef HUSK_COMMANDS_PKI_CONTENTS_JSON_H
#define HUSK_COMMANDS_PKI_CONTENTS_JSON_H

#include "pki/contents.h"

#include <stdint.h>
#include <stdio.h>

struct pki_contents_json;

/* NULL when out of memory. */
struct pki_contents_json *pki_contents_json_begin(void);
/* `now`: seconds since the epoch. */
void pki_contents_json_put(struct pki_contents_json *json, const char *source,
                           const struct contents *contents, int64_t now);
/* Prints the array, and frees. */
void pki_contents_json_end(struct pki_contents_json *json, FILE *out);

#endif
