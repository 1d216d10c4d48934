#include "trust/revocation.h"

#include "trust/crl.h"
#include "trust/crl_files.h"
#include "trust/pem_block.h"

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct list {
    struct crl crl;
    struct revocation_facts facts;
    char *path; /* owned: what `facts` point to */
};

struct ca {
    const X509 *certificate; /* only while revocation_settle runs */
    char name[CERTIFICATE_NAME_BYTES];
};

struct revocation {
    enum strength_policy strength; /* demanded of lists */
    struct list **lists;           /* owned; after revocation_settle in the order of crl_compare */
    size_t count;
    struct ca *cas; /* owned */
    size_t ca_count;
    struct metrics_crl *updates; /* owned; point to the names in `lists` */
    size_t update_count;
};

/* Where a list is found. */
struct origin {
    const char *path;
    size_t line; /* 0: the file is DER */
    int source;
};

/* ---- loading ---- */

struct revocation *revocation_new(enum strength_policy strength, struct fault *fault)
{
    struct revocation *revocation = calloc(1, sizeof *revocation);

    if (revocation)
        revocation->strength = strength;
    else
        fault_set(fault, "out of memory");
    return revocation;
}

static void list_free(struct list *list)
{
    if (!list)
        return;
    crl_deinit(&list->crl);
    free(list->path);
    free(list);
}

void revocation_free(struct revocation *revocation)
{
    if (!revocation)
        return;
    for (size_t i = 0; i < revocation->count; i++)
        list_free(revocation->lists[i]);
    free(revocation->lists);
    free(revocation->cas);
    free(revocation->updates);
    free(revocation);
}

static void fault_place(struct fault *fault, const struct origin *origin, const char *text)
{
    if (origin->line)
        fault_wrap(fault, "%s: line %zu: %s", origin->path, origin->line, text);
    else
        fault_wrap(fault, "%s: %s", origin->path, text);
}

/* Whoever can forge a list can make a revoked certificate valid again. */
static bool strength_check_list(const struct revocation *revocation, const struct list *list,
                                struct fault *fault)
{
    char flaw[STRENGTH_FLAW_BYTES];

    if (revocation->strength == STRENGTH_NOT_DEMANDED || signed_der_check_strength(&list->crl.document, flaw))
        return true;
    fault_set(fault,
              "the list %s, which is weak: ask the CA for a list that is signed with SHA-256, or set "
              "--allow-weak-certificates",
              flaw);
    return false;
}

/* Adds the list at the front of `der`. */
static bool list_add(struct revocation *revocation, const struct origin *origin, CBS *der,
                     struct fault *fault)
{
    struct list **lists = realloc(revocation->lists, (revocation->count + 1) * sizeof(struct list *));
    struct list *list = lists ? calloc(1, sizeof *list) : NULL;

    if (lists)
        revocation->lists = lists;
    if (!list || !(list->path = strdup(origin->path)))
        fault_set(fault, "out of memory");
    else if (crl_decode(&list->crl, der, fault) && strength_check_list(revocation, list, fault)) {
        list->facts = (struct revocation_facts) { .path = list->path,
                                                  .line = origin->line,
                                                  .source = origin->source,
                                                  .this_update = list->crl.this_update,
                                                  .next_update = list->crl.next_update,
                                                  .entries = list->crl.count };
        certificate_describe_other(list->crl.issuer, list->facts.issuer);
        lists[revocation->count++] = list;
        return true;
    }
    fault_place(fault, origin, "the revocation list cannot be used");
    list_free(list);
    return false;
}

static bool block_add(struct revocation *revocation, const struct pem_block *block,
                      const struct origin *origin, struct fault *fault)
{
    BIO *reader = pem_block_reader(block);
    char *name = NULL, *header = NULL;
    uint8_t *bytes = NULL;
    long length = 0;
    CBS der;

    ERR_clear_error();
    bool is_read = reader && PEM_read_bio(reader, &name, &header, &bytes, &length) == 1;
    ERR_clear_error();
    CBS_init(&der, bytes, is_read ? (size_t)length : 0);
    bool is_added = list_add(revocation, origin, &der, fault);
    BIO_free(reader);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(bytes);
    return is_added;
}

static bool blocks_add(struct revocation *revocation, struct pem_file *file, int source, unsigned beside,
                       struct fault *fault)
{
    struct pem_scan scan;
    struct pem_block block;
    enum pem_found found;

    pem_scan_start(&scan, file);
    while ((found = pem_scan_next_of(&scan, PEM_CRL, beside, &block, fault)) == PEM_FOUND_BLOCK) {
        const struct origin origin = { file->path, block.line, source };
        if (!block_add(revocation, &block, &origin, fault))
            return false;
    }
    return found == PEM_FOUND_END;
}

bool revocation_add_ca_file(struct revocation *revocation, struct pem_file *file, struct fault *fault)
{
    return blocks_add(revocation, file, REVOCATION_SOURCE_CA, PEM_ONLY(PEM_CERTIFICATE), fault);
}

static bool file_add(struct revocation *revocation, struct pem_file *file, int source, struct fault *fault)
{
    static const char begin[] = "-----BEGIN ";
    const struct origin origin = { file->path, 0, source };
    size_t before = revocation->count;
    CBS der;

    if (memmem(file->bytes, file->length, begin, sizeof begin - 1))
        return blocks_add(revocation, file, source, 0, fault);
    CBS_init(&der, (const uint8_t *)file->bytes, file->length);
    while (CBS_peek_asn1_tag(&der, CBS_ASN1_SEQUENCE)) {
        if (!list_add(revocation, &origin, &der, fault))
            return false;
    }
    if (CBS_len(&der) || revocation->count == before)
        fault_set(fault, "%s: holds %s revocation list in PEM or DER form", file->path,
                  revocation->count == before ? "no" : "something else behind a");
    return !CBS_len(&der) && revocation->count > before;
}

bool revocation_add_der(struct revocation *revocation, const char *origin, const uint8_t *bytes,
                        size_t length, struct fault *fault)
{
    const struct origin from = { .path = origin, .source = REVOCATION_SOURCE_CA };
    CBS der;

    CBS_init(&der, bytes, length);
    return list_add(revocation, &from, &der, fault);
}

bool revocation_add(struct revocation *revocation, int source, const char *path, struct fault *fault)
{
    struct crl_files files;
    bool is_good = crl_files_find(&files, path, fault);

    for (size_t i = 0; is_good && i < files.count; i++) {
        struct pem_file file;
        is_good = pem_file_read_large(&file, files.paths[i], REVOCATION_FILE_BYTES_MAX, fault) &&
                  file_add(revocation, &file, source, fault);
        pem_file_wipe(&file);
    }
    crl_files_deinit(&files);
    return is_good;
}

/* ---- who signed the lists ---- */

/* The CA that `certificate` is a version of; ca_count: none is there yet. */
static size_t ca_of(const struct revocation *revocation, const X509 *certificate)
{
    size_t at = 0;

    while (at < revocation->ca_count &&
           !certificate_is_version_of(revocation->cas[at].certificate, certificate))
        at++;
    return at;
}

static bool cas_note(struct revocation *revocation, const STACK_OF(X509) * certificates)
{
    revocation->cas = calloc(sk_X509_num(certificates) + 1, sizeof *revocation->cas);
    for (size_t i = 0; revocation->cas && i < sk_X509_num(certificates); i++) {
        X509 *certificate = sk_X509_value(certificates, i);
        if (ca_of(revocation, certificate) < revocation->ca_count)
            continue;
        struct ca *ca = &revocation->cas[revocation->ca_count++];
        ca->certificate = certificate;
        certificate_describe(certificate, ca->name);
    }
    return revocation->cas;
}

/* Every CA with the name and the key is asked for cRLSign: of two versions of a CA, one may have it. */
static bool signer_find(const struct revocation *revocation, struct list *list, const STACK_OF(X509) * cas,
                        struct fault *fault)
{
    bool is_signed = false, is_named = false;

    for (size_t i = 0; i < sk_X509_num(cas); i++) {
        X509 *ca = sk_X509_value(cas, i);
        if (!crl_fits_issuer(&list->crl, ca))
            continue;
        is_named = true;
        if (!crl_is_signed_by(&list->crl, ca))
            continue;
        list->facts.signer = REVOCATION_SIGNER_OURS;
        list->facts.ca = ca_of(revocation, ca);
        if (X509_get_key_usage(ca) & KU_CRL_SIGN)
            return true;
        is_signed = true;
    }
    if (!is_signed) {
        list->facts.signer = is_named ? REVOCATION_SIGNER_WRONG : REVOCATION_SIGNER_UNKNOWN;
        return true;
    }
    fault_set(fault,
              "the keyUsage of CA %s in --ca has no cRLSign: issue the certificate of the CA again with "
              "keyUsage=keyCertSign,cRLSign, or remove the list",
              list->facts.issuer);
    fault_place(fault, &(struct origin) { list->path, list->facts.line, list->facts.source },
                "the revocation list cannot be used");
    return false;
}

static int compare(const void *a, const void *b)
{
    return crl_compare(&(*(struct list *const *)a)->crl, &(*(struct list *const *)b)->crl);
}

static bool are_of_same_group(const struct list *a, const struct list *b)
{
    return X509_NAME_cmp(a->crl.issuer, b->crl.issuer) == 0 && crl_is_of_same_scope(&a->crl, &b->crl);
}

/* Names are compared as text: two names that are cut to the same text are one series of the metric. */
static struct metrics_crl *update_find(const struct revocation *revocation, const char *issuer)
{
    for (size_t i = 0; i < revocation->update_count; i++) {
        if (strcmp(revocation->updates[i].issuer, issuer) == 0)
            return &revocation->updates[i];
    }
    return NULL;
}

/* Whether list `at` is the first one, without those of a wrong signature, of its issuer and scope. */
static bool is_newest(const struct revocation *revocation, size_t at)
{
    for (size_t i = at; i > 0 && are_of_same_group(revocation->lists[i - 1], revocation->lists[at]); i--) {
        if (revocation->lists[i - 1]->facts.signer != REVOCATION_SIGNER_WRONG)
            return false;
    }
    return revocation->lists[at]->facts.signer != REVOCATION_SIGNER_WRONG;
}

static bool updates_note(struct revocation *revocation)
{
    revocation->update_count = 0;
    revocation->updates = calloc(revocation->count + 1, sizeof *revocation->updates);
    for (size_t i = 0; revocation->updates && i < revocation->count; i++) {
        const struct revocation_facts *facts = &revocation->lists[i]->facts;
        struct metrics_crl *known = update_find(revocation, facts->issuer);
        if (!facts->next_update || !is_newest(revocation, i))
            continue;
        if (!known)
            revocation->updates[revocation->update_count++] =
                (struct metrics_crl) { facts->issuer, facts->next_update };
        else if (facts->next_update < known->next_update)
            known->next_update = facts->next_update;
    }
    return revocation->updates;
}

bool revocation_settle(struct revocation *revocation, const struct stack_st_X509 *cas, struct fault *fault)
{
    bool is_noted = cas_note(revocation, cas);

    for (size_t i = 0; is_noted && i < revocation->count; i++) {
        if (!signer_find(revocation, revocation->lists[i], cas, fault))
            return false;
    }
    if (revocation->count)
        qsort(revocation->lists, revocation->count, sizeof(struct list *), compare);
    if (is_noted && updates_note(revocation))
        return true;
    fault_set(fault, "out of memory");
    return false;
}

size_t revocation_ca_count(const struct revocation *revocation)
{
    return revocation->ca_count;
}

const char *revocation_ca_name(const struct revocation *revocation, size_t at)
{
    return revocation->cas[at].name;
}

const struct metrics_crl *revocation_updates(const struct revocation *revocation, size_t *count)
{
    *count = revocation ? revocation->update_count : 0;
    return revocation ? revocation->updates : NULL;
}

struct revocation *revocation_load(struct pem_file *ca_file, const struct revocation_options *options,
                                   const struct stack_st_X509 *cas, struct fault *fault)
{
    struct revocation *revocation = revocation_new(options->strength, fault);
    bool is_good = revocation && (!ca_file || revocation_add_ca_file(revocation, ca_file, fault));

    for (size_t i = 0; is_good && i < options->count; i++)
        is_good = revocation_add(revocation, (int)i, options->paths[i], fault);
    if (is_good && revocation_settle(revocation, cas, fault))
        return revocation;
    revocation_free(revocation);
    return NULL;
}

uint64_t revocation_stamp(const struct revocation_options *options)
{
    uint64_t stamp = 0;

    for (size_t i = 0; i < options->count; i++)
        stamp = stamp * 31 + crl_files_stamp(options->paths[i]);
    return stamp;
}

/* ---- which lists count ---- */

size_t revocation_count(const struct revocation *revocation)
{
    return revocation->count;
}

const struct revocation_facts *revocation_facts_of(const struct revocation *revocation, size_t at)
{
    return &revocation->lists[at]->facts;
}

/* `issuer` NULL: as far as the CAs of the CA file tell. */
static bool are_of_same_key(const struct list *a, struct list *b, X509 *issuer)
{
    if (issuer)
        return crl_fits_issuer(&b->crl, issuer) && crl_is_signed_by(&b->crl, issuer);
    return a->facts.signer == b->facts.signer && crl_have_same_signer(&a->crl, &b->crl);
}

/* Whether `other` takes the place of `list`, of the same key and scope, at `now`. */
static bool replaces(const struct list *other, const struct list *list, int64_t now)
{
    bool is_early = list->facts.this_update > now, is_other_early = other->facts.this_update > now;

    if (is_early != is_other_early)
        return is_early;
    return crl_compare(&other->crl, &list->crl) < 0;
}

/* Lists of one issuer and scope are neighbours. */
static bool counts(const struct revocation *revocation, size_t at, X509 *issuer, int64_t now)
{
    struct list *const *lists = revocation->lists, *list = lists[at];
    size_t first = at;

    while (first > 0 && are_of_same_group(lists[first - 1], list))
        first--;
    for (size_t i = first; i < revocation->count && are_of_same_group(lists[i], list); i++) {
        if (i != at && replaces(lists[i], list, now) && are_of_same_key(list, lists[i], issuer))
            return false;
    }
    return true;
}

bool revocation_counts(const struct revocation *revocation, size_t at, int64_t now)
{
    return counts(revocation, at, NULL, now);
}

void revocation_describe(const struct revocation *revocation, struct log *log)
{
    size_t entries = 0;

    for (size_t i = 0; i < revocation->count; i++) {
        const struct revocation_facts *facts = &revocation->lists[i]->facts;
        entries += facts->entries;
        if (facts->signer == REVOCATION_SIGNER_WRONG)
            log_say(
                log, LOG_WARN,
                "%s: line %zu: the revocation list of %s has no effect, because no CA of --ca has made its "
                "signature: fetch the list from the CA again, or add the CA with this key to --ca",
                facts->path, facts->line, facts->issuer);
    }
    if (revocation->count)
        log_say(log, LOG_INFO, "revocation lists: %zu with %zu entries", revocation->count, entries);
}

/* ---- asking ---- */

enum revocation_status revocation_freshness(const struct revocation_facts *facts, int64_t now)
{
    if (facts->this_update > now)
        return REVOCATION_EARLY;
    return facts->next_update && facts->next_update < now ? REVOCATION_STALE : REVOCATION_GOOD;
}

/* The first list with this issuer; `count` if there is none. */
static size_t first_of(const struct revocation *revocation, const X509_NAME *issuer)
{
    size_t first = 0, last = revocation->count;

    while (first < last) {
        size_t middle = first + (last - first) / 2;
        if (X509_NAME_cmp(revocation->lists[middle]->crl.issuer, issuer) < 0)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

static bool may_sign_lists(X509 *issuer)
{
    return X509_get_key_usage(issuer) & KU_CRL_SIGN;
}

enum revocation_status revocation_judge(const struct revocation *revocation, X509 *certificate, X509 *issuer,
                                        int64_t now)
{
    const X509_NAME *name = X509_get_issuer_name(certificate);
    enum revocation_status best = REVOCATION_NO_LIST;

    for (size_t i = first_of(revocation, name); i < revocation->count; i++) {
        struct list *list = revocation->lists[i];
        if (X509_NAME_cmp(list->crl.issuer, name) != 0)
            break;
        bool is_named = crl_names(&list->crl, certificate);
        if ((!is_named && !crl_covers(&list->crl, certificate)) || !crl_fits_issuer(&list->crl, issuer) ||
            !may_sign_lists(issuer) || !crl_is_signed_by(&list->crl, issuer) ||
            !counts(revocation, i, issuer, now))
            continue;
        if (is_named)
            return REVOCATION_REVOKED;
        enum revocation_status status = revocation_freshness(&list->facts, now);
        best = status < best ? status : best;
    }
    return best;
}
