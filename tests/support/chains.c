#include "support/chains.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <openssl/nid.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static struct pki_pair *find(struct chains *chains, const char *name)
{
    for (size_t i = 0; i < chains->count; i++) {
        if (strcmp(chains->names[i], name) == 0)
            return &chains->pairs[i];
    }
    fail_msg("no certificate %s", name);
    return NULL;
}

/* What a certificate is made of, while its properties are read. */
struct order {
    struct pki_profile profile;
    EVP_PKEY *key;
    char constraint[128];
};

static EVP_PKEY *ed25519_key_new(void)
{
    static const uint8_t seed[32] = { 7 };

    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
}

static int take_key(struct order *order, const char *word)
{
    static const struct {
        const char *word;
        int rsa_bits, curve;
    } keys[] = { { "rsa1024", 1024, 0 },
                 { "rsa2048", 2048, 0 },
                 { "p224", 0, NID_secp224r1 },
                 { "p384", 0, NID_secp384r1 },
                 { "p521", 0, NID_secp521r1 } };

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(word, keys[i].word) == 0) {
            order->key = keys[i].curve ? pki_ec_key_new(keys[i].curve) : pki_rsa_key_new(keys[i].rsa_bits);
            return 1;
        }
    }
    if (strcmp(word, "ed25519") != 0)
        return 0;
    order->key = ed25519_key_new();
    return 1;
}

static int take_text(struct order *order, struct chains *chains, const char *word)
{
    struct pki_profile *profile = &order->profile;

    if (strncmp(word, "cn:", 3) == 0) {
        profile->subject[0].bytes = word + 3;
    } else if (strncmp(word, "dns:", 4) == 0) {
        profile->alternatives[0] = (struct pki_name) { GEN_DNS, word + 4, 0 };
    } else if (strncmp(word, "key:", 4) == 0) {
        order->key = find(chains, word + 4)->key;
        EVP_PKEY_up_ref(order->key);
    } else if (strncmp(word, "within:", 7) == 0) {
        snprintf(order->constraint, sizeof order->constraint, "critical,permitted;DNS:%s", word + 7);
        profile->name_constraints = order->constraint;
    } else {
        return 0;
    }
    return 1;
}

static void take_property(struct order *order, struct chains *chains, const char *word)
{
    struct pki_profile *profile = &order->profile;

    if (take_text(order, chains, word) || take_key(order, word))
        return;
    if (strcmp(word, "ca") == 0)
        profile->is_ca = 1;
    else if (strcmp(word, "expired") == 0)
        profile->not_before = PKI_YEAR_2000 - 1, profile->not_after = PKI_YEAR_2000;
    else if (strcmp(word, "future") == 0)
        profile->not_before = PKI_YEAR_2099 - 1, profile->not_after = PKI_YEAR_2099;
    else if (strcmp(word, "client") == 0)
        profile->extended_key_usage = "clientAuth";
    else if (strcmp(word, "server") == 0)
        profile->extended_key_usage = "serverAuth";
    else if (strcmp(word, "anyuse") == 0)
        profile->extended_key_usage = "anyExtendedKeyUsage";
    else if (strcmp(word, "noid") == 0)
        profile->has_no_key_identifiers = 1;
    else if (strcmp(word, "bare") == 0)
        profile->basic_constraints = "";
    else if (strcmp(word, "flat") == 0)
        profile->basic_constraints = "critical,CA:TRUE,pathlen:0";
    else if (strcmp(word, "nosign") == 0)
        profile->key_usage = "critical,digitalSignature";
    else if (strcmp(word, "cansign") == 0)
        profile->key_usage = "critical,keyCertSign";
    else if (strcmp(word, "odd") == 0)
        profile->has_unknown_critical_extension = 1;
    else if (strcmp(word, "ip") == 0)
        profile->alternatives[1] = profile->alternatives[0],
        profile->alternatives[0] = (struct pki_name) { GEN_IPADD, "\xc0\x00\x02\x01", 4 };
    else if (strcmp(word, "within-ip") == 0)
        profile->name_constraints = "critical,permitted;IP:192.0.2.0/255.255.255.0";
    else if (EVP_get_digestbyname(word))
        profile->digest = EVP_get_digestbyname(word);
    else
        fail_msg("no property %s", word);
}

static void make_certificate(struct chains *chains, char *word)
{
    struct order order = { 0 };
    char *properties = strchr(word, '+'), *rest = NULL;

    if (properties)
        *properties++ = '\0';
    char *issuer = strchr(word, '<');
    if (issuer)
        *issuer++ = '\0';
    order.profile.subject[0] = (struct pki_name) { NID_commonName, word, 0 };
    for (char *one = properties ? strtok_r(properties, "+", &rest) : NULL; one;
         one = strtok_r(NULL, "+", &rest))
        take_property(&order, chains, one);
    assert_true(chains->count < CHAINS_CERTIFICATES_MAX);
    struct pki_pair made = pki_issue_for(order.key ? order.key : pki_key_new(), &order.profile,
                                         issuer ? find(chains, issuer) : NULL);
    chains->names[chains->count] = word;
    chains->pairs[chains->count++] = made;
}

void chains_make(struct chains *chains, const char *recipe)
{
    char *rest = NULL;
    STACK_OF(X509) *filed = NULL;

    *chains = (struct chains) { .trusted = sk_X509_new_null(), .shown = sk_X509_new_null() };
    assert_true(strlen(recipe) < sizeof chains->recipe);
    strcpy(chains->recipe, recipe);
    for (char *word = strtok_r(chains->recipe, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (strcmp(word, "trust") == 0)
            filed = chains->trusted;
        else if (strcmp(word, "show") == 0)
            filed = chains->shown;
        else if (filed)
            assert_true(sk_X509_push(filed, find(chains, word)->certificate));
        else
            make_certificate(chains, word);
    }
    assert_true(sk_X509_num(chains->trusted) && sk_X509_num(chains->shown));
}

void chains_free(struct chains *chains)
{
    for (size_t i = 0; i < chains->count; i++)
        pki_pair_free(&chains->pairs[i]);
    sk_X509_free(chains->trusted);
    sk_X509_free(chains->shown);
}
