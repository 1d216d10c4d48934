/* Any bytes as the answer of a SPIFFE Workload API. */
#include "trust/svid.h"

#include <openssl/x509.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void expect(bool right)
{
    if (!right)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct svid_message message = { bytes, length };
    const struct svid_source source = { .socket = "unix:/agent.sock" };
    const struct revocation_options lists = { 0 };
    struct fault fault = { .text = "" };
    struct svid svid = { 0 };
    bool is_read = svid_read(&svid, &message, &source, &lists, &fault);

    expect(is_read == (fault.text[0] == '\0'));
    if (is_read)
        expect(svid.key && sk_X509_num(svid.chain) > 0 && sk_X509_num(svid.cas) > 0 && svid.revocation &&
               svid_bundles_own_domain(svid.bundles)[0]);
    svid_deinit(&svid);
    return 0;
}
