#include "trust/peer_check.h"

#include "trust/cert_path.h"
#include "trust/certificate.h"
#include "trust/server_name.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 3, 4))) static bool refuse(struct peer_check *check, enum end_reason reason,
                                                         const char *format, ...)
{
    va_list arguments;

    check->reason = reason;
    va_start(arguments, format);
    vsnprintf(check->detail, sizeof check->detail, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the chain ---- */

static bool refuse_unknown_ca(struct peer_check *check, const struct peer_check_rules *rules,
                              X509 *certificate, int error)
{
    const char *place = rules->bundles ? "the bundle of its trust domain" : "our CA file";
    char name[CERTIFICATE_NAME_BYTES], issuer[CERTIFICATE_NAME_BYTES];

    certificate_describe(certificate, name);
    certificate_describe_issuer(certificate, issuer);
    if (error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
        return refuse(check, END_CERTIFICATE_UNKNOWN_CA, "certificate %s is self-signed", name);
    if (error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN)
        return refuse(check, END_CERTIFICATE_UNKNOWN_CA, "the chain ends at %s, which is not in %s", name,
                      place);
    return refuse(check, END_CERTIFICATE_UNKNOWN_CA, "certificate %s is issued by %s, which is not in %s",
                  name, issuer, place);
}

static bool refuse_unproven(struct peer_check *check, const struct cert_path_failure *failure)
{
    enum revocation_status status = failure->evidence.list;
    char name[CERTIFICATE_NAME_BYTES], issuer[CERTIFICATE_NAME_BYTES], staple[128] = "";

    certificate_describe(failure->certificate, name);
    if (failure->evidence.demands_staple)
        return refuse(check, END_REVOCATION_UNKNOWN,
                      "certificate %s demands an OCSP response (TLS feature extension), and that of the "
                      "server %s",
                      name, ocsp_status_phrase(failure->evidence.staple));
    certificate_describe_issuer(failure->certificate, issuer);
    if (failure->evidence.staple != OCSP_NONE)
        snprintf(staple, sizeof staple, ", and the OCSP response of the server %s",
                 ocsp_status_phrase(failure->evidence.staple));
    if (status == REVOCATION_NO_LIST)
        return refuse(check, END_REVOCATION_UNKNOWN,
                      "certificate %s: no revocation list of its issuer %s speaks for it%s", name, issuer,
                      staple);
    return refuse(check, END_REVOCATION_UNKNOWN,
                  "certificate %s: the revocation list of its issuer %s is %s%s", name, issuer,
                  status == REVOCATION_STALE ? "stale" : "not valid yet", staple);
}

/* Translates the failure into an end reason and a detail text. */
static bool refuse_chain(struct peer_check *check, const struct peer_check_rules *rules,
                         const struct cert_path_failure *failure)
{
    X509 *certificate = failure->certificate;
    int error = failure->error;
    char name[CERTIFICATE_NAME_BYTES], time[CERTIFICATE_TIME_BYTES];

    certificate_describe(certificate, name);
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        certificate_describe_time(certificate_not_after(certificate), time);
        return refuse(check, END_CERTIFICATE_EXPIRED, "certificate %s expired at %s", name, time);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        certificate_describe_time(certificate_not_before(certificate), time);
        return refuse(check, END_CERTIFICATE_EXPIRED, "certificate %s is not valid before %s", name, time);
    case X509_V_ERR_CERT_REVOKED:
        return refuse(
            check, END_CERTIFICATE_REVOKED, "certificate %s is revoked by its issuer%s", name,
            failure->evidence.list == REVOCATION_REVOKED ? "" : ", as the OCSP response of the server says");
    case CERT_PATH_UNPROVEN:
        return refuse_unproven(check, failure);
    case CERT_PATH_WEAK:
        return refuse(check, END_CERTIFICATE_WEAK, "certificate %s %s", name, failure->flaw);
    case X509_V_ERR_INVALID_PURPOSE:
        return refuse(check, END_CERTIFICATE_USAGE, "certificate %s is not meant for a TLS %s", name,
                      rules->role == TLS_CLIENT ? "server" : "client");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return refuse_unknown_ca(check, rules, certificate, error);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return refuse(
            check, END_CERTIFICATE_INVALID,
            "the signature of certificate %s is wrong: another CA of the same name may have made it", name);
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        return refuse(check, END_CERTIFICATE_INVALID,
                      "certificate %s: no valid chain was found among the first %d issuers of fitting names",
                      name, CERT_PATH_ISSUERS_MAX);
    case X509_V_ERR_OUT_OF_MEM:
        return refuse(check, END_NO_MEMORY, "out of memory");
    default:
        return refuse(check, END_CERTIFICATE_INVALID, "certificate %s: %s", name,
                      X509_verify_cert_error_string(error));
    }
}

static enum ocsp_status bad_staple(const struct peer_check_rules *rules,
                                   const struct cert_path_evidence *evidence)
{
    bool is_told = rules->revocation.policy == REVOCATION_WARN && evidence->list != REVOCATION_GOOD;

    return is_told && evidence->staple != OCSP_GOOD ? evidence->staple : OCSP_NONE;
}

/* X509-SVID, 5.2. Fills `domain`. */
static bool verify_svid(struct peer_check *check, X509 *leaf, char domain[SPIFFE_DOMAIN_BYTES],
                        uint8_t *alert)
{
    char name[CERTIFICATE_NAME_BYTES], id[SPIFFE_ID_BYTES];
    struct fault fault;

    if (svid_bundles_read_leaf(leaf, id, domain, &fault))
        return true;
    certificate_describe(leaf, name);
    *alert = SSL_AD_BAD_CERTIFICATE;
    return refuse(check, END_CERTIFICATE_INVALID, "certificate %s: %s", name, fault.text);
}

/* The CAs that may have issued `leaf`; NULL: the peer is refused. */
static const STACK_OF(X509) *
    cas_for(struct peer_check *check, const struct peer_check_rules *rules, X509 *leaf, uint8_t *alert)
{
    char domain[SPIFFE_DOMAIN_BYTES];

    if (!rules->bundles)
        return rules->trusted_cas;
    if (!verify_svid(check, leaf, domain, alert))
        return NULL;
    const STACK_OF(X509) *cas = svid_bundles_find(rules->bundles, domain);
    if (!cas) {
        *alert = SSL_AD_UNKNOWN_CA;
        refuse(check, END_CERTIFICATE_UNKNOWN_CA, "the Workload API gave no bundle of trust domain %.200s",
               domain);
    }
    return cas;
}

bool peer_check_verify_chain(struct peer_check *check, const struct peer_check_rules *rules,
                             const struct stack_st_X509 *chain, uint8_t *alert)
{
    const STACK_OF(X509) *cas = cas_for(check, rules, sk_X509_value(chain, 0), alert);
    const struct cert_path_rules path_rules = {
        .trusted_cas = cas,
        .purpose = rules->role == TLS_CLIENT ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT,
        .allow_weak = rules->allow_weak,
        .revocation = rules->revocation,
        .staple = check->staple,
    };
    struct cert_path_failure failure;

    check->lacks_issuer = check->demands_staple = false;
    check->bad_staple = OCSP_NONE;
    if (!cas)
        return false;
    bool is_valid = cert_path_find(chain, &path_rules, &check->not_after, &failure);
    check->demands_staple = failure.evidence.demands_staple;
    check->bad_staple = is_valid ? bad_staple(rules, &failure.evidence) : OCSP_NONE;
    check->lacks_issuer =
        !is_valid && failure.lacks_issuer && failure.error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    if (is_valid)
        return true;
    *alert = failure.error == CERT_PATH_WEAK       ? SSL_AD_BAD_CERTIFICATE
             : failure.error == CERT_PATH_UNPROVEN ? SSL_AD_CERTIFICATE_UNKNOWN
                                                   : (uint8_t)SSL_alert_from_verify_result(failure.error);
    return refuse_chain(check, rules, &failure);
}

/* ---- client: the server's name ---- */

/* An absolute name ("aggregator.example.") is equal to the name without the final dot. */
static size_t server_name_length(const char *server_name)
{
    size_t length = strlen(server_name);

    return length > 1 && server_name[length - 1] == '.' ? length - 1 : length;
}

static bool cn_matches(const char *cn, const char *server_name)
{
    size_t length = server_name_length(server_name);

    return strlen(cn) == length && strncasecmp(cn, server_name, length) == 0;
}

static bool verify_name(struct peer_check *check, const struct peer_check_rules *rules, X509 *leaf,
                        uint8_t *alert)
{
    const char *cn = check->identity->cn;
    bool has_alternatives = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1) >= 0;
    char name[CERTIFICATE_NAME_BYTES], alternatives[PEER_CHECK_DETAIL_BYTES];

    *alert = SSL_AD_BAD_CERTIFICATE;
    if (!check->server_name)
        return refuse(check, END_CERTIFICATE_NAME, "no server name was given to compare with");
    if (server_name_matches(leaf, check->server_name) ||
        (!has_alternatives && rules->allow_cn_as_name && cn && cn_matches(cn, check->server_name)))
        return true;
    if (!has_alternatives && cn)
        return refuse(check, END_CERTIFICATE_NAME,
                      "certificate has no subjectAltName; its CN is \"%s\": --server-name %s together with "
                      "--allow-cn-as-name would accept it",
                      cn, cn);
    certificate_describe(leaf, name);
    server_name_list(leaf, alternatives, sizeof alternatives);
    if (!alternatives[0] && check->identity->uri.count)
        return refuse(
            check, END_CERTIFICATE_NAME,
            "certificate %s has no name of a server, but the URI %s: --allow-server-uri %s together "
            "with --ignore-server-name would accept it",
            name, check->identity->uri.values[0], check->identity->uri.values[0]);
    return refuse(check, END_CERTIFICATE_NAME, "certificate %s is not for %s, but for: %s", name,
                  check->server_name, alternatives[0] ? alternatives : "no name at all");
}

/* ---- client: the server's trust domain ---- */

static bool verify_domain(struct peer_check *check, const struct peer_check_rules *rules, X509 *leaf,
                          uint8_t *alert)
{
    const char *own = svid_bundles_own_domain(rules->bundles);
    char domain[SPIFFE_DOMAIN_BYTES];

    if (!verify_svid(check, leaf, domain, alert))
        return false;
    if (strcmp(domain, own) == 0)
        return true;
    *alert = SSL_AD_BAD_CERTIFICATE;
    return refuse(check, END_CERTIFICATE_NAME, "the server is of trust domain %.80s, husk is of %.80s",
                  domain, own);
}

/* The policy, where there is one, takes the place of our trust domain. */
static bool verify_server(struct peer_check *check, const struct peer_check_rules *rules, X509 *leaf,
                          uint8_t *alert)
{
    if (rules->bundles)
        return rules->policy || verify_domain(check, rules, leaf, alert);
    return rules->ignores_name || verify_name(check, rules, leaf, alert);
}

/* ---- the policy ---- */

/* `names`: all names of the certificate. */
static bool refuse_denied(struct peer_check *check, const struct peer_rule *denier, const char *names)
{
    const char *kind = peer_rule_kind_name(denier->kind);
    char why[PEER_CHECK_DETAIL_BYTES];

    if (!peer_rule_is_group(denier->kind) && peer_rule_judge(denier, check->identity) == PEER_RULE_YES)
        return refuse(check, END_NOT_ALLOWED, "--deny-%s %s denies a name of the certificate: %s", kind,
                      denier->value, names);
    peer_rule_explain(denier, check->identity, why, sizeof why);
    return refuse(check, END_NOT_ALLOWED, "deny.%s denies the certificate: %s", kind, why);
}

static bool verify_policy(struct peer_check *check, const struct peer_check_rules *rules, uint8_t *alert)
{
    char names[PEER_CHECK_DETAIL_BYTES];

    if (!rules->policy || peer_policy_judge(rules->policy, check->identity) == PEER_RULE_YES)
        return true;
    *alert = SSL_AD_ACCESS_DENIED;
    identity_list_names(check->identity, names, sizeof names);
    const struct peer_rule *denier = peer_policy_denier(rules->policy, check->identity);
    if (denier)
        return refuse_denied(check, denier, names);
    return refuse(check, END_NOT_ALLOWED, "no --allow-%s* setting admits a name of the certificate: %s",
                  rules->role == TLS_CLIENT ? "server-" : "", names);
}

bool peer_check_verify(struct peer_check *check, const struct peer_check_rules *rules,
                       struct stack_st_X509 *chain, uint8_t *alert)
{
    peer_check_deinit(check);
    check->reason = END_NONE;
    check->detail[0] = '\0';
    if (rules->trusts_nobody) {
        *alert = SSL_AD_UNKNOWN_CA;
        return refuse(check, END_WITHDRAWN, "the SPIFFE Workload API has withdrawn the credentials of husk");
    }
    if (!chain || sk_X509_num(chain) == 0) {
        if (rules->allows_anonymous && peer_policy_judge(rules->policy, NULL) == PEER_RULE_YES)
            return true;
        *alert = SSL_AD_CERTIFICATE_REQUIRED;
        return refuse(check, END_CERTIFICATE_MISSING, "the peer sent no certificate");
    }
    if (!rules->verifies_nothing && !peer_check_verify_chain(check, rules, chain, alert))
        return false;
    check->identity = identity_from_certificate(sk_X509_value(chain, 0));
    if (!check->identity) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return refuse(check, END_NO_MEMORY, "out of memory");
    }
    if (rules->verifies_nothing)
        return true;
    if (rules->role == TLS_CLIENT && !verify_server(check, rules, sk_X509_value(chain, 0), alert))
        return false;
    return verify_policy(check, rules, alert);
}

void peer_check_deinit(struct peer_check *check)
{
    identity_free(check->identity);
    check->identity = NULL;
}
