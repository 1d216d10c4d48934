#include "options_spiffe.h"

#include "wire/address.h"

#include <stdlib.h>
#include <string.h>

#define TLS_FIELD(side, field)                                                                               \
    (CONFIG_FIELD(tls) + (side) * sizeof(struct config_tls) + offsetof(struct config_tls, field))

static const char variable[] = "SPIFFE_ENDPOINT_SOCKET"; /* SPIFFE Workload Endpoint, 4 */

/* unix:PATH, or an IP address with a port (SPIFFE Workload Endpoint, 4). */
static bool socket_check(const char *text, struct fault *fault)
{
    struct socket_address unused;
    struct address address;

    bool is_parsed = address_parse_dialled(&address, text, fault);
    if (!is_parsed && (strncmp(text, "unix:", 5) == 0 || strchr(text, '@')))
        return false; /* this fault says more, and shows no password */
    if (!is_parsed || (!address.is_unix && !address_to_socket(&address, &unused))) {
        fault_set(fault, "\"%s\": expected unix:PATH, or tcp:// with an IP address and a port", text);
        return false;
    }
    return true;
}

/* NULL: the mistake is told. */
static const char *socket_of(const struct config_check *check, size_t field, const char *given)
{
    bool is_env = strcmp(given, "env") == 0;
    const char *socket = is_env ? getenv(variable) : given;
    struct fault fault;

    if (!svid_is_built_in()) {
        config_wrong(check, field, "husk is built without libnghttp2 and libprotobuf-c");
        return NULL;
    }
    if (!socket || !*socket) {
        config_wrong(check, field, "env: the environment variable %s is not set", variable);
        return NULL;
    }
    if (socket_check(socket, &fault))
        return socket;
    if (is_env)
        fault_wrap(&fault, "%s", variable);
    config_wrong_value(check, field, fault.text);
    return NULL;
}

/* What the Workload API replaces. */
static void files_refuse(enum side side, const struct config_check *check)
{
    const size_t replaced[] = { TLS_FIELD(side, cert_file),       TLS_FIELD(side, key_file),
                                TLS_FIELD(side, ca_file),         TLS_FIELD(side, passphrase_env),
                                TLS_FIELD(side, passphrase_file), TLS_FIELD(side, directory),
                                TLS_FIELD(side, keystore) };

    if (check->config->tls[side].certificates.count)
        config_wrong_item(check, TLS_FIELD(side, certificates),
                          &check->config->tls[side].certificates.items[0], CONFIG_NONE,
                          "cannot be combined with %s",
                          config_name(check->config, TLS_FIELD(side, spiffe_socket), 0).text);
    for (unsigned i = 0; i < sizeof replaced / sizeof replaced[0]; i++) {
        if (config_is_given(check->config, replaced[i]))
            config_wrong(check, replaced[i], "cannot be combined with %s",
                         config_name(check->config, TLS_FIELD(side, spiffe_socket), 0).text);
    }
    if (side != SIDE_UPSTREAM)
        return;
    if (check->config->allow_cn_as_name)
        config_wrong(check, CONFIG_FIELD(allow_cn_as_name), "cannot be combined with %s",
                     config_name(check->config, TLS_FIELD(side, spiffe_socket), 0).text);
    if (check->config->tls[side].insecure)
        config_wrong(check, TLS_FIELD(side, insecure), "cannot be combined with %s",
                     config_name(check->config, TLS_FIELD(side, spiffe_socket), 0).text);
}

/* Which certificate is taken has a meaning only where the Workload API gives several. */
static void choice_check(enum side side, const struct config_check *check)
{
    const size_t choices[] = { TLS_FIELD(side, spiffe_id), TLS_FIELD(side, spiffe_hint) };

    for (unsigned i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        if (config_is_given(check->config, choices[i]))
            config_wrong(check, choices[i], "requires %s",
                         config_name(check->config, TLS_FIELD(side, spiffe_socket), 0).text);
    }
}

static void id_check(enum side side, const struct config_check *check)
{
    const char *id = check->config->tls[side].spiffe_id;
    char domain[SPIFFE_DOMAIN_BYTES];
    struct fault fault;

    if (!id || spiffe_id_read(id, domain))
        return;
    fault_set(&fault, "\"%.200s\" is not the SPIFFE ID of a workload: expected spiffe://DOMAIN/PATH", id);
    config_wrong_value(check, TLS_FIELD(side, spiffe_id), fault.text);
}

void options_spiffe_set(struct svid_source *source, enum side side, const struct config_check *check)
{
    const struct config_tls *tls = &check->config->tls[side];

    id_check(side, check);
    if (!tls->spiffe_socket) {
        if (!config_is_wrong(check->config, TLS_FIELD(side, spiffe_socket)))
            choice_check(side, check);
        return;
    }
    files_refuse(side, check);
    *source = (struct svid_source) {
        .socket = socket_of(check, TLS_FIELD(side, spiffe_socket), tls->spiffe_socket),
        .spiffe_id = tls->spiffe_id,
        .hint = tls->spiffe_hint,
    };
}
