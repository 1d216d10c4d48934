#include "pki/setup.h"

#include "pki/certificate_maker.h"
#include "pki/issuing.h"
#include "pki/openssl_config.h"
#include "pki/subject_name.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static const struct profile *profile_of(const struct setup_options *options)
{
    return options->profile ? options->profile : &profile_modern;
}

static struct issuing_order server_order(const struct setup_options *options)
{
    return (struct issuing_order) { .use = PROFILE_SERVER,
                                    .file_name = "server",
                                    .names = options->server_names,
                                    .name_count = options->server_name_count,
                                    .days = options->leaf_days,
                                    .protection = options->leaf_protection };
}

static struct issuing_order client_order(const struct setup_options *options)
{
    return (struct issuing_order) { .use = PROFILE_CLIENT,
                                    .file_name = "client",
                                    .names = &options->client_name,
                                    .name_count = 1,
                                    .days = options->leaf_days,
                                    .protection = options->leaf_protection };
}

bool setup_check(const struct setup_options *options, struct fault *fault)
{
    const struct issuing_order server = server_order(options), client = client_order(options);

    if (options->subject) {
        X509_NAME *subject = subject_name_parse(options->subject, NULL, fault);
        X509_NAME_free(subject);
        if (!subject)
            return false;
    }
    return !options->client_name || (issuing_check(profile_of(options), &server, fault) &&
                                     issuing_check(profile_of(options), &client, fault));
}

/* ---- the files of openssl ca ---- */

static bool text_create(const struct store *store, enum profile_file file, const char *text,
                        struct fault *fault)
{
    if (!store->profile->files[file] || store_has(store, file, NULL))
        return true;
    BIO *content = BIO_new_mem_buf(text, -1);
    bool is_written = content && store_create_file(store, file, NULL, content, fault);
    BIO_free(content);
    return is_written;
}

static bool journal_begin(const struct store *store, struct fault *fault)
{
    const struct store silent = { .profile = store->profile, .directory = store->directory };

    return text_create(&silent, PROFILE_INDEX, "", fault) &&
           text_create(&silent, PROFILE_SERIAL, "1000\n", fault) &&
           text_create(&silent, PROFILE_OPENSSL_CONFIG, openssl_config, fault);
}

/* ---- CAs ---- */

/* The subject of the CA: below the root, or as the options say. */
static X509_NAME *ca_subject(const struct setup_options *options, enum profile_use use,
                             const struct signer *root, struct fault *fault)
{
    const struct profile *profile = profile_of(options);

    if (use == PROFILE_INTERMEDIATE)
        return subject_name_below(X509_get_subject_name(root->certificate), profile->cn[use], fault);
    return subject_name_parse(options->subject ? options->subject : profile->subject, profile->cn[use],
                              fault);
}

static bool ca_save(const struct store *store, enum profile_use use, X509 *certificate, struct fault *fault)
{
    BIO *content = BIO_new(BIO_s_mem());
    bool is_saved = content && PEM_write_bio_X509(content, certificate) &&
                    store_create_file(store, profile_ca_cert(use), NULL, content, fault);

    BIO_free(content);
    return is_saved;
}

/* `root`: the issuer of an intermediate; NULL for the root itself. */
static bool ca_make(const struct store *store, const struct setup_options *options, enum profile_use use,
                    const struct signer *root, struct fault *fault)
{
    struct certificate_order order = { .profile = store->profile, .use = use };
    ASN1_INTEGER *serial = certificate_maker_random_serial();
    X509 *certificate = NULL;
    EVP_PKEY *key = key_store_obtain(store, profile_ca_key(use), NULL, &options->ca_protection, fault);

    order.serial = serial;
    order.public_key = key;
    if (key && serial && (order.subject = ca_subject(options, use, root, fault)))
        certificate =
            certificate_maker_make(&order, root ? root->certificate : NULL, root ? root->key : key, fault);
    bool is_saved = certificate && ca_save(store, use, certificate, fault);
    X509_free(certificate);
    X509_NAME_free(order.subject);
    EVP_PKEY_free(key);
    ASN1_INTEGER_free(serial);
    return is_saved;
}

static bool intermediate_make(const struct store *store, const struct setup_options *options,
                              struct fault *fault)
{
    struct signer root;
    bool is_made = signer_init(&root, store, PROFILE_ROOT, &options->ca_protection.source, fault) &&
                   ca_make(store, options, PROFILE_INTERMEDIATE, &root, fault);

    signer_deinit(&root);
    return is_made;
}

static bool cas_make(const struct store *store, const struct setup_options *options, struct fault *fault)
{
    if (!store_has(store, PROFILE_ROOT_CERT, NULL) && !ca_make(store, options, PROFILE_ROOT, NULL, fault))
        return false;
    return !store->profile->files[PROFILE_INTERMEDIATE_CERT] ||
           store_has(store, PROFILE_INTERMEDIATE_CERT, NULL) || intermediate_make(store, options, fault);
}

/* ---- all ---- */

static bool leaves_make(struct store *store, const struct setup_options *options, struct fault *fault)
{
    const struct issuing_order orders[] = { server_order(options), client_order(options) };
    struct signer signer;
    bool is_made = signer_init(&signer, store, profile_issuing_ca(store->profile),
                               &options->ca_protection.source, fault);

    for (size_t i = 0; is_made && i < 2; i++)
        is_made = store_has(store, PROFILE_CERT, orders[i].file_name) ||
                  issuing_run(store, &signer, &orders[i], fault);
    signer_deinit(&signer);
    return is_made;
}

static bool is_complete(const struct store *store, const struct setup_options *options)
{
    return store_has(store, PROFILE_ROOT_CERT, NULL) &&
           store_has(store, profile_ca_cert(profile_issuing_ca(store->profile)), NULL) &&
           (!options->client_name ||
            (store_has(store, PROFILE_CERT, "server") && store_has(store, PROFILE_CERT, "client")));
}

bool setup_make(const struct setup_options *options, struct fault *fault)
{
    struct store store;
    bool is_made = false;

    if (!setup_check(options, fault))
        return false;
    if (!store_create(&store, options->directory, profile_of(options), fault))
        goto done;
    store.on_file = options->on_file;
    if (is_complete(&store, options))
        fault_set(fault,
                  "%s: has a PKI already: \"husk pki issue\" makes more certificates, and \"husk pki renew\" "
                  "new ones",
                  options->directory);
    else
        is_made = journal_begin(&store, fault) && cas_make(&store, options, fault) &&
                  (!options->client_name || leaves_make(&store, options, fault));
done:
    store_close(&store);
    return is_made;
}
