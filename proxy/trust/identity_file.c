#include "trust/identity_file.h"

#include "trust/certificate_file.h"

#include <openssl/x509.h>

struct identity *identity_file_read(const char *path, struct fault *fault)
{
    STACK_OF(X509) *chain = NULL;
    struct identity *identity = NULL;
    struct pem_file file;

    if (certificate_file_read(&file, path, fault))
        chain = certificate_file_decode(&file, CERTIFICATE_FILE_CHAIN, fault);
    pem_file_wipe(&file);
    if (!chain)
        return NULL;
    identity = identity_from_certificate(sk_X509_value(chain, 0));
    sk_X509_pop_free(chain, X509_free);
    if (!identity)
        fault_set(fault, "out of memory");
    return identity;
}
