/* The speed of a verdict on an identity. Usage: peer_policy [seconds per line] */
#include "trust/peer_policy.h"
#include "micro/measure.h"

enum { VERDICTS = 1000, RULES = 32 };

struct subject {
    struct peer_policy policy;
    struct identity identity;
    unsigned allowed;
};

static void judge(void *argument)
{
    struct subject *subject = argument;

    for (unsigned i = 0; i < VERDICTS; i++)
        subject->allowed += peer_policy_judge(&subject->policy, &subject->identity) == PEER_RULE_YES;
}

static void add(struct subject *subject, enum peer_rule_kind kind, const char *value)
{
    struct fault fault;

    if (!peer_policy_add(&subject->policy, kind, value, &fault))
        abort();
}

int main(int count, char **arguments)
{
    double seconds = measure_seconds(count, arguments);
    char uri_text[] = "spiffe://example.net/ns/logging/sa/agent-17", *uri = uri_text;
    char dns_text[] = "agent-17.logging.example.net", *dns = dns_text;
    struct subject subject = { .identity = { .uri = { .count = 1, .values = &uri },
                                             .dns = { .count = 1, .values = &dns } } };
    struct measure measure = { "a SPIFFE ID, one rule with a wildcard", judge, &subject, VERDICTS, 0 };

    add(&subject, PEER_RULE_URI, "spiffe://example.net/ns/logging/sa/*");
    measure_run(&measure, seconds);
    peer_policy_deinit(&subject.policy);
    subject.policy = (struct peer_policy) { 0 };
    for (unsigned i = 0; i < RULES - 1; i++) {
        char name[64];
        snprintf(name, sizeof name, "*.team-%u.example.net", i);
        add(&subject, PEER_RULE_DNS, name);
    }
    add(&subject, PEER_RULE_DNS, "*.logging.example.net");
    measure.name = "a DNS name, the last of 32 rules with wildcards";
    measure_run(&measure, seconds);
    peer_policy_deinit(&subject.policy);
    return subject.allowed == 0;
}
