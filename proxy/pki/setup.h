/* Begins a PKI: the CA, and with it one server and one client certificate. */
#ifndef HUSK_PKI_SETUP_H
#define HUSK_PKI_SETUP_H

#include "base/fault.h"
#include "pki/key_store.h"

#include <stdbool.h>
#include <stddef.h>

/* All pointers are borrowed. */
struct setup_options {
    const char *directory;           /* made if missing (0700) */
    const struct profile *profile;   /* NULL: modern */
    const char *subject;             /* of the CA: see subject_name_parse; NULL: as the profile says */
    const char *const *server_names; /* of the certificate "server" */
    size_t server_name_count;
    const char *client_name; /* of the certificate "client"; NULL: only the CA is made */
    unsigned leaf_days;      /* validity of server and client; 0: as the profile says */
    struct key_protection ca_protection, leaf_protection;
    void (*on_file)(const char *path); /* told of each file; NULL: nobody is told */
};

/* Makes the files that are missing. Overwrites none. Fails if none is missing. */
MUST_CHECK bool setup_make(const struct setup_options *options, struct fault *fault);

/* Checks the names without writing anything. */
MUST_CHECK bool setup_check(const struct setup_options *options, struct fault *fault);

#endif
