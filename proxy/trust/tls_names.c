#include "trust/tls_names.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NO_FORWARD_SECRECY "is weak: who gets the key of the server later can read what was sent"
#define CBC                "is weak: its CBC mode with HMAC-SHA1 has been broken several times"
#define BROKEN             "is broken, and BoringSSL does not have it"
#define FIXED_IN_TLS_1_3   "is of TLS 1.3, whose ciphers BoringSSL chooses: leave it out"
#define SHA_1              "is weak: signatures with SHA-1 can be forged"
#define NOT_IN_BORINGSSL   "is not in BoringSSL"

static const struct tls_name ciphers[] = {
    { 0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256", { "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" }, NULL },
    { 0xc02f, "ECDHE-RSA-AES128-GCM-SHA256", { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, NULL },
    { 0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384", { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" }, NULL },
    { 0xc030, "ECDHE-RSA-AES256-GCM-SHA384", { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" }, NULL },
    { 0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305", { "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" }, NULL },
    { 0xcca8, "ECDHE-RSA-CHACHA20-POLY1305", { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" }, NULL },
    { 0x1301, "TLS_AES_128_GCM_SHA256", { NULL }, FIXED_IN_TLS_1_3 },
    { 0x1302, "TLS_AES_256_GCM_SHA384", { NULL }, FIXED_IN_TLS_1_3 },
    { 0x1303, "TLS_CHACHA20_POLY1305_SHA256", { NULL }, FIXED_IN_TLS_1_3 },
    { 0x1304, "TLS_AES_128_CCM_SHA256", { NULL }, FIXED_IN_TLS_1_3 },
    { 0xc009, "ECDHE-ECDSA-AES128-SHA", { "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA" }, CBC },
    { 0xc013, "ECDHE-RSA-AES128-SHA", { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" }, CBC },
    { 0xc00a, "ECDHE-ECDSA-AES256-SHA", { "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA" }, CBC },
    { 0xc014, "ECDHE-RSA-AES256-SHA", { "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" }, CBC },
    { 0xc023, "ECDHE-ECDSA-AES128-SHA256", { "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256" }, NOT_IN_BORINGSSL },
    { 0xc027, "ECDHE-RSA-AES128-SHA256", { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256" }, NOT_IN_BORINGSSL },
    { 0xc024, "ECDHE-ECDSA-AES256-SHA384", { "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384" }, NOT_IN_BORINGSSL },
    { 0xc028, "ECDHE-RSA-AES256-SHA384", { "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384" }, NOT_IN_BORINGSSL },
    { 0x009e, "DHE-RSA-AES128-GCM-SHA256", { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, NOT_IN_BORINGSSL },
    { 0x009f, "DHE-RSA-AES256-GCM-SHA384", { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" }, NOT_IN_BORINGSSL },
    { 0xccaa,
      "DHE-RSA-CHACHA20-POLY1305",
      { "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
      NOT_IN_BORINGSSL },
    { 0x009c, "AES128-GCM-SHA256", { "TLS_RSA_WITH_AES_128_GCM_SHA256" }, NO_FORWARD_SECRECY },
    { 0x009d, "AES256-GCM-SHA384", { "TLS_RSA_WITH_AES_256_GCM_SHA384" }, NO_FORWARD_SECRECY },
    { 0x002f, "AES128-SHA", { "TLS_RSA_WITH_AES_128_CBC_SHA" }, NO_FORWARD_SECRECY },
    { 0x0035, "AES256-SHA", { "TLS_RSA_WITH_AES_256_CBC_SHA" }, NO_FORWARD_SECRECY },
    { 0x000a, "DES-CBC3-SHA", { "TLS_RSA_WITH_3DES_EDE_CBC_SHA" }, NO_FORWARD_SECRECY },
    { 0x0005, "RC4-SHA", { "TLS_RSA_WITH_RC4_128_SHA" }, BROKEN },
    { 0x0004, "RC4-MD5", { "TLS_RSA_WITH_RC4_128_MD5" }, BROKEN },
};

/* P-521 only because of TLS 1.2, where a certificate with such a key needs the group (RFC 8422, 5.1.1). */
static const struct tls_name groups[] = {
#ifdef SSL_GROUP_X25519_MLKEM768
    { 0x11ec, "X25519MLKEM768", { NULL }, NULL },
#else
    { 0x11ec, "X25519MLKEM768", { NULL }, "is not in the BoringSSL of this husk (husk version)" },
#endif
    { 29, "X25519", { NULL }, NULL },
    { 23, "P-256", { "secp256r1", "prime256v1" }, NULL },
    { 24, "P-384", { "secp384r1" }, NULL },
    { 25, "P-521", { "secp521r1" }, NULL },
    { 21, "P-224", { "secp224r1" }, "is weak: its keys are too short" },
    { 19, "P-192", { "secp192r1", "prime192v1" }, "is weak: its keys are too short" },
    { 30, "X448", { NULL }, NOT_IN_BORINGSSL },
    { 22, "secp256k1", { NULL }, NOT_IN_BORINGSSL },
    { 256, "ffdhe2048", { NULL }, NOT_IN_BORINGSSL },
    { 257, "ffdhe3072", { NULL }, NOT_IN_BORINGSSL },
    { 0x11eb, "SecP256r1MLKEM768", { NULL }, "is not in the BoringSSL of this husk (husk version)" },
    { 0x6399, "X25519Kyber768Draft00", { NULL }, "is a draft, which X25519MLKEM768 has replaced" },
};

static const struct tls_name signatures[] = {
    { 0x0403, "ecdsa_secp256r1_sha256", { "ECDSA+SHA256" }, NULL },
    { 0x0807, "ed25519", { NULL }, NULL },
    { 0x0804, "rsa_pss_rsae_sha256", { "RSA-PSS+SHA256", "PSS+SHA256" }, NULL },
    { 0x0401, "rsa_pkcs1_sha256", { "RSA+SHA256" }, NULL },
    { 0x0503, "ecdsa_secp384r1_sha384", { "ECDSA+SHA384" }, NULL },
    { 0x0805, "rsa_pss_rsae_sha384", { "RSA-PSS+SHA384", "PSS+SHA384" }, NULL },
    { 0x0501, "rsa_pkcs1_sha384", { "RSA+SHA384" }, NULL },
    { 0x0806, "rsa_pss_rsae_sha512", { "RSA-PSS+SHA512", "PSS+SHA512" }, NULL },
    { 0x0601, "rsa_pkcs1_sha512", { "RSA+SHA512" }, NULL },
    { 0x0603, "ecdsa_secp521r1_sha512", { "ECDSA+SHA512" }, NULL },
    { 0x0203, "ecdsa_sha1", { "ECDSA+SHA1" }, SHA_1 },
    { 0x0201, "rsa_pkcs1_sha1", { "RSA+SHA1" }, SHA_1 },
    { 0x0202, "dsa_sha1", { "DSA+SHA1" }, SHA_1 },
    { 0x0808, "ed448", { NULL }, NOT_IN_BORINGSSL },
    { 0x0809, "rsa_pss_pss_sha256", { NULL }, NOT_IN_BORINGSSL },
    { 0x080a, "rsa_pss_pss_sha384", { NULL }, NOT_IN_BORINGSSL },
    { 0x080b, "rsa_pss_pss_sha512", { NULL }, NOT_IN_BORINGSSL },
};

const struct tls_name *tls_names(enum tls_name_kind kind, size_t *count)
{
    static const struct {
        const struct tls_name *names;
        size_t count;
    } tables[] = {
        [TLS_CIPHERS] = { ciphers, sizeof ciphers / sizeof ciphers[0] },
        [TLS_GROUPS] = { groups, sizeof groups / sizeof groups[0] },
        [TLS_SIGNATURES] = { signatures, sizeof signatures / sizeof signatures[0] },
    };

    *count = tables[kind].count;
    return tables[kind].names;
}

static bool is_spelled(const char *spelling, const char *text, size_t length)
{
    return spelling && strlen(spelling) == length && strncasecmp(spelling, text, length) == 0;
}

const struct tls_name *tls_name_find(enum tls_name_kind kind, const char *text, size_t length)
{
    size_t count;
    const struct tls_name *names = tls_names(kind, &count);

    for (size_t i = 0; i < count; i++) {
        if (is_spelled(names[i].name, text, length) || is_spelled(names[i].aliases[0], text, length) ||
            is_spelled(names[i].aliases[1], text, length))
            return &names[i];
    }
    return NULL;
}

struct tls_choice tls_choice_in_force(const struct tls_choices *choices, enum tls_name_kind kind)
{
    struct tls_choice choice = choices->of[kind];
    size_t count;
    const struct tls_name *names = tls_names(kind, &count);

    if (choice.count)
        return choice;
    for (size_t i = 0; i < count && choice.count < TLS_CHOICE_MAX; i++) {
        if (!names[i].refusal)
            choice.ids[choice.count++] = names[i].id;
    }
    return choice;
}

static const char *name_of(enum tls_name_kind kind, uint16_t id)
{
    size_t count, at = 0;
    const struct tls_name *names = tls_names(kind, &count);

    while (at + 1 < count && names[at].id != id)
        at++;
    return names[at].name;
}

void tls_choice_format(enum tls_name_kind kind, const struct tls_choice *choice, const char *separator,
                       char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < choice->count && length < size; i++) {
        int written =
            snprintf(text + length, size - length, "%s%s", i ? separator : "", name_of(kind, choice->ids[i]));
        length += written > 0 ? (size_t)written : 0;
    }
}

bool tls_choices_equal(const struct tls_choices *a, const struct tls_choices *b)
{
    for (enum tls_name_kind kind = 0; kind < TLS_NAME_KINDS; kind++) {
        if (a->of[kind].count != b->of[kind].count ||
            memcmp(a->of[kind].ids, b->of[kind].ids, a->of[kind].count * sizeof a->of[kind].ids[0]) != 0)
            return false;
    }
    return true;
}
