#include "runtime/end_hint.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEAKS(name) (UINT32_C(1) << SPOKEN_##name)
#define ANYTHING     UINT32_MAX /* the protocol does not matter */
/* Protocols that no Forward input speaks. */
#define NOT_OF_AN_INPUT                                                                                      \
    ~(SPEAKS(HELO) | SPEAKS(FORWARD) | SPEAKS(ACK) | SPEAKS(LINK) | SPEAKS(JSON) | SPEAKS(UNCLEAR) |         \
      SPEAKS(NOTHING))

_Static_assert(SPOKEN_COUNT <= 32, "a protocol is a bit of `spoken`");

struct row {
    enum side side;
    enum { OVER_PLAINTEXT = 1 << END_PLAINTEXT, OVER_TLS = 1 << END_TLS, OVER_ANY = 3 } transport;
    enum end_reason reason;
    uint32_t spoken; /* the protocols that the row fits, as bits */
    const char *hint;
};

/* ---- texts that several rows use ---- */

#define AGENT_WITHOUT_TLS                                                                                    \
    "the peer sends plaintext, and --listen takes TLS: turn on TLS with a client certificate at the peer, "  \
    "or let the peer send to husk client"
#define AGENT_WITH_TLS                                                                                       \
    "the peer begins TLS, and --listen takes plaintext: turn off TLS at the peer, or let the peer connect "  \
    "to husk server"
#define HTTP_AT_LISTEN                                                                                       \
    "an HTTP client uses the address of --listen: /live, /ready and /metrics are at the address of --admin"
#define PROXY_HEADER                                                                                         \
    "a load balancer puts the header of the PROXY protocol before the data, and husk does not read this "    \
    "header: turn the header off at the load balancer"
#define NOT_THE_LISTEN_PROTOCOL                                                                              \
    "--listen takes Forward: let the peer use another port, or set --protocol tcp on each husk between the " \
    "peer and the aggregator"
#define AGENT_WITHOUT_KEY                                                                                    \
    "the agent does not do the shared-key handshake: set the shared key at the agent, or remove "            \
    "--accept-key-*"
#define AGGREGATOR_WITH_KEY                                                                                  \
    "the aggregator asks for a shared key, and husk has none: set --shared-key-env, --shared-key-file, or "  \
    "--shared-key-empty for users with an empty key"
#define UPSTREAM_WITH_TLS                                                                                    \
    "the port of --upstream speaks TLS, and husk sends plaintext: set --upstream to a port without TLS, or " \
    "let husk use TLS on this side (husk client, or tls.upstream in a file)"
#define UPSTREAM_IS_HTTP                                                                                     \
    "the port of --upstream speaks HTTP, perhaps an admin port: set --upstream to the Forward input"
#define UPSTREAM_IS_OTHER                                                                                    \
    "the port of --upstream is no Forward input: set --upstream to another port, or set --protocol tcp for " \
    "another protocol"
#define UPSTREAM_WITHOUT_KEY                                                                                 \
    "the aggregator does not ask for a shared key: remove --shared-key-*, or set the shared key at the "     \
    "aggregator"
#define UPSTREAM_WITHOUT_TLS                                                                                 \
    "the port of --upstream takes plaintext, and husk begins TLS: set --upstream to a port with TLS "        \
    "(husk server, or the TLS input of the aggregator)"
#define UPSTREAM_SILENT_IN_TLS                                                                               \
    "the peer has sent nothing: if the port of --upstream takes plaintext, set --upstream to a port with "   \
    "TLS (husk server, or the TLS input of the aggregator)"
#define UPSTREAM_SILENT                                                                                      \
    "no upstream has ever answered: if the port of --upstream speaks TLS, set --upstream to a port without " \
    "TLS, or let husk use TLS on this side (husk client, or tls.upstream in a file)"

#define LIST_MISSING                                                                                         \
    "--crl must have a fresh revocation list of each CA of the chain, or --revocation-policy warn accepts "  \
    "the peer"

#define CERTIFICATE_ENDED                                                                                    \
    "renew the certificate of the peer; if it has not ended, or not begun, compare the clocks of both "      \
    "machines"

#define DOWN SIDE_DOWNSTREAM
#define UP   SIDE_UPSTREAM

/* end_hint_of takes the first row that fits. */
static const struct row rows[] = {
    /* ---- agents: TLS ---- */
    { DOWN, OVER_TLS, END_NOT_TLS, SPEAKS(HTTP_REQUEST), HTTP_AT_LISTEN },
    { DOWN, OVER_TLS, END_NOT_TLS, SPEAKS(PROXY), PROXY_HEADER },
    { DOWN, OVER_TLS, END_NOT_TLS, ~SPEAKS(TLS), AGENT_WITHOUT_TLS },
    { DOWN, OVER_TLS, END_HANDSHAKE_TIMEOUT, SPEAKS(NOTHING),
      "the peer has sent nothing: if it is an agent without TLS that has a shared key, turn on TLS with a "
      "client certificate at the peer, or let the peer send to husk client" },
    { DOWN, OVER_TLS, END_CERTIFICATE_MISSING, ANYTHING,
      "--listen takes only peers with a certificate of --ca: set certificate and key at the peer" },
    { DOWN, OVER_TLS, END_TLS_REJECTED, ANYTHING,
      "the peer sent the alert in detail: if the alert is about a certificate, the CA file and the expected "
      "server name of the peer must fit the certificate of --cert; the log of the peer has the cause" },

    /* ---- agents: Forward ---- */
    { DOWN, OVER_PLAINTEXT, END_NOT_FORWARD, SPEAKS(TLS), AGENT_WITH_TLS },
    { DOWN, OVER_ANY, END_NOT_FORWARD, SPEAKS(HTTP_REQUEST), HTTP_AT_LISTEN },
    { DOWN, OVER_ANY, END_NOT_FORWARD, SPEAKS(PROXY), PROXY_HEADER },
    { DOWN, OVER_ANY, END_NOT_FORWARD, SPEAKS(LINK),
      "the peer is a husk that speaks the link, but ALPN did not announce it: set --upstream-link auto at "
      "the peer" },
    { DOWN, OVER_ANY, END_NOT_FORWARD, ~SPEAKS(FORWARD), NOT_THE_LISTEN_PROTOCOL },
    { DOWN, OVER_ANY, END_JSON, SPEAKS(JSON),
      "set --protocol tcp on each husk between the agent and the aggregator, or let the agent send "
      "MessagePack" },

    /* ---- agents: shared key ---- */
    { DOWN, OVER_PLAINTEXT, END_KEY_MALFORMED, SPEAKS(TLS), AGENT_WITH_TLS },
    { DOWN, OVER_ANY, END_KEY_MALFORMED, SPEAKS(HTTP_REQUEST), HTTP_AT_LISTEN },
    { DOWN, OVER_ANY, END_KEY_MALFORMED, SPEAKS(PROXY), PROXY_HEADER },
    { DOWN, OVER_ANY, END_KEY_MALFORMED, SPEAKS(LINK),
      "the peer is a husk without a shared key: set --shared-key-env or --shared-key-file at the peer, or "
      "remove --accept-key-* at this husk" },
    { DOWN, OVER_ANY, END_KEY_MALFORMED, SPEAKS(FORWARD) | SPEAKS(JSON), AGENT_WITHOUT_KEY },
    { DOWN, OVER_ANY, END_KEY_MALFORMED, ~SPEAKS(PING), NOT_THE_LISTEN_PROTOCOL },
    { DOWN, OVER_ANY, END_KEY_TIMEOUT, SPEAKS(NOTHING), AGENT_WITHOUT_KEY },
    { DOWN, OVER_ANY, END_KEY_WRONG, ANYTHING,
      "the shared key of the agent differs from the key of --accept-key-env or --accept-key-file, or is not "
      "empty as --accept-key-empty says" },
    { DOWN, OVER_ANY, END_KEY_USER, ANYTHING,
      "--accept-user must name the user of the agent, with the same password" },

    /* ---- aggregators: the address ---- */
    { UP, OVER_ANY, END_UNRESOLVED, ANYTHING,
      "--upstream must name a host that DNS knows; see --dns-servers" },
    { UP, OVER_ANY, END_CONNECT_REFUSED, ANYTHING,
      "no program listens on the port of --upstream: the Forward input of the aggregator, or --listen of "
      "husk server, must have this address" },

    /* ---- aggregators: TLS ---- */
    { UP, OVER_TLS, END_NOT_TLS, SPEAKS(HTTP_RESPONSE) | SPEAKS(HTTP_REQUEST), UPSTREAM_IS_HTTP },
    { UP, OVER_TLS, END_NOT_TLS, SPEAKS(HELO),
      "the port of --upstream takes plaintext and asks for a shared key: set --upstream to a port with TLS "
      "(husk server, or the TLS input of the aggregator)" },
    { UP, OVER_TLS, END_NOT_TLS, ~SPEAKS(TLS), UPSTREAM_WITHOUT_TLS },
    { UP, OVER_TLS, END_HANDSHAKE_TIMEOUT, SPEAKS(NOTHING), UPSTREAM_SILENT_IN_TLS },
    { UP, OVER_TLS, END_HANDSHAKE_CLOSED, SPEAKS(NOTHING), UPSTREAM_SILENT_IN_TLS },
    { UP, OVER_TLS, END_TLS_REJECTED, ANYTHING,
      "the peer sent the alert in detail: if the alert is about a certificate, the CA file of the peer, or "
      "an --allow-* setting of husk server, must admit the certificate of --cert; the log of the peer has "
      "the cause" },
    { UP, OVER_TLS, END_NOT_ALLOWED, ANYTHING,
      "give the server a certificate with a name that --allow-server-* accepts, or set --allow-server-* to a "
      "name in detail" },
    { UP, OVER_TLS, END_CERTIFICATE_NAME, ANYTHING,
      "set --server-name to a name in the certificate, or give the server a certificate for the host of "
      "--upstream" },

    /* ---- aggregators: Forward ---- */
    { UP, OVER_ANY, END_BAD_ACK, SPEAKS(HELO), AGGREGATOR_WITH_KEY },
    { UP, OVER_ANY, END_LINK_ERROR, SPEAKS(HELO), AGGREGATOR_WITH_KEY },
    { UP, OVER_PLAINTEXT, END_BAD_ACK, SPEAKS(TLS), UPSTREAM_WITH_TLS },
    { UP, OVER_ANY, END_BAD_ACK, SPEAKS(HTTP_RESPONSE), UPSTREAM_IS_HTTP },
    { UP, OVER_ANY, END_BAD_ACK, NOT_OF_AN_INPUT, UPSTREAM_IS_OTHER },
    { UP, OVER_PLAINTEXT, END_RESET, SPEAKS(NOTHING), UPSTREAM_SILENT },
    { UP, OVER_PLAINTEXT, END_UPSTREAM_CLOSED, SPEAKS(NOTHING), UPSTREAM_SILENT },

    /* ---- aggregators: shared key ---- */
    { UP, OVER_PLAINTEXT, END_KEY_MALFORMED, SPEAKS(TLS), UPSTREAM_WITH_TLS },
    { UP, OVER_ANY, END_KEY_MALFORMED, SPEAKS(HTTP_RESPONSE), UPSTREAM_IS_HTTP },
    { UP, OVER_ANY, END_KEY_MALFORMED, SPEAKS(LINK) | SPEAKS(ACK), UPSTREAM_WITHOUT_KEY },
    { UP, OVER_ANY, END_KEY_MALFORMED, NOT_OF_AN_INPUT, UPSTREAM_IS_OTHER },
    { UP, OVER_PLAINTEXT, END_KEY_TIMEOUT, SPEAKS(NOTHING),
      "the aggregator sends no HELO: if it has no shared key, remove --shared-key-*; if the port of "
      "--upstream speaks TLS, set --upstream to a port without TLS" },
    { UP, OVER_TLS, END_KEY_TIMEOUT, SPEAKS(NOTHING), UPSTREAM_WITHOUT_KEY },
    { UP, OVER_PLAINTEXT, END_KEY_REJECTED, SPEAKS(NOTHING), UPSTREAM_SILENT },
    { UP, OVER_ANY, END_KEY_REJECTED, ANYTHING,
      "--shared-key-env or --shared-key-file must have the shared key of the aggregator; if the aggregator "
      "asks for a user, --username and --password-env must have a user of the aggregator" },
    { UP, OVER_ANY, END_KEY_WRONG, ANYTHING,
      "the shared key of the aggregator differs from the key of --shared-key-env or --shared-key-file, or is "
      "not empty as --shared-key-empty says" },

    /* ---- both ---- */
    { DOWN, OVER_TLS, END_TLS_VERSION, ANYTHING, "--tls-min and --tls-max limit the TLS versions of husk" },
    { UP, OVER_TLS, END_TLS_VERSION, ANYTHING, "--tls-min and --tls-max limit the TLS versions of husk" },
    { DOWN, OVER_TLS, END_REVOCATION_UNKNOWN, ANYTHING, LIST_MISSING },
    { UP, OVER_TLS, END_REVOCATION_UNKNOWN, ANYTHING, LIST_MISSING },
    { DOWN, OVER_TLS, END_CERTIFICATE_EXPIRED, ANYTHING, CERTIFICATE_ENDED },
    { UP, OVER_TLS, END_CERTIFICATE_EXPIRED, ANYTHING, CERTIFICATE_ENDED },
    { DOWN, OVER_TLS, END_CERTIFICATE_UNKNOWN_CA, ANYTHING,
      "--ca must have the CA that issued the certificate of the peer" },
    { UP, OVER_TLS, END_CERTIFICATE_UNKNOWN_CA, ANYTHING,
      "--ca must have the CA that issued the certificate of the peer" },
};

static bool row_fits(const struct row *row, const struct end_facts *facts)
{
    return row->side == facts->side && row->reason == facts->reason &&
           row->transport & 1U << facts->transport && row->spoken & UINT32_C(1) << facts->spoken;
}

/* The protocol does not matter: the peer has sent a chain. */
static const char missing_issuer[] =
    "--ca must have the CA that issued the certificate of the peer; if this CA is an intermediate, it is "
    "missing: put it into the certificate file of the peer, after the certificate of the peer";

static const char access_denied[] =
    "the server does not admit the certificate of --cert: see the log of the server; a husk server writes a "
    "line with reason=not_allowed, and an --allow-* setting must name the certificate";

struct end_hint end_hint_of(const struct end_facts *facts)
{
    if (facts->side == SIDE_UPSTREAM && facts->reason == END_TLS_REJECTED && facts->is_denied)
        return (struct end_hint) { access_denied, NULL };
    if (facts->reason == END_CERTIFICATE_UNKNOWN_CA && facts->lacks_issuer)
        return (struct end_hint) { missing_issuer, NULL };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool names_protocol = rows[i].spoken != ANYTHING && facts->spoken != SPOKEN_UNCLEAR;
        if (row_fits(&rows[i], facts))
            return (struct end_hint) { rows[i].hint, names_protocol ? spoken_name(facts->spoken) : NULL };
    }
    return (struct end_hint) { 0 };
}
