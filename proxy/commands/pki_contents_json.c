#include "commands/pki_contents_json.h"

#include <string.h>
#include <yajl/yajl_gen.h>

enum { DAY_SECONDS = 24 * 60 * 60 };

/* The generator itself. */
static yajl_gen gen(struct pki_contents_json *json)
{
    return (yajl_gen)json;
}

static void text_put(yajl_gen out, const char *text)
{
    (void)yajl_gen_string(out, (const unsigned char *)text, strlen(text));
}

/* A text that is empty is left out. */
static void pair_put(yajl_gen out, const char *key, const char *text)
{
    if (!text[0])
        return;
    text_put(out, key);
    text_put(out, text);
}

static void number_put(yajl_gen out, const char *key, int64_t number)
{
    text_put(out, key);
    (void)yajl_gen_integer(out, number);
}

static void flag_put(yajl_gen out, const char *key, bool is_set)
{
    text_put(out, key);
    (void)yajl_gen_bool(out, is_set);
}

static void time_put(yajl_gen out, const char *key, int64_t seconds)
{
    char text[CERTIFICATE_TIME_BYTES];

    certificate_describe_time(seconds, text);
    pair_put(out, key, text);
}

static void certificate_put(yajl_gen out, const struct contents_item *item, int64_t now)
{
    const struct certificate_facts *facts = &item->facts;

    pair_put(out, "subject", facts->name);
    pair_put(out, "issuer", facts->issuer);
    pair_put(out, "names", item->names);
    time_put(out, "not_before", facts->not_before);
    time_put(out, "not_after", facts->not_after);
    number_put(out, "days_left", (facts->not_after - now) / DAY_SECONDS);
    flag_put(out, "is_ca", facts->is_ca);
    flag_put(out, "is_self_issued", facts->is_self_issued);
    flag_put(out, "fits_client", facts->fits_client);
    flag_put(out, "fits_server", facts->fits_server);
    pair_put(out, "usages", facts->usages);
    pair_put(out, "weakness", facts->flaw);
    pair_put(out, "sha256", item->sha256);
}

static void item_put(yajl_gen out, const struct contents_item *item, int64_t now)
{
    static const char *const kinds[] = { [CONTENTS_CERTIFICATE] = "certificate",
                                         [CONTENTS_KEY] = "private key",
                                         [CONTENTS_REQUEST] = "request",
                                         [CONTENTS_CRL] = "revocation list",
                                         [CONTENTS_OTHER] = "other" };

    (void)yajl_gen_map_open(out);
    pair_put(out, "kind", kinds[item->kind]);
    if (item->line)
        number_put(out, "line", (int64_t)item->line);
    if (item->kind == CONTENTS_CERTIFICATE) {
        certificate_put(out, item, now);
    } else if (item->kind == CONTENTS_KEY) {
        flag_put(out, "is_encrypted", item->is_encrypted);
    } else if (item->kind == CONTENTS_REQUEST) {
        pair_put(out, "subject", item->facts.name);
        pair_put(out, "names", item->names);
    } else if (item->kind == CONTENTS_CRL) {
        pair_put(out, "issuer", item->facts.issuer);
        time_put(out, "this_update", item->this_update);
        if (item->next_update)
            time_put(out, "next_update", item->next_update);
        number_put(out, "revoked", (int64_t)item->revoked);
    }
    pair_put(out, "key", item->key);
    pair_put(out, "signature", item->signature);
    pair_put(out, item->kind == CONTENTS_CRL ? "number" : "serial", item->serial);
    pair_put(out, "spki", item->spki);
    pair_put(out, "label", item->label);
    (void)yajl_gen_map_close(out);
}

struct pki_contents_json *pki_contents_json_begin(void)
{
    yajl_gen out = yajl_gen_alloc(NULL);

    if (!out)
        return NULL;
    (void)yajl_gen_config(out, yajl_gen_beautify, 1);
    (void)yajl_gen_array_open(out);
    return (struct pki_contents_json *)out;
}

void pki_contents_json_put(struct pki_contents_json *json, const char *source,
                           const struct contents *contents, int64_t now)
{
    yajl_gen out = gen(json);

    (void)yajl_gen_map_open(out);
    pair_put(out, "source", source);
    text_put(out, "items");
    (void)yajl_gen_array_open(out);
    for (size_t i = 0; i < contents->count; i++)
        item_put(out, &contents->items[i], now);
    (void)yajl_gen_array_close(out);
    (void)yajl_gen_map_close(out);
}

void pki_contents_json_end(struct pki_contents_json *json, FILE *out)
{
    const unsigned char *text = NULL;
    size_t length = 0;

    (void)yajl_gen_array_close(gen(json));
    if (yajl_gen_get_buf(gen(json), &text, &length) == yajl_gen_status_ok)
        fwrite(text, 1, length, out);
    yajl_gen_free(gen(json));
}
