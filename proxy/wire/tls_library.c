#include "wire/tls_library.h"

#include <openssl/ssl.h>

#define NUMBER_TEXT(number)  #number
#define NUMBER_VALUE(number) NUMBER_TEXT(number)

const char *tls_library_name(void)
{
    return "BoringSSL API " NUMBER_VALUE(BORINGSSL_API_VERSION);
}

bool tls_library_is_post_quantum(void)
{
#ifdef SSL_GROUP_X25519_MLKEM768
    return true;
#else
    return false;
#endif
}

enum end_reason tls_library_end_reason(int reason)
{
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return END_CERTIFICATE_MISSING;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return END_TLS_VERSION;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return END_NOT_TLS;
    default:
        return reason > SSL_AD_REASON_OFFSET ? END_TLS_REJECTED : END_TLS_PROTOCOL;
    }
}
