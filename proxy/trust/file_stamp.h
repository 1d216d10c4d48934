/* Tells whether a file has changed, by what stat says of it. Follows symlinks: a mounted Secret is swapped by
 * one.
 *
 * Knows no contents. */
#ifndef HUSK_TRUST_FILE_STAMP_H
#define HUSK_TRUST_FILE_STAMP_H

#include <stdint.h>

/* A number that differs, for all practical purposes, once the file has been replaced or written. 0: there is
 * no such file. */
uint64_t file_stamp(const char *path);

#endif
