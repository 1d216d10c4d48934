#include "commands/pki_contents_text.h"

#include <inttypes.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

static void text_print(FILE *out, const char *name, const char *text)
{
    if (text[0])
        fprintf(out, "    %-11s%s\n", name, text);
}

static void days_print(FILE *out, int64_t until, int64_t now)
{
    if (until < now)
        fprintf(out, "expired %" PRId64 " days ago", (now - until) / DAY_SECONDS);
    else
        fprintf(out, "%" PRId64 " days left", (until - now) / DAY_SECONDS);
}

static void validity_print(const struct certificate_facts *facts, int64_t now, FILE *out)
{
    char from[CERTIFICATE_TIME_BYTES], until[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(facts->not_before, from);
    certificate_describe_time(facts->not_after, until);
    fprintf(out, "    %-11s%s to %s, ", "valid", from, until);
    if (facts->not_before > now)
        fputs("not valid yet", out);
    else
        days_print(out, facts->not_after, now);
    fputc('\n', out);
}

static void certificate_print(const struct contents_item *item, int64_t now, FILE *out)
{
    fprintf(out, "  certificate %s%s\n", item->facts.name, item->facts.is_ca ? ", a CA" : "");
    text_print(out, "names", item->names);
    text_print(out, "issuer", item->facts.is_self_issued ? "itself" : item->facts.issuer);
    validity_print(&item->facts, now, out);
    text_print(out, "use", item->facts.usages);
    fprintf(out, "    %-11s%s, signed with %s\n", "key", item->key, item->signature);
    text_print(out, "weakness", item->facts.flaw);
    text_print(out, "serial", item->serial);
    text_print(out, "sha256", item->sha256);
    text_print(out, "spki", item->spki);
}

static void request_print(const struct contents_item *item, FILE *out)
{
    fprintf(out, "  request for %s\n", item->facts.name);
    text_print(out, "names", item->names);
    text_print(out, "key", item->key);
    text_print(out, "spki", item->spki);
}

static void crl_print(const struct contents_item *item, int64_t now, FILE *out)
{
    char from[CERTIFICATE_TIME_BYTES], until[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(item->this_update, from);
    certificate_describe_time(item->next_update, until);
    fprintf(out, "  revocation list of %s\n    %-11s%zu\n    %-11s%s\n", item->facts.issuer, "revoked",
            item->revoked, "made", from);
    if (item->next_update) {
        fprintf(out, "    %-11s%s, ", "next", until);
        days_print(out, item->next_update, now);
        fputc('\n', out);
    }
    text_print(out, "number", item->serial);
}

static void item_print(const struct contents_item *item, int64_t now, FILE *out)
{
    switch (item->kind) {
    case CONTENTS_CERTIFICATE:
        certificate_print(item, now, out);
        return;
    case CONTENTS_KEY:
        fprintf(out, "  private key%s%s\n", item->is_encrypted ? ", encrypted" : ": ",
                item->is_encrypted ? "" : item->key);
        text_print(out, "spki", item->spki);
        return;
    case CONTENTS_REQUEST:
        request_print(item, out);
        return;
    case CONTENTS_CRL:
        crl_print(item, now, out);
        return;
    case CONTENTS_OTHER:
        fprintf(out, "  block \"%s\"\n", item->label);
        return;
    }
}

void pki_contents_text_print(const char *source, const struct contents *contents, int64_t now, FILE *out)
{
    fprintf(out, "%s\n", source);
    for (size_t i = 0; i < contents->count; i++)
        item_print(&contents->items[i], now, out);
}
