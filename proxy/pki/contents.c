#include "pki/contents.h"

#include "base/utf8.h"
#include "pki/alternative_names.h"
#include "pki/journal.h"
#include "trust/library_error.h"
#include "trust/pem_block.h"
#include "trust/pem_file.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct contents_item *item_new(struct contents *contents, enum contents_kind kind, size_t line)
{
    struct contents_item *items = realloc(contents->items, (contents->count + 1) * sizeof *items);

    if (!items)
        return NULL;
    contents->items = items;
    items[contents->count] = (struct contents_item) { .kind = kind, .line = line };
    return &items[contents->count++];
}

static void hash_set(char text[CONTENTS_WORD_BYTES], const uint8_t *bytes, size_t length)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];

    SHA256(bytes, length, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

static void key_set(struct contents_item *item, EVP_PKEY *key)
{
    uint8_t *der = NULL;
    int length = key ? i2d_PUBKEY(key, &der) : -1;

    if (length > 0) {
        key_maker_describe(key, item->key);
        hash_set(item->spki, der, (size_t)length);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

static void signature_set(struct contents_item *item, int nid)
{
    const char *name = OBJ_nid2sn(nid);

    snprintf(item->signature, sizeof item->signature, "%s", nid == NID_undef || !name ? "unknown" : name);
}

/* ---- the kinds ---- */

static bool certificate_add(struct contents *contents, X509 *certificate, size_t line)
{
    struct contents_item *item = item_new(contents, CONTENTS_CERTIFICATE, line);
    uint8_t *der = NULL;

    if (!item)
        return false;
    certificate_facts_of(certificate, &item->facts);
    GENERAL_NAMES *names = alternative_names_of(certificate);
    alternative_names_describe(names, item->names, sizeof item->names);
    GENERAL_NAMES_free(names);
    key_set(item, X509_get_pubkey(certificate));
    signature_set(item, X509_get_signature_nid(certificate));
    if (!journal_serial_of(certificate, item->serial))
        snprintf(item->serial, sizeof item->serial, "longer than %d digits", JOURNAL_SERIAL_BYTES - 1);
    int length = i2d_X509(certificate, &der);
    if (length > 0)
        hash_set(item->sha256, der, (size_t)length);
    OPENSSL_free(der);
    ERR_clear_error();
    return true;
}

static void request_fill(struct contents_item *item, X509_REQ *request)
{
    GENERAL_NAMES *names = alternative_names_of_request(request);

    certificate_describe_other(X509_REQ_get_subject_name(request), item->facts.name);
    alternative_names_describe(names, item->names, sizeof item->names);
    GENERAL_NAMES_free(names);
    key_set(item, X509_REQ_get_pubkey(request));
    signature_set(item, X509_REQ_get_signature_nid(request));
}

static void crl_number_set(struct contents_item *item, const X509_CRL *crl)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    BIGNUM *value = number ? ASN1_INTEGER_to_BN(number, NULL) : NULL;
    char *text = value ? BN_bn2dec(value) : NULL;

    snprintf(item->serial, sizeof item->serial, "%s", text ? text : "");
    OPENSSL_free(text);
    BN_free(value);
    ASN1_INTEGER_free(number);
}

static void crl_fill(struct contents_item *item, X509_CRL *crl)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);

    certificate_describe_other(X509_CRL_get_issuer(crl), item->facts.issuer);
    item->this_update = certificate_seconds_of(X509_CRL_get0_lastUpdate(crl), 0);
    item->next_update = next ? certificate_seconds_of(next, 0) : 0;
    item->revoked = entries ? sk_X509_REVOKED_num(entries) : 0;
    crl_number_set(item, crl);
    signature_set(item, X509_CRL_get_signature_nid(crl));
}

/* ---- PEM blocks: each function returns whether the block is readable ---- */

static bool is_request(const struct pem_block *block)
{
    static const char word[] = "CERTIFICATE REQUEST";
    size_t length = sizeof word - 1;

    return block->label_length >= length &&
           memcmp(block->label + block->label_length - length, word, length) == 0;
}

static int on_passphrase(char *to, int size, int is_writing, void *user_data)
{
    (void)to, (void)size, (void)is_writing, (void)user_data;
    return -1;
}

static bool key_block_add(struct contents_item *item, const struct pem_block *block, BIO *reader)
{
    item->is_encrypted = memmem(block->label, block->label_length, "ENCRYPTED", 9) ||
                         memmem(block->text, block->length, "4,ENCRYPTED", 11);
    if (item->is_encrypted)
        return true;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(reader, NULL, on_passphrase, NULL);
    bool is_read = key != NULL;
    key_set(item, key);
    return is_read;
}

static bool request_block_add(struct contents_item *item, BIO *reader)
{
    X509_REQ *request = PEM_read_bio_X509_REQ(reader, NULL, NULL, NULL);

    if (request)
        request_fill(item, request);
    X509_REQ_free(request);
    return request;
}

static bool crl_block_add(struct contents_item *item, BIO *reader)
{
    X509_CRL *crl = PEM_read_bio_X509_CRL(reader, NULL, NULL, NULL);

    if (crl)
        crl_fill(item, crl);
    X509_CRL_free(crl);
    return crl;
}

static bool certificate_block_add(struct contents *contents, const struct pem_block *block, BIO *reader)
{
    X509 *certificate = block->kind == PEM_CERTIFICATE ? PEM_read_bio_X509(reader, NULL, NULL, NULL)
                                                       : PEM_read_bio_X509_AUX(reader, NULL, NULL, NULL);
    bool is_added = certificate && certificate_add(contents, certificate, block->line);

    X509_free(certificate);
    return is_added;
}

static bool block_add(struct contents *contents, const struct pem_block *block, BIO *reader)
{
    struct contents_item *item;

    if (block->kind == PEM_CERTIFICATE || block->kind == PEM_TRUSTED_CERTIFICATE)
        return certificate_block_add(contents, block, reader);
    enum contents_kind kind = block->kind == PEM_PRIVATE_KEY ? CONTENTS_KEY
                              : block->kind == PEM_CRL       ? CONTENTS_CRL
                              : is_request(block)            ? CONTENTS_REQUEST
                                                             : CONTENTS_OTHER;
    if (!(item = item_new(contents, kind, block->line)))
        return false;
    if (kind == CONTENTS_KEY)
        return key_block_add(item, block, reader);
    if (kind == CONTENTS_CRL)
        return crl_block_add(item, reader);
    if (kind == CONTENTS_REQUEST)
        return request_block_add(item, reader);
    snprintf(item->label, sizeof item->label, "%.*s", (int)block->label_length, block->label);
    return true;
}

static bool blocks_add(struct contents *contents, struct pem_file *file, struct fault *fault)
{
    struct pem_scan scan;
    struct pem_block block;
    enum pem_found found;

    pem_scan_start(&scan, file);
    while ((found = pem_scan_next(&scan, &block, fault)) == PEM_FOUND_BLOCK) {
        BIO *reader = pem_block_reader(&block);
        ERR_clear_error();
        bool is_added = reader && block_add(contents, &block, reader);
        BIO_free(reader);
        if (!is_added) {
            fault_set(fault, "%s: line %zu: the block \"%.*s\" cannot be read: %s", file->path, block.line,
                      (int)(block.label_length < 64 ? block.label_length : 64), block.label,
                      library_error_take());
            return false;
        }
    }
    return found == PEM_FOUND_END;
}

/* ---- DER ---- */

static bool der_add(struct contents *contents, const struct pem_file *file)
{
    const uint8_t *at = (const uint8_t *)file->bytes;
    X509 *certificate = d2i_X509(NULL, &at, (long)file->length);
    struct contents_item *item;

    if (certificate) {
        bool is_added = certificate_add(contents, certificate, 0);
        X509_free(certificate);
        return is_added;
    }
    at = (const uint8_t *)file->bytes;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)file->length);
    ERR_clear_error();
    if (crl && (item = item_new(contents, CONTENTS_CRL, 0)))
        crl_fill(item, crl);
    X509_CRL_free(crl);
    return contents->count;
}

static bool is_der(const struct pem_file *file)
{
    return file->length > 4 && file->bytes[0] == 0x30 && (unsigned char)file->bytes[1] >= 0x80;
}

/* Names come from anybody: a server that is inspected must not write to the terminal as it likes. */
static void texts_clean(struct contents *contents)
{
    for (size_t i = 0; i < contents->count; i++) {
        struct contents_item *item = &contents->items[i];
        utf8_clean(item->facts.name);
        utf8_clean(item->facts.issuer);
        utf8_clean(item->names);
        utf8_clean(item->label);
    }
}

bool contents_read(struct contents *contents, const char *path, struct fault *fault)
{
    struct pem_file file;
    bool is_read = pem_file_read(&file, path, fault);

    *contents = (struct contents) { .count = 0 };
    if (is_read)
        is_read = is_der(&file) ? der_add(contents, &file) : blocks_add(contents, &file, fault);
    if (is_read && !contents->count)
        is_read = false;
    if (!is_read && !fault->text[0])
        fault_set(fault,
                  "%s: holds nothing in PEM form, and is no certificate or revocation list in DER form",
                  path);
    pem_file_wipe(&file);
    texts_clean(contents);
    return is_read;
}

bool contents_of_chain(struct contents *contents, const STACK_OF(X509) * chain)
{
    *contents = (struct contents) { .count = 0 };
    for (size_t i = 0; i < sk_X509_num(chain); i++) {
        if (!certificate_add(contents, sk_X509_value(chain, i), 0))
            return false;
    }
    texts_clean(contents);
    return true;
}

void contents_deinit(struct contents *contents)
{
    free(contents->items);
    *contents = (struct contents) { .count = 0 };
}
