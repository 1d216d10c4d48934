#include "options_match.h"

#include "config/key_path.h"
#include "config/schema_parts.h"
#include "trust/peer_rule_value.h"

#include <stdio.h>
#include <string.h>

#define WHO offsetof(struct config_match, who)

/* What is being read. */
struct reader {
    const struct config_check *check;
    struct key_path path; /* in the route */
    unsigned depth;       /* groups in each other */
};

bool options_match_is_begun(const struct setting_list *list, size_t at)
{
    for (size_t i = 0; peer_rule_is_group(list->items[at].kind) && i < at; i++) {
        if (list->items[i].kind == list->items[at].kind)
            return true;
    }
    return false;
}

static void wrong(const struct reader *reader, const struct setting_item *item, const char *text)
{
    config_wrong_path(reader->check, item->place, reader->path.text,
                      item->is_hidden ? "a value from the environment is wrong" : text);
}

static void group_fill(struct peer_rule *group, const struct setting_list *list, struct reader *reader);

/* Adds the rule at `at` of a list to the map. */
static void rule_fill(struct peer_rule *map, const struct setting_list *who, size_t at, struct reader *reader)
{
    const struct setting_item *item = &who->items[at];
    struct fault fault;
    struct peer_rule *rule = peer_rule_value_can_match(item->kind, item->value, &fault)
                                 ? peer_rule_add(map, item->kind, item->parts ? NULL : item->value, &fault)
                                 : NULL;

    if (rule && item->parts) {
        group_fill(rule, who, reader);
    } else if (!rule) {
        size_t length = key_path_add_key(&reader->path, peer_rule_kind_name(item->kind));
        (void)key_path_add_index(&reader->path, item->index);
        wrong(reader, item, fault.text);
        key_path_cut(&reader->path, length);
    }
}

/* A map matches if at least one of its keys does. */
static void map_fill(struct peer_rule *map, const struct setting_item *item, struct reader *reader)
{
    const struct config_match *match = item->parts;
    const struct setting_list *who = &match->who;

    if (reader->depth > PEER_RULE_DEPTH_MAX) {
        char text[64];
        snprintf(text, sizeof text, "more than %d groups stand in each other", PEER_RULE_DEPTH_MAX);
        wrong(reader, item, text);
        return;
    }
    if (!who->count && !config_part_is_wrong(&config_match_parts, item, WHO)) {
        char text[FAULT_TEXT_BYTES];
        snprintf(text, sizeof text, "matches nobody: set %s",
                 config_part_names(reader->check->config, &config_match_parts, WHO).text);
        wrong(reader, item, text);
    }
    for (size_t i = 0; i < who->count; i++) {
        if (!options_match_is_begun(who, i))
            rule_fill(map, who, i, reader);
    }
}

static void group_fill(struct peer_rule *group, const struct setting_list *list, struct reader *reader)
{
    size_t before = key_path_add_key(&reader->path, peer_rule_kind_name(group->kind));
    struct fault fault;

    reader->depth++;
    for (size_t i = 0; i < list->count; i++) {
        const struct setting_item *item = &list->items[i];
        if (item->kind != group->kind)
            continue;
        size_t length = key_path_add_index(&reader->path, item->index);
        struct peer_rule *map = peer_rule_add(group, PEER_RULE_ANY_OF, NULL, &fault);
        if (map)
            map_fill(map, item, reader);
        else
            wrong(reader, item, fault.text);
        key_path_cut(&reader->path, length);
    }
    reader->depth--;
    key_path_cut(&reader->path, before);
}

void options_match_fill(struct peer_rule *group, const struct setting_list *list,
                        const struct config_check *check, const char *path)
{
    struct reader reader = { .check = check };

    (void)snprintf(reader.path.text, sizeof reader.path.text, "%s", path);
    reader.path.length = strlen(reader.path.text);
    group_fill(group, list, &reader);
}
