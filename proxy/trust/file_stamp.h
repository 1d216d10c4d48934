/* Detects that a file has changed, from the results of stat. Follows symlinks, because Kubernetes replaces a
 * mounted Secret by changing a symlink.
 *
 * Does not read the file. */
#ifndef HUSK_TRUST_FILE_STAMP_H
#define HUSK_TRUST_FILE_STAMP_H

#include <stdint.h>

/* A number that changes when the file is replaced or written (a hash of device, inode, size and times). 0:
 * there is no such file. */
uint64_t file_stamp(const char *path);

#endif
