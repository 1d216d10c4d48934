/* A configuration file: settings of the process, defaults of routes, and routes.
 *
 *     workers: 2
 *     defaults: {…settings of a route…}
 *     routes:
 *       - name: agents
 *         …settings of a route…
 *
 * Each route becomes a struct config. Reads and checks single settings; what several settings mean together
 * is for proxy/options*.c. */
#ifndef HUSK_CONFIG_CONFIG_FILE_H
#define HUSK_CONFIG_CONFIG_FILE_H

#include "config/config.h"
#include "config/file_section.h"
#include "config/mistakes.h"
#include "config/yaml_tree.h"

enum { CONFIG_FILE_ROUTES_MAX = 1000 };

struct config_file {
    struct file_texts texts; /* the routes borrow them */
    struct config defaults;  /* what every route begins with; the routes borrow from it, too */
    struct config *routes;   /* owned; each has the settings of the process, too */
    size_t count;
};

/* Reads the file at `path`. Adds every mistake to `mistakes`, whose name should be the path. True: there is
 * at least one route, and there was no mistake. Free with config_file_free in both cases. */
MUST_CHECK bool config_file_read(struct config_file *file, const char *path, yaml_look_up *look_up,
                                 struct mistakes *mistakes);
/* The same for a text. */
MUST_CHECK bool config_file_read_text(struct config_file *file, const char *text, size_t length,
                                      yaml_look_up *look_up, struct mistakes *mistakes);
void config_file_free(struct config_file *file);

#endif
