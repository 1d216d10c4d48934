/* proxy/control/file_watch.c: a file that is replaced or written is told once. */
#include "control/file_watch.h"

#include "support/loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 200, SLOW_MS = 3600000, FAST_MS = 20, QUIET_MS = 150 };

struct site {
    struct ev_loop *loop;
    char folder[PATH_BYTES], file[PATH_BYTES];
    struct file_watch watch;
    unsigned told;
};

static void on_changed(void *owner)
{
    ((struct site *)owner)->told++;
}

static const char *path_in(const struct site *site, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%.150s/%.40s", site->folder, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Replaces the file by a new one of the same size, as an editor does. */
static void replace(const struct site *site, const char *text)
{
    char next[PATH_BYTES];

    write_text(path_in(site, "next", next), text);
    assert_int_equal(rename(next, site->file), 0);
}

static void watch_begin(struct site *site, uint64_t interval_ms)
{
    const struct file_watch_options options = { .path = site->file,
                                                .interval_ms = interval_ms,
                                                .settle_ms = 10,
                                                .settle_timeout_ms = SLOW_MS,
                                                .on_changed = on_changed,
                                                .owner = site };

    file_watch_open(&site->watch, site->loop, &options);
}

static void site_open(struct site *site)
{
    const char *base = getenv("TMPDIR");

    *site = (struct site) { .loop = ev_loop_new(EVFLAG_AUTO) };
    assert_non_null(site->loop);
    snprintf(site->folder, sizeof site->folder, "%.100s/husk-watch-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(site->folder));
    path_in(site, "husk.yaml", site->file);
    write_text(site->file, "one");
}

static void site_close(struct site *site)
{
    char command[PATH_BYTES + 20];

    file_watch_close(&site->watch);
    ev_loop_destroy(site->loop);
    snprintf(command, sizeof command, "rm -r '%s'", site->folder);
    assert_int_equal(system(command), 0);
}

static void expect_told(struct site *site, unsigned count)
{
    while (site->told < count)
        loop_turn(site->loop);
    loop_run_for(site->loop, QUIET_MS);
    assert_int_equal(site->told, count);
}

static void a_file_that_is_replaced_or_written_is_told_once(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    watch_begin(&site, SLOW_MS);
    expect_told(&site, 0);
    replace(&site, "two");
    expect_told(&site, 1);
    write_text(site.file, "three");
    expect_told(&site, 2);
    site_close(&site);
}

static void other_files_and_a_missing_file_are_not_told(void **state)
{
    struct site site;
    char path[PATH_BYTES];

    (void)state;
    site_open(&site);
    watch_begin(&site, FAST_MS);
    write_text(path_in(&site, "other", path), "x");
    expect_told(&site, 0);
    assert_int_equal(unlink(site.file), 0);
    expect_told(&site, 0);
    write_text(site.file, "two");
    expect_told(&site, 1);
    site_close(&site);
}

struct writer {
    ev_timer timer;
    const char *path;
};

static void on_writer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop, (void)events;
    write_text(((struct writer *)timer->data)->path, "x");
}

/* Writes the file `path` more often than a file settles, until on_changed is called. */
static void write_until_told(struct site *site, const char *path)
{
    struct writer writer = { .path = path };

    site->watch.options.settle_ms = 100;
    ev_timer_init(&writer.timer, on_writer, 0.005, 0.005);
    writer.timer.data = &writer;
    ev_timer_start(site->loop, &writer.timer);
    for (int turns = 0; turns < 400 && !site->told; turns++)
        loop_turn(site->loop);
    assert_int_equal(site->told, 1);
    ev_timer_stop(site->loop, &writer.timer);
}

static void a_busy_folder_does_not_put_the_file_off(void **state)
{
    struct site site;
    char path[PATH_BYTES];

    (void)state;
    site_open(&site);
    watch_begin(&site, SLOW_MS);
    replace(&site, "two");
    write_until_told(&site, path_in(&site, "other", path));
    site_close(&site);
}

static void a_file_that_never_rests_is_told_after_the_timeout(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    watch_begin(&site, SLOW_MS);
    site.watch.settling.timeout_ms = 300;
    write_until_told(&site, site.file);
    site_close(&site);
}

static void what_somebody_has_read_is_not_told(void **state)
{
    struct site site;

    (void)state;
    site_open(&site);
    watch_begin(&site, SLOW_MS);
    replace(&site, "two");
    file_watch_note(&site.watch);
    expect_told(&site, 0);
    replace(&site, "six");
    expect_told(&site, 1);
    site_close(&site);
}

/* As Kubernetes mounts a ConfigMap: husk.yaml -> ..data/husk.yaml, ..data -> a folder with a time in its
 * name. */
static void a_config_map_is_swapped(void **state)
{
    struct site site;
    char first[PATH_BYTES], second[PATH_BYTES], data[PATH_BYTES], next[PATH_BYTES], file[PATH_BYTES + 20];

    (void)state;
    site_open(&site);
    assert_int_equal(unlink(site.file), 0);
    assert_int_equal(mkdir(path_in(&site, "..1", first), 0700), 0);
    assert_int_equal(mkdir(path_in(&site, "..2", second), 0700), 0);
    snprintf(file, sizeof file, "%s/husk.yaml", first);
    write_text(file, "one");
    snprintf(file, sizeof file, "%s/husk.yaml", second);
    write_text(file, "two");
    assert_int_equal(symlink("..1", path_in(&site, "..data", data)), 0);
    assert_int_equal(symlink("..data/husk.yaml", site.file), 0);
    watch_begin(&site, SLOW_MS);
    expect_told(&site, 0);
    assert_int_equal(symlink("..2", path_in(&site, "..data_tmp", next)), 0);
    assert_int_equal(rename(next, data), 0);
    expect_told(&site, 1);
    site_close(&site);
}

static void a_file_elsewhere_is_looked_at_in_intervals(void **state)
{
    struct site site;
    char folder[PATH_BYTES], target[PATH_BYTES + 20];

    (void)state;
    site_open(&site);
    assert_int_equal(unlink(site.file), 0);
    assert_int_equal(mkdir(path_in(&site, "elsewhere", folder), 0700), 0);
    snprintf(target, sizeof target, "%s/target", folder);
    write_text(target, "one");
    assert_int_equal(symlink(target, site.file), 0);
    watch_begin(&site, FAST_MS);
    expect_told(&site, 0);
    write_text(target, "three");
    expect_told(&site, 1);
    site_close(&site);
}

static void a_folder_that_was_replaced_is_watched_from_the_next_look_on(void **state)
{
    struct site site;
    char old[PATH_BYTES + 8];

    (void)state;
    site_open(&site);
    watch_begin(&site, FAST_MS);
    snprintf(old, sizeof old, "%s.old", site.folder);
    assert_int_equal(rename(site.folder, old), 0);
    assert_int_equal(mkdir(site.folder, 0700), 0);
    write_text(site.file, "other");
    expect_told(&site, 1);
    ev_timer_stop(site.loop, &site.watch.tick);
    replace(&site, "third");
    expect_told(&site, 2);
    site_close(&site);
    snprintf(site.folder, sizeof site.folder, "%.190s", old);
    assert_int_equal(unlink(path_in(&site, "husk.yaml", site.file)), 0);
    assert_int_equal(rmdir(site.folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_replaced_or_written_is_told_once),
        cmocka_unit_test(other_files_and_a_missing_file_are_not_told),
        cmocka_unit_test(a_busy_folder_does_not_put_the_file_off),
        cmocka_unit_test(a_file_that_never_rests_is_told_after_the_timeout),
        cmocka_unit_test(what_somebody_has_read_is_not_told),
        cmocka_unit_test(a_config_map_is_swapped),
        cmocka_unit_test(a_file_elsewhere_is_looked_at_in_intervals),
        cmocka_unit_test(a_folder_that_was_replaced_is_watched_from_the_next_look_on),
    };

    return cmocka_run_group_tests_name("file_watch", tests, NULL, NULL);
}
