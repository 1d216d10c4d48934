#include "trust/svid.h"

#include "trust/certificate_file.h"
#include "trust/library_error.h"

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/x509.h>
#include <string.h>

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool svid_source_equal(const struct svid_source *a, const struct svid_source *b)
{
    return is_same(a->socket, b->socket) && is_same(a->spiffe_id, b->spiffe_id) && is_same(a->hint, b->hint);
}

void svid_deinit(struct svid *svid)
{
    sk_X509_pop_free(svid->chain, X509_free);
    EVP_PKEY_free(svid->key);
    svid_bundles_free(svid->bundles);
    sk_X509_pop_free(svid->cas, X509_free);
    revocation_free(svid->revocation);
    *svid = (struct svid) { 0 };
}

#ifdef HUSK_SPIFFE

#include <workload.pb-c.h>

/* What the parts of a message may take in memory: this times its length, and what one part needs. An empty
 * part has two bytes in the message, and takes many more. */
enum { PARTS_FACTOR = 4, PART_BYTES = 4096 };

bool svid_is_built_in(void)
{
    return true;
}

/* ---- the message ---- */

static void *on_allocate(void *owner, size_t bytes)
{
    size_t *left = owner;

    if (bytes > *left)
        return NULL;
    *left -= bytes;
    return OPENSSL_malloc(bytes);
}

/* OPENSSL_free wipes the memory. */
static void on_free(void *owner, void *memory)
{
    (void)owner;
    OPENSSL_free(memory);
}

static bool fits(const Husk__Svid *entry, const struct svid_source *source)
{
    return (!source->spiffe_id || strcmp(source->spiffe_id, entry->spiffe_id) == 0) &&
           (!source->hint || strcmp(source->hint, entry->hint) == 0);
}

/* The index of the first SVID that fits; n_svids: none. */
static size_t svid_find(const Husk__SvidResponse *response, const struct svid_source *source)
{
    size_t i = 0;

    while (i < response->n_svids && !fits(response->svids[i], source))
        i++;
    return i;
}

static const Husk__Svid *svid_choose(const Husk__SvidResponse *response, const struct svid_source *source,
                                     struct fault *fault)
{
    size_t found = svid_find(response, source);

    if (found < response->n_svids)
        return response->svids[found];
    if (!response->n_svids)
        fault_set(fault, "the answer has no X.509-SVID");
    else
        fault_set(fault,
                  "none of the %zu X.509-SVIDs of the answer has %s%.200s%s%s%.100s; the first one is %.200s",
                  response->n_svids, source->spiffe_id ? "the SPIFFE ID " : "",
                  source->spiffe_id ? source->spiffe_id : "",
                  source->spiffe_id && source->hint ? " and " : "", source->hint ? "the hint " : "",
                  source->hint ? source->hint : "", response->svids[0]->spiffe_id);
    return NULL;
}

/* ---- our own SVID ---- */

/* PKCS#8, not encrypted, and nothing behind it. */
static EVP_PKEY *key_decode(const ProtobufCBinaryData *der, struct fault *fault)
{
    EVP_PKEY *key;
    CBS bytes;

    ERR_clear_error();
    CBS_init(&bytes, der->data, der->len);
    key = EVP_parse_private_key(&bytes);
    if (key && !CBS_len(&bytes))
        return key;
    EVP_PKEY_free(key);
    fault_set(fault, "the private key of the X.509-SVID cannot be read: %s", library_error_take());
    return NULL;
}

static bool key_check(const struct svid *svid, struct fault *fault)
{
    bool is_match = X509_check_private_key(sk_X509_value(svid->chain, 0), svid->key) == 1;

    ERR_clear_error();
    if (!is_match)
        fault_set(fault, "the private key of X.509-SVID %.200s does not match its certificate", svid->id);
    return is_match;
}

static bool own_read(struct svid *svid, const Husk__Svid *entry, char domain[SPIFFE_DOMAIN_BYTES],
                     struct fault *fault)
{
    svid->chain = svid_bundles_decode(entry->x509_svid.data, entry->x509_svid.len, fault);
    if (!svid->chain || !svid_bundles_read_leaf(sk_X509_value(svid->chain, 0), svid->id, domain, fault)) {
        fault_wrap(fault, "X.509-SVID %.200s", entry->spiffe_id);
        return false;
    }
    if (strcmp(svid->id, entry->spiffe_id) != 0) {
        fault_set(fault, "the certificate of X.509-SVID %.200s is for %.200s", entry->spiffe_id, svid->id);
        return false;
    }
    return (svid->key = key_decode(&entry->x509_svid_key, fault)) && key_check(svid, fault);
}

/* ---- bundles and lists ---- */

static bool bundle_add(struct svid *svid, const char *domain, const ProtobufCBinaryData *der,
                       struct fault *fault)
{
    if (svid_bundles_add(svid->bundles, domain, der->data, der->len, fault))
        return true;
    fault_wrap(fault, "the bundle of trust domain %s", domain);
    return false;
}

/* A federated bundle without CAs makes no peer trusted. */
static bool federated_add(struct svid *svid, const Husk__FederatedBundle *entry, struct fault *fault)
{
    char domain[SPIFFE_DOMAIN_BYTES];

    if (!spiffe_id_read_domain(entry->trust_domain, domain)) {
        fault_set(fault, "\"%.200s\", the name of a federated bundle, is not the SPIFFE ID of a trust domain",
                  entry->trust_domain);
        return false;
    }
    return !entry->bundle.len || bundle_add(svid, domain, &entry->bundle, fault);
}

static bool bundles_read(struct svid *svid, const Husk__SvidResponse *response, const Husk__Svid *own,
                         const char *own_domain, struct fault *fault)
{
    char domain[SPIFFE_DOMAIN_BYTES];

    if (!(svid->bundles = svid_bundles_new())) {
        fault_set(fault, "out of memory");
        return false;
    }
    if (!bundle_add(svid, own_domain, &own->bundle, fault))
        return false;
    for (size_t i = 0; i < response->n_svids; i++) {
        const Husk__Svid *entry = response->svids[i];
        if (spiffe_id_read(entry->spiffe_id, domain) && !bundle_add(svid, domain, &entry->bundle, fault))
            return false;
    }
    for (size_t i = 0; i < response->n_federated_bundles; i++) {
        if (!federated_add(svid, response->federated_bundles[i], fault))
            return false;
    }
    if (!(svid->cas = svid_bundles_all(svid->bundles)))
        fault_set(fault, "out of memory");
    return svid->cas;
}

static bool lists_read(struct svid *svid, const Husk__SvidResponse *response,
                       const struct svid_source *source, const struct revocation_options *lists,
                       struct fault *fault)
{
    svid->revocation = revocation_new(lists->strength, fault);
    for (size_t i = 0; svid->revocation && i < response->n_crl; i++) {
        const ProtobufCBinaryData *crl = &response->crl[i];
        if (!revocation_add_der(svid->revocation, source->socket, crl->data, crl->len, fault))
            return false;
    }
    for (size_t i = 0; svid->revocation && i < lists->count; i++) {
        if (!revocation_add(svid->revocation, (int)i, lists->paths[i], fault))
            return false;
    }
    return svid->revocation && revocation_settle(svid->revocation, svid->cas, fault);
}

static bool response_read(struct svid *svid, const Husk__SvidResponse *response,
                          const struct svid_source *source, struct fault *fault)
{
    const Husk__Svid *own = svid_choose(response, source, fault);
    char domain[SPIFFE_DOMAIN_BYTES];

    return own && own_read(svid, own, domain, fault) && bundles_read(svid, response, own, domain, fault);
}

/* A message without SVIDs, or with one that has no SPIFFE ID, is a mistake of the server, which takes nothing
 * back. */
static bool names_svids(const Husk__SvidResponse *response)
{
    char domain[SPIFFE_DOMAIN_BYTES];
    bool has_names = response->n_svids;

    for (size_t i = 0; i < response->n_svids && has_names; i++)
        has_names = spiffe_id_read(response->svids[i]->spiffe_id, domain);
    return has_names;
}

bool svid_is_redacted(const struct svid_message *message, const struct svid_source *source)
{
    size_t left = PARTS_FACTOR * message->length + PART_BYTES;
    ProtobufCAllocator memory = { .alloc = on_allocate, .free = on_free, .allocator_data = &left };
    Husk__SvidResponse *response = husk__svid_response__unpack(&memory, message->length, message->bytes);
    bool is_redacted = response && names_svids(response) && svid_find(response, source) == response->n_svids;

    husk__svid_response__free_unpacked(response, &memory);
    return is_redacted;
}

bool svid_read(struct svid *svid, const struct svid_message *message, const struct svid_source *source,
               const struct revocation_options *lists, struct fault *fault)
{
    size_t left = PARTS_FACTOR * message->length + PART_BYTES;
    ProtobufCAllocator memory = { .alloc = on_allocate, .free = on_free, .allocator_data = &left };
    Husk__SvidResponse *response = husk__svid_response__unpack(&memory, message->length, message->bytes);
    bool is_read = false;

    if (!response) {
        fault_set(fault, "%s: the answer is not an X509SVIDResponse of the SPIFFE Workload API",
                  source->socket);
        return false;
    }
    if (!response_read(svid, response, source, fault))
        fault_wrap(fault, "%s", source->socket);
    else
        is_read = certificate_file_check_chain(svid->chain, source->socket, fault) &&
                  lists_read(svid, response, source, lists, fault);
    husk__svid_response__free_unpacked(response, &memory);
    return is_read;
}

#else

bool svid_is_built_in(void)
{
    return false;
}

bool svid_is_redacted(const struct svid_message *message, const struct svid_source *source)
{
    (void)message, (void)source;
    return false;
}

bool svid_read(struct svid *svid, const struct svid_message *message, const struct svid_source *source,
               const struct revocation_options *lists, struct fault *fault)
{
    (void)svid, (void)message, (void)lists;
    fault_set(fault, "%s: husk is built without the SPIFFE Workload API", source->socket);
    return false;
}

#endif

bool svid_inspect(struct certificate_facts *leaf, const struct svid_message *message,
                  const struct svid_source *source, const struct revocation_options *lists,
                  struct fault *fault)
{
    struct svid svid = { 0 };
    bool is_read = svid_read(&svid, message, source, lists, fault);

    if (is_read)
        certificate_facts_of(sk_X509_value(svid.chain, 0), leaf);
    svid_deinit(&svid);
    return is_read;
}
