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

static bool refuse_unknown_ca(struct peer_check *check, X509 *certificate, int error)
{
    char name[CERTIFICATE_NAME_BYTES], issuer[CERTIFICATE_NAME_BYTES];

    certificate_describe(certificate, name);
    certificate_describe_issuer(certificate, issuer);
    if (error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
        return refuse(check, END_CERTIFICATE_UNKNOWN_CA, "certificate %s is self-signed", name);
    if (error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN)
        return refuse(check, END_CERTIFICATE_UNKNOWN_CA, "the chain ends at %s, which is not in our CA file",
                      name);
    return refuse(check, END_CERTIFICATE_UNKNOWN_CA,
                  "certificate %s is issued by %s, which is not in our CA file", name, issuer);
}

/* Translates the failure into an end reason and a detail text. */
static bool refuse_chain(struct peer_check *check, enum tls_role role,
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
        return refuse(check, END_CERTIFICATE_REVOKED, "certificate %s is revoked by its issuer", name);
    case CERT_PATH_WEAK:
        return refuse(check, END_CERTIFICATE_WEAK, "certificate %s %s", name, failure->flaw);
    case X509_V_ERR_INVALID_PURPOSE:
        return refuse(check, END_CERTIFICATE_USAGE, "certificate %s is not meant for a TLS %s", name,
                      role == TLS_CLIENT ? "server" : "client");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return refuse_unknown_ca(check, certificate, error);
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

bool peer_check_verify_chain(struct peer_check *check, const struct peer_check_rules *rules,
                             const struct stack_st_X509 *chain, uint8_t *alert)
{
    const struct cert_path_rules path_rules = {
        .trusted_cas = rules->trusted_cas,
        .purpose = rules->role == TLS_CLIENT ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT,
        .allow_weak = rules->allow_weak,
        .revocation = rules->revocation,
    };
    struct cert_path_failure failure;

    if (cert_path_find(chain, &path_rules, &failure))
        return true;
    *alert = failure.error == CERT_PATH_WEAK ? SSL_AD_BAD_CERTIFICATE
                                             : (uint8_t)SSL_alert_from_verify_result(failure.error);
    return refuse_chain(check, rules->role, &failure);
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
    return refuse(check, END_CERTIFICATE_NAME, "certificate %s is not for %s, but for: %s", name,
                  check->server_name, alternatives[0] ? alternatives : "no name at all");
}

/* ---- server: the policy ---- */

static bool verify_policy(struct peer_check *check, const struct peer_check_rules *rules, uint8_t *alert)
{
    char names[PEER_CHECK_DETAIL_BYTES];

    if (!rules->policy || peer_policy_allows(rules->policy, check->identity))
        return true;
    *alert = SSL_AD_ACCESS_DENIED;
    identity_list_names(check->identity, names, sizeof names);
    return refuse(check, END_NOT_ALLOWED, "no --allow-* setting admits a name of the certificate: %s", names);
}

bool peer_check_verify(struct peer_check *check, const struct peer_check_rules *rules,
                       struct stack_st_X509 *chain, uint8_t *alert)
{
    peer_check_deinit(check);
    check->reason = END_NONE;
    check->detail[0] = '\0';
    if (!chain || sk_X509_num(chain) == 0) {
        *alert = SSL_AD_CERTIFICATE_REQUIRED;
        return refuse(check, END_CERTIFICATE_MISSING, "the peer sent no certificate");
    }
    if (!peer_check_verify_chain(check, rules, chain, alert))
        return false;
    check->identity = identity_from_certificate(sk_X509_value(chain, 0));
    if (!check->identity) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return refuse(check, END_NO_MEMORY, "out of memory");
    }
    if (rules->role == TLS_CLIENT)
        return verify_name(check, rules, sk_X509_value(chain, 0), alert);
    return verify_policy(check, rules, alert);
}

void peer_check_deinit(struct peer_check *check)
{
    identity_free(check->identity);
    check->identity = NULL;
}
