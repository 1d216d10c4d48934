/* proxy/control/reload.c: when files are loaded again, and what a failure changes. SIGHUP and the timers:
 * tests/scenario/test_reload.py. */
#include "control/reload.h"

#include "support/pki.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOUR_MS = 60 * 60 * 1000, MIXED_LOADS = 20 };

struct site {
    char directory[PKI_PATH_BYTES], cert[PKI_PATH_BYTES], key[PKI_PATH_BYTES], ca[PKI_PATH_BYTES];
    struct pki_pair authority;
    struct credentials_options credentials[SIDE_COUNT];
    struct shared_key_options keys[SIDE_COUNT];
    struct log log;
    struct reloads reloads;
    struct reload reload;
    unsigned loaded;          /* calls of on_loaded */
    struct credentials *seen; /* by the last call; borrowed */
};

static void on_loaded(void *owner)
{
    struct site *site = owner;

    site->loaded++;
    site->seen = site->reload.credentials[SIDE_UPSTREAM];
}

static void write_pair(struct site *site, int64_t not_after)
{
    const struct pki_profile profile = { .subject = { { NID_commonName, "husk", 0 } },
                                         .not_before = PKI_YEAR_2000,
                                         .not_after = not_after };
    struct pki_pair pair = pki_issue(&profile, &site->authority);

    pki_write_certificates(site->directory, "cert.pem", &pair.certificate, 1, site->cert);
    pki_write_key(site->directory, "key.pem", pair.key, site->key);
    pki_pair_free(&pair);
}

static struct reload_options options_of(struct site *site)
{
    return (struct reload_options) { .reloads = &site->reloads,
                                     .credentials = site->credentials,
                                     .keys = site->keys,
                                     .settle_timeout_ms = HOUR_MS,
                                     .retry_max_ms = 4000,
                                     .on_loaded = on_loaded,
                                     .owner = site };
}

/* The second look loads files that have changed. */
static void look_twice(struct site *site)
{
    reload_look(&site->reload);
    reload_look(&site->reload);
}

static void open_site(struct site *site)
{
    struct fault fault;

    *site = (struct site) { .authority = pki_issue_ca("ca") };
    pki_directory_make(site->directory);
    log_init(&site->log, open("/dev/null", O_WRONLY), LOG_ERROR, LOG_TEXT);
    pki_write_certificates(site->directory, "ca.pem", &site->authority.certificate, 1, site->ca);
    write_pair(site, PKI_YEAR_2099);
    site->credentials[SIDE_UPSTREAM] = (struct credentials_options) {
        .role = TLS_CLIENT,
        .cert_file = site->cert,
        .key_file = site->key,
        .ca_file = site->ca,
        .min_version = TLS_VERSION_1_2,
        .max_version = TLS_VERSION_1_3,
    };
    const struct reload_options options = options_of(site);
    if (!reload_open(&site->reload, &options, &site->log, &fault))
        fail_msg("%s", fault.text);
}

static void close_site(struct site *site)
{
    reload_close(&site->reload);
    close(site->log.fd);
    log_deinit(&site->log);
    pki_pair_free(&site->authority);
    pki_directory_remove(site->directory);
}

static void the_first_set_is_loaded_without_a_call(void **state)
{
    struct site site;

    (void)state;
    open_site(&site);
    assert_int_equal(site.loaded, 0);
    assert_non_null(site.reload.credentials[SIDE_UPSTREAM]);
    assert_null(site.reload.credentials[SIDE_DOWNSTREAM]);
    reload_look(&site.reload);
    reload_look(&site.reload);
    assert_int_equal(site.loaded, 0);
    close_site(&site);
}

static void the_second_look_at_a_change_publishes_a_new_set(void **state)
{
    struct site site;

    (void)state;
    open_site(&site);
    struct credentials *first = site.reload.credentials[SIDE_UPSTREAM];
    write_pair(&site, PKI_YEAR_2099 - 1);
    reload_look(&site.reload);
    assert_int_equal(site.loaded, 0);
    assert_ptr_equal(site.reload.credentials[SIDE_UPSTREAM], first);
    reload_look(&site.reload);
    assert_int_equal(site.loaded, 1);
    assert_int_equal(site.reload.succeeded, 1);
    assert_ptr_equal(site.seen, site.reload.credentials[SIDE_UPSTREAM]);
    assert_int_equal(credentials_validity(site.seen).leaf, PKI_YEAR_2099 - 1);
    reload_look(&site.reload);
    assert_int_equal(site.loaded, 1);
    close_site(&site);
}

static void a_set_that_fails_to_load_changes_nothing_and_is_counted_once(void **state)
{
    struct site site;

    (void)state;
    open_site(&site);
    struct credentials *first = site.reload.credentials[SIDE_UPSTREAM];
    pki_write(site.directory, "key.pem", "no key", site.key);
    for (int i = 0; i < 4; i++)
        reload_look(&site.reload);
    assert_int_equal(site.reload.failed, 1);
    assert_int_equal(site.reload.succeeded, 0);
    assert_int_equal(site.loaded, 0);
    assert_ptr_equal(site.reload.credentials[SIDE_UPSTREAM], first);
    close_site(&site);
}

static void retries_go_on_with_growing_pauses_until_the_set_is_loaded(void **state)
{
    static const uint64_t pauses_ms[] = { 2000, 4000, 4000, 4000 }; /* the first one, of 1 s, has begun */
    struct site site;

    (void)state;
    open_site(&site);
    reload_retry(&site.reload);
    assert_int_equal(site.loaded, 0); /* nothing has failed */
    pki_write(site.directory, "key.pem", "no key", site.key);
    look_twice(&site);
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        assert_int_equal(site.reload.state, RELOAD_RETRYING);
        assert_int_equal(site.reload.retry_ms, pauses_ms[i]);
        reload_retry(&site.reload);
    }
    assert_int_equal(site.reload.failed, 1);
    pki_write(site.directory, "cert.pem", "no certificate", site.cert);
    reload_retry(&site.reload);
    assert_int_equal(site.reload.failed, 2); /* another fault */
    write_pair(&site, PKI_YEAR_2099 - 1);
    reload_retry(&site.reload);
    assert_int_equal(site.reload.state, RELOAD_LOADED);
    assert_int_equal(site.loaded, 1);
    reload_retry(&site.reload);
    assert_int_equal(site.loaded, 1);
    close_site(&site);
}

static void new_files_begin_with_the_shortest_pause_again(void **state)
{
    struct site site;

    (void)state;
    open_site(&site);
    pki_write(site.directory, "key.pem", "no key", site.key);
    look_twice(&site);
    for (int i = 0; i < 3; i++)
        reload_retry(&site.reload);
    assert_int_equal(site.reload.retry_ms, 4000);
    pki_write(site.directory, "key.pem", "no key either", site.key);
    look_twice(&site);
    assert_int_equal(site.reload.retry_ms, 2000);
    close_site(&site);
}

static const char *key_in_use(struct site *site)
{
    static char text[64];
    struct shared_key *key = shared_key_slot_take(&site->reload.keys[SIDE_DOWNSTREAM]);

    snprintf(text, sizeof text, "%s", shared_key_handshake(key)->shared_key);
    shared_key_release(key);
    return text;
}

static void a_shared_key_is_part_of_the_set(void **state)
{
    struct site site;
    struct fault fault;
    char path[PKI_PATH_BYTES];

    (void)state;
    open_site(&site);
    reload_close(&site.reload);
    site.keys[SIDE_DOWNSTREAM] = (struct shared_key_options) {
        .setting = "accept-key",
        .file = pki_write(site.directory, "shared.key", "one\n", path),
        .hostname = "husk",
    };
    const struct reload_options options = options_of(&site);
    assert_true(reload_open(&site.reload, &options, &site.log, &fault));
    assert_string_equal(key_in_use(&site), "one");
    struct shared_key *held = shared_key_slot_take(&site.reload.keys[SIDE_DOWNSTREAM]);
    pki_write(site.directory, "shared.key", "second\n", path);
    look_twice(&site);
    assert_int_equal(site.loaded, 1);
    assert_string_equal(key_in_use(&site), "second");
    assert_string_equal(shared_key_handshake(held)->shared_key, "one"); /* of a handshake that is running */
    shared_key_release(held);
    write_pair(&site, PKI_YEAR_2099 - 1);
    pki_write(site.directory, "shared.key", "", path);
    struct credentials *before = site.reload.credentials[SIDE_UPSTREAM];
    look_twice(&site);
    assert_int_equal(site.loaded, 1);
    assert_ptr_equal(site.reload.credentials[SIDE_UPSTREAM], before);
    assert_string_equal(key_in_use(&site), "second");
    assert_non_null(strstr(site.reload.fault.text, "--accept-key"));
    close_site(&site);
}

static void one_bad_side_fails_the_whole_set(void **state)
{
    struct site site;
    char other[PKI_PATH_BYTES];
    struct fault fault;

    (void)state;
    open_site(&site);
    reload_close(&site.reload);
    site.credentials[SIDE_DOWNSTREAM] = site.credentials[SIDE_UPSTREAM];
    site.credentials[SIDE_UPSTREAM].cert_file = pki_write(site.directory, "other.pem", "none", other);
    const struct reload_options options = options_of(&site);
    assert_false(reload_open(&site.reload, &options, &site.log, &fault));
    assert_null(site.reload.credentials[SIDE_DOWNSTREAM]);
    assert_non_null(strstr(fault.text, "other.pem"));
    close_site(&site);
}

static void nothing_is_loaded_after_a_stop(void **state)
{
    struct site site;

    (void)state;
    open_site(&site);
    reload_stop(&site.reload);
    write_pair(&site, PKI_YEAR_2099 - 1);
    for (int i = 0; i < 3; i++)
        reload_look(&site.reload);
    assert_int_equal(site.loaded, 0);
    assert_int_equal(site.reload.succeeded + site.reload.failed, 0);
    close_site(&site);
}

static void another_set_is_adopted_with_its_options(void **state)
{
    struct shared_key_options keys[SIDE_COUNT] = { 0 };
    struct reload_options options;
    struct reload other;
    struct site site;
    struct fault fault;

    (void)state;
    open_site(&site);
    options = options_of(&site);
    options.keys = keys;
    keys[SIDE_DOWNSTREAM] =
        (struct shared_key_options) { .setting = "accept-key", .is_empty = true, .hostname = "husk" };
    assert_true(reload_open(&other, &options, &site.log, &fault));
    struct credentials *adopted = other.credentials[SIDE_UPSTREAM];
    reload_adopt(&site.reload, &other);
    reload_close(&other);
    assert_ptr_equal(site.reload.credentials[SIDE_UPSTREAM], adopted);
    assert_int_equal(site.loaded, 0);
    struct shared_key *key = shared_key_slot_take(&site.reload.keys[SIDE_DOWNSTREAM]);
    assert_string_equal(shared_key_handshake(key)->hostname, "husk");
    shared_key_release(key);

    /* Without a key on this side, the last one stays for workers that do not know that yet. */
    options.keys = site.keys;
    assert_true(reload_open(&other, &options, &site.log, &fault));
    reload_adopt(&site.reload, &other);
    reload_close(&other);
    shared_key_release(shared_key_slot_take(&site.reload.keys[SIDE_DOWNSTREAM]));
    write_pair(&site, PKI_YEAR_2099);
    look_twice(&site);
    assert_int_equal(site.loaded, 1);
    close_site(&site);
}

/* ---- routes with equal files ---- */

static struct credentials *set_of(const struct reload *reload)
{
    return reload->credentials[SIDE_UPSTREAM];
}

/* A second route, whose events count as those of the first. */
static void open_other(struct site *site, struct reload *other, const struct credentials_options *credentials)
{
    struct reload_options options = options_of(site);
    struct fault fault;

    options.credentials = credentials;
    if (!reload_open(other, &options, &site->log, &fault))
        fail_msg("%s", fault.text);
}

static void equal_files_are_loaded_once(void **state)
{
    struct site site;
    struct reload other, third;

    (void)state;
    open_site(&site);
    struct credentials_options credentials[SIDE_COUNT] = { 0 };
    credentials[SIDE_UPSTREAM] = site.credentials[SIDE_UPSTREAM];
    open_other(&site, &other, credentials);
    assert_ptr_equal(set_of(&other), set_of(&site.reload));
    struct credentials_options differing[SIDE_COUNT] = { 0 };
    differing[SIDE_UPSTREAM] = site.credentials[SIDE_UPSTREAM];
    differing[SIDE_UPSTREAM].allow_weak = true;
    open_other(&site, &third, differing);
    assert_ptr_not_equal(set_of(&third), set_of(&site.reload));
    reload_close(&third);
    reload_close(&site.reload); /* the set lives on with the second route */
    assert_int_equal(credentials_validity(set_of(&other)).leaf, PKI_YEAR_2099);
    reload_close(&other);
    close_site(&site);
}

static void changed_files_are_loaded_once_again(void **state)
{
    struct site site;
    struct reload other;

    (void)state;
    open_site(&site);
    open_other(&site, &other, site.credentials);
    struct credentials *before = credentials_share(set_of(&other));
    write_pair(&site, PKI_YEAR_2099 - 1);
    look_twice(&site);
    assert_ptr_not_equal(set_of(&site.reload), before);
    assert_ptr_equal(set_of(&other), before);
    reload_look(&other);
    reload_look(&other);
    assert_ptr_equal(set_of(&other), set_of(&site.reload));
    assert_int_equal(other.succeeded, 1);
    credentials_release(before);
    reload_close(&other);
    close_site(&site);
}

static void on_request_files_are_loaded_once_although_they_look_unchanged(void **state)
{
    struct site site;
    struct reload other;

    (void)state;
    open_site(&site);
    open_other(&site, &other, site.credentials);
    struct credentials *before = credentials_share(set_of(&other));
    reloads_begin(&site.reloads);
    reload_now(&site.reload);
    reload_now(&other);
    assert_ptr_not_equal(set_of(&site.reload), before);
    assert_ptr_equal(set_of(&other), set_of(&site.reload));
    credentials_release(before);
    reload_close(&other);
    close_site(&site);
}

static void a_route_whose_reload_fails_keeps_the_set_that_it_shares(void **state)
{
    struct site site;
    struct reload other;

    (void)state;
    open_site(&site);
    open_other(&site, &other, site.credentials);
    pki_write(site.directory, "key.pem", "no key", site.key);
    reloads_begin(&site.reloads);
    reload_now(&site.reload);
    reload_now(&other);
    assert_int_equal(site.reload.failed + other.failed, 2);
    assert_ptr_equal(set_of(&other), set_of(&site.reload));
    assert_int_equal(credentials_validity(set_of(&other)).leaf, PKI_YEAR_2099);
    reload_close(&other);
    close_site(&site);
}

/* ---- files that change while husk reads them ---- */

struct writer {
    char path[PKI_PATH_BYTES];
    atomic_bool has_ended;
};

/* The first line stays; the file grows, and is short again. */
static void *write_on(void *argument)
{
    struct writer *writer = argument;

    while (!atomic_load(&writer->has_ended)) {
        FILE *file = fopen(writer->path, "w");
        for (int i = 0; i < 1000; i++) {
            fputs("passphrase\n", file);
            fflush(file);
        }
        fclose(file);
    }
    return NULL;
}

/* A passphrase file that nobody needs changes all the time; `thread` writes it. */
static void change_begin(struct site *site, struct writer *writer, pthread_t *thread)
{
    *writer = (struct writer) { .path = "" };
    pki_write(site->directory, "passphrase", "passphrase\n", writer->path);
    site->credentials[SIDE_UPSTREAM].passphrase_file = writer->path;
    assert_int_equal(pthread_create(thread, NULL, write_on, writer), 0);
}

static void change_end(struct writer *writer, pthread_t thread)
{
    atomic_store(&writer->has_ended, true);
    pthread_join(thread, NULL);
}

/* The file may stand still during a load: the test tries until it has changed. */
static void a_set_whose_files_change_meanwhile_is_not_used(void **state)
{
    struct site site;
    struct writer writer;
    pthread_t thread;
    bool was_mixed = false;

    (void)state;
    open_site(&site);
    change_begin(&site, &writer, &thread);
    while (!was_mixed) {
        const struct credentials *before = set_of(&site.reload);
        uint64_t succeeded = site.reload.succeeded;
        reloads_begin(&site.reloads);
        reload_now(&site.reload);
        was_mixed = site.reload.state == RELOAD_RETRYING && !site.reload.fault.text[0];
        assert_true(!was_mixed || (set_of(&site.reload) == before && site.reload.succeeded == succeeded));
    }
    change_end(&writer, thread);
    reload_retry(&site.reload);
    assert_int_equal(site.reload.state, RELOAD_LOADED);
    close_site(&site);
}

static void a_set_whose_files_change_at_each_look_is_loaded_after_the_timeout(void **state)
{
    struct site site;

    (void)state;
    open_site(&site);
    for (int i = 1; i <= 3; i++) {
        write_pair(&site, PKI_YEAR_2099 - i);
        reload_look(&site.reload);
        assert_int_equal(site.loaded, 0);
    }
    site.reload.settling.timeout_ms = 0;
    write_pair(&site, PKI_YEAR_2099 - 4);
    reload_look(&site.reload);
    assert_int_equal(site.loaded, 1);
    assert_int_equal(credentials_validity(site.seen).leaf, PKI_YEAR_2099 - 4);
    close_site(&site);
}

/* The timeout is over at the attempt after one whose files have changed meanwhile. */
static void a_set_whose_files_change_at_each_load_is_used_after_the_timeout(void **state)
{
    struct site site;
    struct writer writer;
    pthread_t thread;
    unsigned mixed = 0;

    (void)state;
    open_site(&site);
    site.reload.settling.timeout_ms = 0;
    change_begin(&site, &writer, &thread);
    while (mixed < MIXED_LOADS) {
        reload_now(&site.reload);
        if (!settling_is_changing(&site.reload.settling))
            continue;
        mixed++;
        reload_now(&site.reload);
        assert_false(settling_is_changing(&site.reload.settling));
    }
    change_end(&writer, thread);
    assert_true(site.loaded > 0);
    close_site(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_set_is_loaded_without_a_call),
        cmocka_unit_test(the_second_look_at_a_change_publishes_a_new_set),
        cmocka_unit_test(a_set_that_fails_to_load_changes_nothing_and_is_counted_once),
        cmocka_unit_test(retries_go_on_with_growing_pauses_until_the_set_is_loaded),
        cmocka_unit_test(new_files_begin_with_the_shortest_pause_again),
        cmocka_unit_test(a_shared_key_is_part_of_the_set),
        cmocka_unit_test(one_bad_side_fails_the_whole_set),
        cmocka_unit_test(nothing_is_loaded_after_a_stop),
        cmocka_unit_test(another_set_is_adopted_with_its_options),
        cmocka_unit_test(equal_files_are_loaded_once),
        cmocka_unit_test(changed_files_are_loaded_once_again),
        cmocka_unit_test(on_request_files_are_loaded_once_although_they_look_unchanged),
        cmocka_unit_test(a_route_whose_reload_fails_keeps_the_set_that_it_shares),
        cmocka_unit_test(a_set_whose_files_change_meanwhile_is_not_used),
        cmocka_unit_test(a_set_whose_files_change_at_each_look_is_loaded_after_the_timeout),
        cmocka_unit_test(a_set_whose_files_change_at_each_load_is_used_after_the_timeout),
    };

    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
