/* proxy/worker/listening.c: which sockets are opened for which worker, and what remains of them. */
#include "worker/listening.h"

#include "support/addresses.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKERS = 3, PATH_BYTES = 64 };

struct place {
    char directory[32], path[PATH_BYTES];
};

static void place_make(struct place *place)
{
    snprintf(place->directory, sizeof place->directory, "/tmp/husk-listening-XXXXXX");
    assert_non_null(mkdtemp(place->directory));
    snprintf(place->path, sizeof place->path, "%s/agents", place->directory);
}

static void place_remove(const struct place *place)
{
    assert_int_equal(rmdir(place->directory), 0); /* fails if a socket file is left */
}

#define NO_ADDRESSES                                                                                         \
    {                                                                                                        \
        .addresses = (struct listening_address[LISTENER_SOCKETS_MAX])                                        \
        {                                                                                                    \
            {                                                                                                \
                .from = NULL                                                                                 \
            }                                                                                                \
        }                                                                                                    \
    }

static void add(struct listening_options *options, const char *text)
{
    options->addresses[options->count++] = (struct listening_address) {
        .address = addresses_parse(text),
        .access = { .mode = 0640, .group = SOCKET_GROUP_KEPT },
    };
}

static void add_path(struct listening_options *options, const struct place *place)
{
    char text[PATH_BYTES + 8];

    snprintf(text, sizeof text, "unix:%s", place->path);
    add(options, text);
}

/* A change that no other route takes part in. */
static bool change(struct listening *listening, const struct listening_options *options,
                   struct listener_fds *removed, struct fault *fault)
{
    struct listening_change *made = listening_change_new(listening, options, fault);

    if (made && listening_change_listen(made, fault)) {
        listening_change_commit(made, removed);
        return true;
    }
    listening_change_cancel(made);
    return false;
}

static bool can_connect(const struct socket_address *address)
{
    enum end_reason reason = END_NONE;
    int fd = socket_connect(address, 0, &reason);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

static void fds_close(const struct listener_fds *fds)
{
    for (unsigned i = 0; i < fds->count; i++)
        close(fds->items[i].number);
}

static void each_worker_gets_a_socket_of_each_address(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listening listening;
    struct place place;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    add(&options, "[::1]:0");
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    assert_int_equal(listening.count, 3);
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        const struct listener_fds fds = listening_take(&listening, worker);
        assert_int_equal(fds.count, 3);
        for (unsigned i = 0; i < fds.count; i++) {
            const struct socket_address bound = socket_local_address(fds.items[i].number);
            assert_true(socket_address_equal(&bound, &listening.sockets[i].address));
            assert_true(socket_address_path(&bound) || socket_address_port(&bound));
        }
        assert_int_equal(listening_take(&listening, worker).count, 0);
        fds_close(&fds);
    }
    listening_close(&listening);
    place_remove(&place);
}

static void closing_ends_what_no_worker_took(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listening listening;
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    const struct socket_address unix_address = listening.sockets[1].address;
    assert_true(can_connect(&unix_address));
    listening_close(&listening);
    assert_false(can_connect(&unix_address));
    listening_close(&listening); /* does nothing */
    place_remove(&place);
}

static void one_address_that_fails_leaves_nothing_behind(void **state)
{
    struct listening_options first_options = NO_ADDRESSES, options = NO_ADDRESSES;
    struct listening first, listening;
    struct place place;
    struct fault fault;
    char text[ADDRESS_TEXT_BYTES], expected[FAULT_TEXT_BYTES];

    (void)state;
    place_make(&place);
    add(&first_options, "127.0.0.1:0");
    assert_true(listening_open(&first, &first_options, 1, &fault));
    socket_address_format(&first.sockets[0].address, text, sizeof text);
    add_path(&options, &place);
    add(&options, text);
    for (unsigned workers = 1; workers <= WORKERS; workers++) {
        assert_false(listening_open(&listening, &options, workers, &fault));
        snprintf(expected, sizeof expected, "cannot listen on %s: Address already in use", text);
        assert_string_equal(fault.text, expected);
        listening_close(&listening);
    }
    listening_close(&first);
    place_remove(&place);
}

static void an_address_that_stays_keeps_its_descriptors(void **state)
{
    struct listening_options options = NO_ADDRESSES, changed = NO_ADDRESSES;
    struct listener_fds first[WORKERS], removed[WORKERS];
    struct listening listening;
    struct place place, other;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    place_make(&other);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    add(&options, "[::1]:0");
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    for (unsigned worker = 0; worker < WORKERS; worker++)
        first[worker] = listening_take(&listening, worker);
    const struct socket_address kept = listening.sockets[2].address;

    add(&changed, "[::1]:0");
    add_path(&changed, &other);
    add_path(&changed, &place);
    changed.addresses[2].access.mode = 0600;
    assert_true(change(&listening, &changed, removed, &fault));
    assert_int_equal(listening.count, 3);
    assert_true(socket_address_equal(&listening.sockets[0].address, &kept));
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        const struct listener_fds added = listening_take(&listening, worker);
        assert_int_equal(removed[worker].count, 1); /* that of 127.0.0.1 */
        assert_int_equal(removed[worker].items[0].number, first[worker].items[0].number);
        assert_int_equal(added.count, 1);
        fds_close(&added);
        fds_close(&first[worker]);
    }
    listening_close(&listening);
    place_remove(&place);
    place_remove(&other);
}

static void a_change_that_fails_changes_no_address(void **state)
{
    struct listening_options options = NO_ADDRESSES, changed = NO_ADDRESSES;
    struct listener_fds removed[1];
    struct listening listening;
    struct place place;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    assert_true(listening_open(&listening, &options, 1, &fault));
    const struct socket_address address = listening.sockets[0].address;
    add_path(&changed, &place);
    add(&changed, "unix:/nonexistent/agents");
    assert_false(change(&listening, &changed, removed, &fault));
    assert_string_equal(fault.text,
                        "cannot listen on unix:/nonexistent/agents: the directory does not exist");
    assert_int_equal(listening.count, 1);
    assert_true(can_connect(&address));
    assert_int_equal(stat(place.path, &facts), -1);
    listening_close(&listening);
    place_remove(&place);
}

/* As a worker without memory does. */
static void a_number_that_is_of_another_socket_is_left_alone(void **state)
{
    struct listening_options options = NO_ADDRESSES, none = NO_ADDRESSES;
    struct listener_fds removed[1];
    struct listening listening;
    struct place place;
    struct fault fault;
    int other[2];

    (void)state;
    place_make(&place);
    add_path(&options, &place);
    add(&options, "127.0.0.1:0");
    add(&none, "[::1]:0");
    assert_true(listening_open(&listening, &options, 1, &fault));
    const struct listener_fds taken = listening_take(&listening, 0);
    const struct socket_address *address = &listening.sockets[0].asked.address;
    assert_int_equal(taken.count, 2);
    assert_true(listening_fd_is_open(&listening.sockets[0].fds[0]));
    assert_ptr_equal(listening_find_alone(&listening, address), &listening.sockets[0]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    assert_int_equal(dup2(other[0], taken.items[0].number), taken.items[0].number);
    assert_false(listening_fd_is_open(&listening.sockets[0].fds[0]));
    assert_null(listening_find_alone(&listening, address));
    assert_true(change(&listening, &none, removed, &fault));
    assert_int_equal(removed[0].count, 1);
    assert_int_equal(removed[0].items[0].number, taken.items[1].number);
    fds_close(&taken);
    close(other[0]);
    close(other[1]);
    listening_close(&listening);
    place_remove(&place);
}

static struct socket_address unix_address(const struct place *place)
{
    char text[PATH_BYTES + 8];

    snprintf(text, sizeof text, "unix:%s", place->path);
    return addresses_parse(text);
}

static void nobody_can_connect_before_the_last_step(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listening listening = { .workers = WORKERS };
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    add(&options, "127.0.0.1:0");
    add_path(&options, &place);
    const struct socket_address path = unix_address(&place);
    struct listening_change *made = listening_change_new(&listening, &options, &fault);
    assert_non_null(made);
    assert_false(can_connect(&path));
    listening_change_cancel(made);
    made = listening_change_new(&listening, &options, &fault);
    assert_non_null(made);
    assert_true(listening_change_listen(made, &fault));
    assert_true(can_connect(&path));
    listening_change_commit(made, NULL);
    assert_true(can_connect(&path));
    assert_true(can_connect(&listening.sockets[0].address));
    listening_close(&listening);
    place_remove(&place);
}

static struct socket_address free_address(void)
{
    const struct socket_address any = addresses_parse("127.0.0.1:0");
    struct fault fault;
    int fd = socket_bind_stream(&any, SOCKET_EXCLUSIVE, NULL, &fault);
    const struct socket_address address = socket_local_address(fd);

    assert_true(fd >= 0);
    close(fd);
    return address;
}

/* Over TCP, the outcome of a connect to this machine is known at once. */
static bool is_refused(const struct socket_address *address)
{
    enum end_reason reason = END_NONE;
    int fd = socket_connect(address, 0, &reason);

    if (fd >= 0) {
        reason = socket_connect_outcome(fd);
        close(fd);
    }
    return reason == END_CONNECT_REFUSED;
}

static void nothing_listens_before_all_rights_are_set(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listening listening;
    struct place place;
    struct fault fault;
    struct stat facts;

    (void)state;
    place_make(&place);
    add_path(&options, &place);
    assert_true(listening_open(&listening, &options, WORKERS, &fault));
    options.addresses[0].access.mode = 0600;
    const struct listening_address path = options.addresses[0];
    const struct socket_address address = free_address();
    options.addresses[0] = (struct listening_address) { .address = address };
    options.addresses[options.count++] = path;
    struct listening_change *made = listening_change_new(&listening, &options, &fault);
    assert_non_null(made);
    assert_true(listening_change_set_rights(made, &fault));
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_true(is_refused(&address));
    listening_change_cancel(made);
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);

    made = listening_change_new(&listening, &options, &fault);
    assert_non_null(made);
    assert_int_equal(unlink(place.path), 0);
    assert_false(listening_change_listen(made, &fault));
    assert_non_null(strstr(fault.text, "cannot change the rights of unix:"));
    assert_true(is_refused(&address));
    listening_change_cancel(made);
    listening_close(&listening);
    place_remove(&place);
}

static void a_unix_socket_is_taken_over_with_its_queue(void **state)
{
    struct listening_options options = NO_ADDRESSES, other = NO_ADDRESSES;
    struct listener_fds removed[1];
    struct listening first, second = { .workers = 1 };
    struct place place;
    struct fault fault;
    struct stat facts;
    enum end_reason reason;

    (void)state;
    place_make(&place);
    add_path(&options, &place);
    add(&other, "127.0.0.1:0");
    assert_true(listening_open(&first, &options, 1, &fault));
    const struct socket_address path = first.sockets[0].address;
    int agent = socket_connect(&path, 0, &reason); /* waits in the kernel's queue */
    assert_true(agent >= 0);
    options.addresses[0].from = listening_find_alone(&first, &path);
    options.addresses[0].is_taken_over = true;
    options.addresses[0].access.mode = 0600;
    assert_non_null(options.addresses[0].from);

    /* A change that fails leaves the socket where it was. */
    struct listening_change *made = listening_change_new(&second, &options, &fault);
    assert_non_null(made);
    assert_true(listening_change_listen(made, &fault));
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    listening_change_cancel(made);
    assert_int_equal(stat(place.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
    assert_true(can_connect(&path));

    /* The first goes on elsewhere, before the second has taken over. */
    made = listening_change_new(&second, &options, &fault);
    assert_non_null(made);
    assert_true(listening_change_listen(made, &fault));
    assert_true(change(&first, &other, removed, &fault));
    listening_change_commit(made, NULL);
    assert_true(can_connect(&path));
    const struct listener_fds fds = listening_take(&second, 0);
    int accepted = accept(fds.items[0].number, NULL, NULL);
    assert_true(accepted >= 0);
    close(accepted);
    close(agent);
    fds_close(&fds);
    listening_close(&first);
    listening_close(&second);
    place_remove(&place);
}

static void a_unix_socket_whose_file_is_gone_is_bound_again(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listener_fds removed[1];
    struct listening listening;
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    add_path(&options, &place);
    assert_true(listening_open(&listening, &options, 1, &fault));
    const struct listener_fds before = listening_take(&listening, 0);
    const struct socket_address path = unix_address(&place);
    for (unsigned other_rights = 0; other_rights < 2; other_rights++) {
        unlink(place.path);
        options.addresses[0].access.mode = other_rights ? 0600 : 0640;
        assert_false(can_connect(&path));
        assert_true(change(&listening, &options, removed, &fault));
        assert_true(can_connect(&path));
    }
    fds_close(&before);
    listening_close(&listening);
    place_remove(&place);
}

static void files_go_before_the_sockets(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listening first, second;
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    add_path(&options, &place);
    assert_true(listening_open(&first, &options, 1, &fault));
    const struct listener_fds fds = listening_take(&first, 0);
    listening_remove_files(&first);
    assert_true(listening_open(&second, &options, 1, &fault));
    fds_close(&fds);
    listening_close(&first);
    assert_true(can_connect(&second.sockets[0].address));
    listening_close(&second);
    place_remove(&place);
}

/* ---- inherited sockets ---- */

enum { INHERITED = 5 };

/* Takes over the sockets of `before`, of which no worker has taken one, under names of husk. */
static struct inherited inherit(struct listening *before, struct inherited_socket *items)
{
    struct inherited inherited = { .items = items };
    struct listening_socket *socket = &before->sockets[0];

    for (; inherited.count < socket->fd_count; inherited.count++) {
        items[inherited.count] = (struct inherited_socket) { .fd = dup(socket->fds[inherited.count].number),
                                                             .name = "+route/x",
                                                             .address = socket->address };
    }
    return inherited;
}

static void all_inherited_sockets_listen(void **state)
{
    static const unsigned workers[] = { 1, 2, INHERITED, INHERITED + 2 };

    (void)state;
    for (size_t i = 0; i < sizeof workers / sizeof workers[0]; i++) {
        struct listening_options options = NO_ADDRESSES;
        struct inherited_socket items[INHERITED];
        struct listening before, after = { .workers = workers[i], .route = "route" };
        struct fault fault;
        unsigned taken = 0;
        add(&options, "127.0.0.1:0");
        assert_true(listening_open(&before, &options, INHERITED, &fault));
        struct inherited inherited = inherit(&before, items);
        options.addresses[0].address = before.sockets[0].address;
        after.inherited = &inherited;
        assert_true(change(&after, &options, NULL, &fault));
        assert_null(after.inherited);
        for (unsigned worker = 0; worker < workers[i]; worker++) {
            const struct listener_fds fds = listening_take(&after, worker);
            assert_in_range(fds.count, 1, INHERITED);
            taken += fds.count;
            fds_close(&fds);
        }
        assert_int_equal(taken, workers[i] > INHERITED ? workers[i] : INHERITED);
        listening_close(&before);
        listening_close(&after);
    }
}

static void an_inherited_file_is_of_the_process_before_until_the_change_is_made(void **state)
{
    struct listening_options options = NO_ADDRESSES;
    struct listening before, after = { .workers = 1, .route = "route" };
    struct inherited_socket items[1];
    struct place place;
    struct fault fault;

    (void)state;
    place_make(&place);
    add_path(&options, &place);
    assert_true(listening_open(&before, &options, 1, &fault));
    for (int is_made = 0; is_made < 2; is_made++) {
        struct inherited inherited = inherit(&before, items);
        after.inherited = &inherited;
        struct listening_change *made = listening_change_new(&after, &options, &fault);
        assert_non_null(made);
        if (!is_made)
            listening_change_cancel(made);
        else
            listening_change_commit(made, NULL);
        assert_true(can_connect(&before.sockets[0].address));
    }
    listening_give_up_files(&before);
    listening_close(&before);
    assert_true(can_connect(&after.sockets[0].address));
    listening_close(&after);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_worker_gets_a_socket_of_each_address),
        cmocka_unit_test(closing_ends_what_no_worker_took),
        cmocka_unit_test(one_address_that_fails_leaves_nothing_behind),
        cmocka_unit_test(an_address_that_stays_keeps_its_descriptors),
        cmocka_unit_test(a_change_that_fails_changes_no_address),
        cmocka_unit_test(a_number_that_is_of_another_socket_is_left_alone),
        cmocka_unit_test(nobody_can_connect_before_the_last_step),
        cmocka_unit_test(nothing_listens_before_all_rights_are_set),
        cmocka_unit_test(a_unix_socket_is_taken_over_with_its_queue),
        cmocka_unit_test(a_unix_socket_whose_file_is_gone_is_bound_again),
        cmocka_unit_test(files_go_before_the_sockets),
        cmocka_unit_test(all_inherited_sockets_listen),
        cmocka_unit_test(an_inherited_file_is_of_the_process_before_until_the_change_is_made),
    };

    return cmocka_run_group_tests_name("listening", tests, NULL, NULL);
}
