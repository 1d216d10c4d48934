/* The way to a value, such as `routes[0].tls.upstream.cert`, for messages. Pure. */
#ifndef HUSK_CONFIG_KEY_PATH_H
#define HUSK_CONFIG_KEY_PATH_H

#include <stddef.h>

enum { KEY_PATH_BYTES = 256 };

/* Zero-initialise. */
struct key_path {
    char text[KEY_PATH_BYTES]; /* zero-terminated; a longer path ends with "…" */
    size_t length;
};

/* Adds ".key", or "key" at the beginning. A key with other characters than [A-Za-z0-9_-] is added as ["…"].
 * Returns the length before, for key_path_cut. */
size_t key_path_add_key(struct key_path *path, const char *key);

/* Adds "[index]". Returns the length before. */
size_t key_path_add_index(struct key_path *path, size_t index);

/* Shortens the path to `length`, which one of the functions above returned. */
void key_path_cut(struct key_path *path, size_t length);

#endif
