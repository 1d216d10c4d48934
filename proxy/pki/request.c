#include "pki/request.h"

#include "trust/library_error.h"
#include "trust/pem_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static bool names_add(X509_REQ *request, const GENERAL_NAMES *names)
{
    STACK_OF(X509_EXTENSION) *extensions = NULL;

    if (!names)
        return true;
    bool is_added =
        X509V3_add1_i2d(&extensions, NID_subject_alt_name, (void *)names, 0, X509V3_ADD_DEFAULT) == 1 &&
        X509_REQ_add_extensions(request, extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return is_added;
}

X509_REQ *request_make(X509_NAME *subject, EVP_PKEY *key, const GENERAL_NAMES *names, struct fault *fault)
{
    X509_REQ *request = X509_REQ_new();

    ERR_clear_error();
    if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) &&
        X509_REQ_set_subject_name(request, subject) && X509_REQ_set_pubkey(request, key) &&
        names_add(request, names) && X509_REQ_sign(request, key, EVP_sha256()))
        return request;
    fault_set(fault, "cannot make the request: %s", library_error_take());
    X509_REQ_free(request);
    return NULL;
}

bool request_write(BIO *to, X509_REQ *request)
{
    return PEM_write_bio_X509_REQ(to, request);
}

X509_REQ *request_read(const char *path, struct fault *fault)
{
    struct pem_file file;

    if (!pem_file_read(&file, path, fault)) {
        fault_wrap(fault, "request");
        return NULL;
    }
    ERR_clear_error();
    BIO *reader = BIO_new_mem_buf(file.bytes, (int)file.length);
    X509_REQ *request = reader ? PEM_read_bio_X509_REQ(reader, NULL, NULL, NULL) : NULL;
    BIO_free(reader);
    pem_file_wipe(&file);
    if (!request) {
        fault_set(fault, "%s: is no certificate request in PEM form: %s", path, library_error_take());
        return NULL;
    }
    EVP_PKEY *key = X509_REQ_get_pubkey(request);
    bool is_signed = key && X509_REQ_verify(request, key) == 1;
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (is_signed)
        return request;
    fault_set(fault, "%s: the request is not signed with its own key: make it again", path);
    X509_REQ_free(request);
    return NULL;
}
