/* Judges the file of the private key and its passphrase: whether the key can be read, belongs to the
 * certificate, and is closed to others.
 *
 * If the passphrase is missing or wrong, looks for files beside the key that may have it, such as
 * server.key.passphrase of a Kubernetes Secret, and says which of them opens the key. Reports no secret. */
#ifndef HUSK_CHECK_PRIVATE_KEY_FILE_H
#define HUSK_CHECK_PRIVATE_KEY_FILE_H

#include "check/report.h"
#include "trust/credentials_files.h"
#include "trust/inspection.h"

void private_key_file_check(struct report *report, const struct credentials_files *files,
                            const struct inspection *inspection);

#endif
